"""Uploaded files: whole or not at all, within their owner's quota, until they expire."""

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.base import parse_request
from bot.database import Database
from bot.jobs.job import JobDraft, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, migrations
from bot.uploads import (
    KEEP_ADOPTED_S,
    KEEP_S,
    MAX_DATA_URI,
    BadUpload,
    NotStored,
    QuotaReached,
    Slot,
    Uploads,
    UploadTooLarge,
    is_ours,
)

BODY = bytes(range(256)) * 12_000  # 3 MB: several blocks
MIB = 2**20


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    yield database
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def uploads(database: Database, folder: Path, clock: Clock) -> Uploads:
    return Uploads(
        database, folder, max_bytes=4 * MIB, quota=8 * MIB, min_free_bytes=0, clock=clock
    )


async def chunks(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def slot(name: str = "my.safetensors", requester: str = "ann", lifetime: float = KEEP_S) -> Slot:
    return Slot.new(name, requester, lifetime)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- Storing ----------------------------------------------------------------------------------


async def test_a_file_is_found_by_its_url_under_any_host_and_by_its_path_alone(
    uploads: Uploads,
) -> None:
    place = slot()
    stored = await uploads.store(place, chunks(BODY))
    assert stored.sha256 == hashlib.sha256(BODY).hexdigest()
    for reference in (
        place.path,
        f"https://anywhere.example{place.path}",
        f"http://127.0.0.1:8470{place.path}?download=1#top",
        f"https://proxy.example/behind/it{place.path}",
    ):
        assert await uploads.find(reference) == stored
    assert stored.path.read_bytes() == BODY
    assert (stored.name, stored.size) == ("my.safetensors", len(BODY))


@pytest.mark.parametrize(
    "reference",
    [
        "ghibli",
        "https://huggingface.co/a/b.safetensors",
        "/files/uploads/short/my.safetensors",
        f"/files/uploads/{'A' * 32}/my.safetensors",
        "/files/uploads/../jobs.db",
        "data:,files",
        "",
    ],
)
async def test_what_is_no_upload_is_not_found(uploads: Uploads, reference: str) -> None:
    await uploads.store(slot(), chunks(BODY))
    assert await uploads.find(reference) is None


def test_ids_cannot_be_guessed_and_names_are_safe_in_a_url() -> None:
    ids = {slot().id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(file_id) == 32 for file_id in ids)
    assert slot("../../etc/passwd").name == "etc_passwd"
    assert slot("Grüße an <b>.safetensors").name == "Gr_e_an_b_.safetensors"
    assert slot("...").name == "upload.bin"
    assert all(is_ours(slot(name).path) for name in ("a b", "x" * 500, "%2F", "☃"))


async def test_equal_bytes_are_kept_once_under_urls_of_their_own(
    uploads: Uploads, folder: Path
) -> None:
    first, second = slot(), slot("other.safetensors", "bob")
    one = await uploads.store(first, chunks(BODY))
    two = await uploads.store(second, chunks(BODY))
    assert first.path != second.path
    assert one.path == two.path
    assert names(folder) == [one.sha256]


async def test_sending_the_same_file_to_a_url_again_changes_nothing_and_another_is_refused(
    uploads: Uploads,
) -> None:
    place = slot()
    stored = await uploads.store(place, chunks(BODY))
    assert await uploads.store(place, chunks(BODY)) == stored
    with pytest.raises(BadUpload, match="already has another file"):
        await uploads.store(place, chunks(b"something else"))
    found = await uploads.find(place.path)
    assert found is not None
    assert found.path.read_bytes() == BODY


async def test_an_empty_file_is_a_file(uploads: Uploads) -> None:
    place = slot("empty.bin")
    await uploads.store(place, chunks(b""))
    found = await uploads.find(place.path)
    assert found is not None
    assert found.size == 0


# --- What goes wrong --------------------------------------------------------------------------


async def test_a_file_that_is_too_large_leaves_nothing(uploads: Uploads, folder: Path) -> None:
    place = slot()
    with pytest.raises(UploadTooLarge, match=r"at most 4 MB can be uploaded"):
        await uploads.store(place, chunks(bytes(4 * MIB + 1)))
    assert await uploads.find(place.path) is None
    assert names(folder) == []


async def test_an_upload_that_breaks_off_leaves_nothing(uploads: Uploads, folder: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield BODY
        raise ConnectionError

    place = slot()
    with pytest.raises(ConnectionError):
        await uploads.store(place, breaking())
    assert await uploads.find(place.path) is None
    assert names(folder) == []


async def test_an_upload_that_stops_arriving_is_given_up(database: Database, folder: Path) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield BODY
        await asyncio.Event().wait()

    uploads = Uploads(database, folder, min_free_bytes=0, idle_s=0.05)
    with pytest.raises(NotStored, match="stopped arriving"):
        await uploads.store(slot(), stalling())
    assert names(folder) == []


async def test_a_full_disk_is_said(database: Database, folder: Path) -> None:
    uploads = Uploads(database, folder, min_free_bytes=2**62)
    with pytest.raises(NotStored, match="disk is too full"):
        await uploads.store(slot(), chunks(BODY))
    assert names(folder) == []


async def test_what_a_killed_process_left_is_gone_after_the_next_start(
    uploads: Uploads, folder: Path
) -> None:
    kept = await uploads.store(slot(), chunks(BODY))
    (folder / ".0123456789abcdef.part").write_bytes(b"half")
    (folder / ("0" * 64)).write_bytes(b"whole, but its row was never written")
    await uploads.start()
    assert names(folder) == [kept.sha256]


# --- Quotas -----------------------------------------------------------------------------------


async def test_each_requester_has_a_quota_of_their_own(uploads: Uploads, folder: Path) -> None:
    for seed in (b"a", b"b"):
        await uploads.store(slot(), chunks(seed * 3 * MIB))
    before = names(folder)
    with pytest.raises(QuotaReached, match=r"more than the 8 MB that you may have here"):
        await uploads.store(slot(), chunks(b"c" * 3 * MIB))
    assert names(folder) == before
    await uploads.store(slot(requester="bob"), chunks(b"c" * 3 * MIB))


async def test_files_that_arrive_at_the_same_time_count_together(uploads: Uploads) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a" * 4 * MIB
        arrived.set()
        await go_on.wait()

    first = asyncio.create_task(uploads.store(slot(), slow()))
    await asyncio.wait_for(arrived.wait(), 10)
    await uploads.store(slot(), chunks(b"b" * 3 * MIB))
    with pytest.raises(QuotaReached):
        await uploads.store(slot(), chunks(b"c" * 3 * MIB))
    go_on.set()
    await first
    await uploads.store(slot(), chunks(b"d" * MIB))  # what was refused takes no room any more


# --- Expiry -----------------------------------------------------------------------------------


async def test_a_file_expires_and_its_bytes_go_with_the_last_url_that_has_them(
    uploads: Uploads, folder: Path, clock: Clock
) -> None:
    short, long = slot(lifetime=60), slot()
    await uploads.store(short, chunks(BODY))
    stored = await uploads.store(long, chunks(BODY))
    clock.now += 61
    assert await uploads.find(short.path) is None
    await uploads.sweep()
    assert await uploads.find(long.path) == stored
    assert names(folder) == [stored.sha256]
    clock.now += KEEP_S
    await uploads.sweep()
    assert names(folder) == []


async def test_a_lifetime_is_at_most_a_week(uploads: Uploads, clock: Clock) -> None:
    place = slot(lifetime=float("inf"))
    await uploads.store(place, chunks(BODY))
    clock.now += KEEP_S
    assert await uploads.find(place.path) is None
    assert slot(lifetime=float("nan")).lifetime == 1.0


async def test_a_file_that_a_job_in_flight_names_is_kept_beyond_its_end(
    uploads: Uploads, database: Database, clock: Clock
) -> None:
    place = slot(lifetime=60)
    stored = await uploads.store(place, chunks(BODY))
    jobs = JobStore(database, clock)
    url = f"http://127.0.0.1:8470{place.path}"
    job = await jobs.submit(
        JobDraft(
            id=str(uuid.uuid4()),
            surface="test",
            requester="ann",
            place=Place(),
            request=parse_request({"prompt": "a cat", "seed": 1, "loras": [{"path": url}]}),
            backend="stub",
        ),
        Limits(),
        {},
    )
    clock.now += 61
    await uploads.sweep()
    assert await uploads.find(url) is None
    assert await uploads.find(url, expired=True) == stored
    cancelled = await jobs.request_cancel(job.id)
    assert cancelled is not None
    await jobs.report(cancelled)
    await uploads.sweep()
    assert await uploads.find(url, expired=True) is None


# --- Data URIs --------------------------------------------------------------------------------


async def test_a_lora_inside_a_request_becomes_an_upload_for_a_day(
    uploads: Uploads, clock: Clock
) -> None:
    uri = f"data:application/octet-stream;base64,{base64.b64encode(BODY).decode()}"
    fields = {"prompt": "a cat", "loras": [{"path": "ghibli"}, {"path": uri, "scale": 0.5}]}
    adopted = await uploads.adopt_data_uris(fields, "ann")
    request = parse_request(adopted)
    assert request.loras[0].path == "ghibli"
    assert request.loras[1].scale == 0.5
    found = await uploads.find(request.loras[1].path)
    assert found is not None
    assert found.path.read_bytes() == BODY
    clock.now += KEEP_ADOPTED_S
    assert await uploads.find(request.loras[1].path) is None


async def test_the_same_lora_inside_many_requests_takes_room_once(
    uploads: Uploads, clock: Clock
) -> None:
    uri = f"data:;base64,{base64.b64encode(BODY).decode()}"

    async def adopt(requester: str = "ann") -> str:
        adopted = await uploads.adopt_data_uris({"loras": [{"path": uri}]}, requester)
        return parse_request({"prompt": "a cat", **adopted}).loras[0].path

    first = await adopt()
    for _ in range(4):  # five of them would be beyond the quota
        clock.now += KEEP_ADOPTED_S - 1
        assert await adopt() == first
        assert await uploads.find(first) is not None
    assert await adopt("bob") != first


@pytest.mark.parametrize(
    "fields", [{}, {"loras": None}, {"loras": "data:,x"}, {"loras": ["data:,x", {"path": 3}, {}]}]
)
async def test_fields_that_are_none_are_left_to_whoever_checks_them(
    uploads: Uploads, fields: dict[str, object]
) -> None:
    assert await uploads.adopt_data_uris(fields, "ann") == fields


async def test_a_data_uri_that_is_damaged_or_too_large_is_named_by_its_field(
    uploads: Uploads,
) -> None:
    damaged = {"loras": [{"path": "ghibli"}, {"path": "data:;base64,!"}]}
    with pytest.raises(BadUpload, match=r"^loras\.1\.path cannot be read\. The data URI is damag"):
        await uploads.adopt_data_uris(damaged, "ann")
    large = {"loras": [{"path": f"data:,{'a' * (MAX_DATA_URI + 1)}"}]}
    with pytest.raises(UploadTooLarge, match=r"^loras\.0\.path is a data URI of more than 64 MB"):
        await uploads.adopt_data_uris(large, "ann")
