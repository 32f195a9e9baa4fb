"""Pictures are kept by content, durably, and deleted only when nobody needs them."""

import asyncio
import errno
import os
import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore, S3Store

from bot.storage import (
    GRACE,
    BadKey,
    PictureDamaged,
    PictureMissing,
    PictureStore,
    PictureTooLarge,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnreachable,
    Usage,
)

PICTURE = b"\x89PNG one picture"
OTHER = b"\xff\xd8\xff another picture"


@pytest.fixture
async def folder_store(tmp_path: Path) -> PictureStore:
    return await PictureStore.in_folder(tmp_path)


@pytest.fixture(params=["folder", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> PictureStore:
    if request.param == "memory":
        return PictureStore(MemoryStore())
    return await PictureStore.in_folder(tmp_path / "made" / "on the way")


async def nobody(keys: Collection[str]) -> Collection[str]:
    return ()


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@contextmanager
def unwritable(folder: Path) -> Generator[None, None, None]:
    """Take the right to write away; root, who has it everywhere, becomes somebody else."""
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def age(folder: Path, key: str, by: timedelta) -> None:
    file = folder / key
    then = file.stat().st_mtime - by.total_seconds()
    os.utime(file, (then, then))


async def test_what_was_put_is_got_back_under_a_key_made_of_its_hash(store: PictureStore) -> None:
    key = await store.put(b"abc", "png")  # FIPS 180-2, appendix B.1
    assert key == (
        "pictures/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.png"
    )
    assert await store.get(key) == b"abc"
    assert await store.exists(key)


async def test_equal_pictures_are_stored_once(store: PictureStore) -> None:
    keys = await asyncio.gather(*(store.put(PICTURE, "webp") for _ in range(8)))
    other = await store.put(OTHER, "jpeg")
    assert len(set(keys)) == 1
    assert {file.key for file in [f async for f in store.files()]} == {keys[0], other}
    assert await store.usage() == Usage(2, len(PICTURE) + len(OTHER))


async def test_a_deleted_picture_is_missing_and_may_be_deleted_again(store: PictureStore) -> None:
    key = await store.put(PICTURE, "png")
    await store.delete(key)
    await store.delete(key)
    assert not await store.exists(key)
    with pytest.raises(PictureMissing, match="no longer stored"):
        await store.get(key)


async def test_a_new_store_is_empty(store: PictureStore) -> None:
    assert await store.usage() == Usage()
    swept = await store.sweep(nobody)
    assert (swept.deleted, swept.left) == (Usage(), Usage())


async def test_a_picture_over_the_limit_is_refused_with_both_sizes() -> None:
    store = PictureStore(MemoryStore(), max_picture=2**20)
    with pytest.raises(PictureTooLarge, match=r"has 1\.5 MB; at most 1\.0 MB"):
        await store.put(bytes(3 * 2**19), "png")
    assert await store.usage() == Usage()


HASH = "ab" + "0" * 62


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../etc/passwd",
        "/etc/passwd",
        f"pictures/ab/../ab/{HASH}.png",
        f"pictures/cd/{HASH}.png",
        f"pictures/ab/{HASH}.svg",
        f"pictures/ab/{HASH}.png\n",
        f"pictures/ab/{HASH.upper()}.png",
        f"pictures/ab/{HASH}.png/..",
        f"incoming/{HASH}",
        "x" * 100_000,
    ],
)
async def test_a_key_that_put_cannot_have_returned_is_refused(
    store: PictureStore, key: str
) -> None:
    for use in (store.get, store.exists, store.delete):
        with pytest.raises(BadKey) as refused:
            await use(key)
        assert len(str(refused.value)) < 120


@given(st.text(max_size=120))
async def test_no_text_reaches_the_store_as_a_key(key: str) -> None:
    with pytest.raises(BadKey):
        await PictureStore(MemoryStore()).get(key)


@pytest.mark.parametrize(
    "damage", [b"", b"\x89PNG one pictur", b"\x89PNG one pictur\xff", bytes(len(PICTURE))]
)
async def test_a_picture_whose_bytes_have_changed_is_not_handed_out(
    folder_store: PictureStore, tmp_path: Path, damage: bytes
) -> None:
    key = await folder_store.put(PICTURE, "png")
    (tmp_path / key).write_bytes(damage)
    with pytest.raises(PictureDamaged, match="draw it again"):
        await folder_store.get(key)
    assert await folder_store.put(PICTURE, "png") == key
    assert await folder_store.get(key) == PICTURE


async def test_a_lower_limit_does_not_lose_the_pictures_above_it() -> None:
    memory = MemoryStore()
    key = await PictureStore(memory).put(PICTURE, "png")
    assert await PictureStore(memory, max_picture=3).get(key) == PICTURE


# --- Durability -------------------------------------------------------------------------------


async def test_file_and_folders_are_on_disk_before_put_returns(
    folder_store: PictureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)
        happened.append(f"flush {name.parts[0] if name.parts else 'root'}/{len(name.parts)}")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        happened.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    await folder_store.put(PICTURE, "png")
    assert happened == [
        "flush incoming/2", "rename", "flush pictures/2", "flush pictures/1", "flush root/0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.ENOSPC, StorageFull, "no room left"),
        (errno.EDQUOT, StorageFull, "no room left"),
        (errno.EROFS, StorageDenied, "ATELIER_STORAGE_URL"),
        (errno.EACCES, StorageDenied, "Make it writable"),
        (errno.EIO, StorageUnreachable, "failed"),
    ],
)
async def test_a_failed_write_is_one_sentence_and_leaves_nothing_behind(
    folder_store: PictureStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[StorageError],
    sentence: str,
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(kind, match=sentence) as failed:
            await folder_store.put(PICTURE, "png")
    assert str(tmp_path) not in str(failed.value)
    assert files_in(tmp_path) == set()
    assert await folder_store.get(await folder_store.put(PICTURE, "png")) == PICTURE


async def test_a_full_disk_is_told_by_a_real_limit_on_file_size(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFull, match="free some space"):
            await folder_store.put(bytes(200_000), "png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path) == set()


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageDenied, match="ATELIER_STORAGE_URL"):
        await PictureStore.in_folder(tmp_path / "file")
    with pytest.raises(StorageDenied, match="ATELIER_STORAGE_URL"):
        await PictureStore.in_folder(tmp_path / "file" / "below")


async def test_a_read_only_folder_is_one_sentence(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    with unwritable(tmp_path), pytest.raises(StorageDenied, match="Make it writable"):
        await folder_store.put(PICTURE, "png")


async def test_a_picture_is_put_again_into_a_folder_that_somebody_emptied(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    key = await folder_store.put(PICTURE, "png")
    (tmp_path / key).unlink()
    (tmp_path / key).parent.rmdir()
    (tmp_path / "pictures").rmdir()
    with pytest.raises(PictureMissing):
        await folder_store.get(key)
    assert await folder_store.get(await folder_store.put(PICTURE, "png")) == PICTURE


async def test_the_loop_stays_free_while_a_large_picture_is_put_and_got(
    folder_store: PictureStore,
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await folder_store.get(await folder_store.put(os.urandom(48 * 2**20), "png"))
    ticking.cancel()
    assert ticks > 10


# --- Sweeping ---------------------------------------------------------------------------------


async def test_sweep_deletes_old_pictures_that_nobody_needs(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    needed, orphan = await folder_store.put(PICTURE, "png"), await folder_store.put(OTHER, "png")
    fresh = await folder_store.put(b"just drawn", "webp")
    asked: list[str] = []

    async def keep(keys: Collection[str]) -> Collection[str]:
        asked.extend(keys)
        return {needed}

    for key in (needed, orphan):
        age(tmp_path, key, timedelta(days=2))
    swept = await folder_store.sweep(keep, older_than=timedelta(days=1))
    assert sorted(asked) == sorted([needed, orphan])
    assert swept.deleted == Usage(1, len(OTHER))
    assert swept.left == Usage(2, len(PICTURE) + len(b"just drawn"))
    kept = [await folder_store.exists(key) for key in (needed, orphan, fresh)]
    assert kept == [True, False, True]


async def test_nothing_younger_than_the_grace_period_is_deleted_whatever_is_asked(
    store: PictureStore,
) -> None:
    key = await store.put(PICTURE, "png")
    swept = await store.sweep(nobody, older_than=timedelta(0))
    assert swept.deleted == Usage()
    assert await store.exists(key)


async def test_putting_a_picture_again_makes_it_young(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    key = await folder_store.put(PICTURE, "png")
    age(tmp_path, key, 2 * GRACE)
    await folder_store.put(PICTURE, "png")
    await folder_store.sweep(nobody)
    assert await folder_store.exists(key)


async def test_a_picture_put_while_the_sweep_asks_about_it_survives(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    key = await folder_store.put(PICTURE, "png")
    age(tmp_path, key, 2 * GRACE)

    async def put_meanwhile(keys: Collection[str]) -> Collection[str]:
        await folder_store.put(PICTURE, "png")
        return ()

    swept = await folder_store.sweep(put_meanwhile)
    assert swept.deleted == Usage()
    assert await folder_store.get(key) == PICTURE


async def test_sweep_removes_what_a_killed_process_left_half_written_and_nothing_foreign(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    await folder_store.put(PICTURE, "png")
    for name in ("incoming/tmpold", "incoming/tmpnew", "notes.txt", "pictures/ab/holiday.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    for name in ("incoming/tmpold", "notes.txt", "pictures/ab/holiday.png"):
        age(tmp_path, name, 2 * GRACE)
    await folder_store.sweep(nobody)
    left = files_in(tmp_path)
    assert "incoming/tmpold" not in left
    assert left > {"incoming/tmpnew", "notes.txt", "pictures/ab/holiday.png"}


async def test_a_failing_database_stops_the_sweep_before_anything_is_deleted(
    folder_store: PictureStore, tmp_path: Path
) -> None:
    key = await folder_store.put(PICTURE, "png")
    age(tmp_path, key, 2 * GRACE)

    async def broken(keys: Collection[str]) -> Collection[str]:
        raise ConnectionError("the database is away")

    with pytest.raises(ConnectionError):
        await folder_store.sweep(broken)
    assert await folder_store.exists(key)


# --- A service --------------------------------------------------------------------------------


class _Bucket(BaseHTTPRequestHandler):
    """The few lines of S3's protocol that a picture needs, over real HTTP."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    refuse: ClassVar[int] = 0

    def _answer(self, status: int, body: bytes = b"", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Fri, 20 Nov 2026 12:00:00 GMT")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.refuse:
            self.objects[self.path] = body
        self._answer(self.refuse or 200)

    def do_GET(self) -> None:
        body = self.objects.get(self.path)
        self._answer(404) if body is None else self._answer(200, body)

    def do_HEAD(self) -> None:
        body = self.objects.get(self.path)
        self._answer(404) if body is None else self._answer(200, length=len(body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass


def _in_bucket(port: int) -> PictureStore:
    return PictureStore(
        S3Store(
            "bucket",
            endpoint=f"http://127.0.0.1:{port}",
            region="us-east-1",
            access_key_id="someone",
            secret_access_key="the secret",
            client_options={"allow_http": True, "timeout": timedelta(seconds=5)},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
        )
    )


async def test_the_same_store_works_over_a_service_and_names_its_refusals() -> None:
    class Bucket(_Bucket):
        objects: ClassVar[dict[str, bytes]] = {}

    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = _in_bucket(server.server_port)
        key = await store.put(PICTURE, "png")
        assert Bucket.objects == {f"/bucket/{key}": PICTURE}
        assert await store.get(key) == PICTURE
        Bucket.objects[f"/bucket/{key}"] = OTHER
        with pytest.raises(PictureDamaged):
            await store.get(key)
        Bucket.objects.clear()
        assert not await store.exists(key)
        Bucket.refuse = 403
        with pytest.raises(StorageDenied) as denied:
            await store.put(PICTURE, "png")
        assert "the secret" not in str(denied.value)
        server.shutdown()


async def test_a_service_that_does_not_answer_is_one_sentence() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Bucket) as server:
        port = server.server_port
    with pytest.raises(StorageUnreachable, match="ATELIER_STORAGE_URL"):
        await _in_bucket(port).put(PICTURE, "png")
