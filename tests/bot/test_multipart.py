"""Uploads in several parts: in any order, at the same time, again and again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.database import Database
from bot.jobs.store import migrations
from bot.multipart import MultipartUploads
from bot.uploads import BadUpload, QuotaReached, Slot, Uploads, UploadTooLarge, UploadUnknown

MIB = 2**20
PARTS = [bytes([number]) * MIB for number in (1, 2, 2, 3)]  # two of them are equal
WHOLE = b"".join(PARTS)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def uploads(tmp_path: Path) -> AsyncIterator[Uploads]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    yield Uploads(
        database, tmp_path / "uploads", max_bytes=5 * MIB, quota=6 * MIB, min_free_bytes=0
    )
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def multipart(uploads: Uploads, clock: Clock) -> MultipartUploads:
    return MultipartUploads(uploads, clock)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def send(multipart: MultipartUploads, upload_id: str) -> list[tuple[int, str]]:
    """Send all parts at once, the last one first."""
    numbers = range(len(PARTS), 0, -1)
    etags = await asyncio.gather(
        *(multipart.put(upload_id, number, once(PARTS[number - 1])) for number in numbers)
    )
    return list(zip(numbers, etags, strict=True))


def files(uploads: Uploads) -> list[Path]:
    return [path for path in uploads.folder.rglob("*") if path.is_file()]


async def test_parts_become_one_file_in_the_order_of_their_numbers(
    multipart: MultipartUploads, uploads: Uploads
) -> None:
    slot = Slot.new("big.safetensors", "ann")
    upload_id = multipart.begin(slot)
    named = await send(multipart, upload_id)
    assert await uploads.find(slot.path) is None
    upload = await multipart.complete(upload_id, named)
    assert upload.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert await uploads.find(slot.path) == upload
    assert files(uploads) == [upload.path]


async def test_completing_again_after_a_lost_answer_gives_the_same_file(
    multipart: MultipartUploads,
) -> None:
    upload_id = multipart.begin(Slot.new("big.safetensors", "ann"))
    named = await send(multipart, upload_id)
    first, second = await asyncio.gather(
        multipart.complete(upload_id, named), multipart.complete(upload_id, named)
    )
    assert first == second == await multipart.complete(upload_id, named)
    with pytest.raises(UploadUnknown):
        await multipart.put(upload_id, 1, once(b"too late"))


async def test_a_part_sent_again_takes_the_place_of_the_first(
    multipart: MultipartUploads,
) -> None:
    upload_id = multipart.begin(Slot.new("big.safetensors", "ann"))
    stale = await multipart.put(upload_id, 1, once(b"broken"))
    etag = await multipart.put(upload_id, 1, once(b"whole"))
    with pytest.raises(BadUpload, match="Part 1 has not arrived, or is another one"):
        await multipart.complete(upload_id, [(1, stale)])
    upload = await multipart.complete(upload_id, [(1, f'"{etag}"')])
    assert upload.path.read_bytes() == b"whole"


@pytest.mark.parametrize("named", [[], [1, 1], [1, 2], [0]])
async def test_parts_that_make_no_file_are_refused_and_the_upload_goes_on(
    multipart: MultipartUploads, named: list[int]
) -> None:
    upload_id = multipart.begin(Slot.new("big.safetensors", "ann"))
    etag = await multipart.put(upload_id, 1, once(b"one"))
    with pytest.raises(BadUpload):
        await multipart.complete(upload_id, [(number, etag) for number in named])
    assert (await multipart.complete(upload_id, [(1, etag)])).path.read_bytes() == b"one"


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_a_part_number_out_of_range_is_refused(
    multipart: MultipartUploads, number: int
) -> None:
    upload_id = multipart.begin(Slot.new("big.safetensors", "ann"))
    with pytest.raises(BadUpload, match="use 1 to 10,000"):
        await multipart.put(upload_id, number, once(b"part"))


async def test_the_parts_count_against_the_quota_until_they_are_one_file_or_given_up(
    multipart: MultipartUploads, uploads: Uploads, clock: Clock
) -> None:
    upload_id = multipart.begin(Slot.new("big.safetensors", "ann"))
    await send(multipart, upload_id)
    other = multipart.begin(Slot.new("other.safetensors", "ann"))
    with pytest.raises(QuotaReached):
        await multipart.put(other, 1, once(bytes(3 * MIB)))
    clock.now += 3601
    await multipart.sweep()
    assert files(uploads) == []
    with pytest.raises(UploadUnknown, match="given up"):
        await multipart.put(upload_id, 1, once(b"part"))
    again = multipart.begin(Slot.new("other.safetensors", "ann"))
    etag = await multipart.put(again, 1, once(bytes(5 * MIB)))
    assert (await multipart.complete(again, [(1, etag)])).size == 5 * MIB


async def test_parts_that_are_too_large_together_make_no_file(
    multipart: MultipartUploads, uploads: Uploads
) -> None:
    slot = Slot.new("big.safetensors", "ann")
    upload_id = multipart.begin(slot)
    etags = [await multipart.put(upload_id, n, once(bytes(3 * MIB - n))) for n in (1, 2)]
    with pytest.raises(UploadTooLarge):
        await multipart.complete(upload_id, list(enumerate(etags, 1)))
    assert await uploads.find(slot.path) is None


async def test_nobody_begins_more_than_ten_uploads(multipart: MultipartUploads) -> None:
    begun = [multipart.begin(Slot.new("a.bin", "ann")) for _ in range(10)]
    with pytest.raises(QuotaReached, match="10 uploads that are not finished"):
        multipart.begin(Slot.new("a.bin", "ann"))
    assert multipart.slot(multipart.begin(Slot.new("a.bin", "bob"))).requester == "bob"
    etag = await multipart.put(begun[0], 1, once(b"part"))
    await multipart.complete(begun[0], [(1, etag)])
    multipart.begin(Slot.new("a.bin", "ann"))


async def test_the_parts_of_an_earlier_process_are_gone_after_the_start(
    multipart: MultipartUploads, uploads: Uploads
) -> None:
    upload_id = multipart.begin(Slot.new("big.safetensors", "ann"))
    await send(multipart, upload_id)
    later = MultipartUploads(uploads)
    await later.start()
    assert files(uploads) == []
    with pytest.raises(UploadUnknown):
        later.slot(upload_id)
