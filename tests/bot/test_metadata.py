"""Where the texts stand in each format, and what a hostile file may cost."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from bot import metadata
from bot.metadata import RecipeError, Texts
from bot.metadata.base import MAX_CHUNKS, MAX_FILE, MAX_TEXT

NOISE = Image.effect_noise((63, 47), 90).convert("RGB")
DOCUMENT = '{"a": "ü 🦊"}'


def saved(kind: str, image: Image.Image = NOISE, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PNG, JPEG, WEBP = saved("png"), saved("jpeg"), saved("webp")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes) -> bytes:
    """Put chunks behind the header, which is 8 + 25 bytes."""
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        assert data[position + 8 + length :][:4] == struct.pack(">I", zlib.crc32(kind + body))
        yield kind, body
        position += 12 + length


def webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    found, position = [], 12
    while position < len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    assert position == len(data)
    return found


def tiff(order: str, main: dict[int, bytes], exif: dict[int, bytes]) -> bytes:
    """Lay out two directories of UNDEFINED values, as a program that is not ours would."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))

    def directory(values: dict[int, bytes], pointer: bool) -> None:
        count = len(values) + pointer
        data_at = len(out) + 2 + 12 * count + 4
        entries, data = b"", b""
        for tag, value in sorted(values.items()):
            entries += struct.pack(order + "HHII", tag, 7, len(value), data_at + len(data))
            data += value
        if pointer:
            entries += struct.pack(order + "HHII", 0x8769, 4, 1, data_at + len(data))
        out.extend(struct.pack(order + "H", count) + entries + bytes(4) + data)

    directory(main, pointer=True)
    directory(exif, pointer=False)
    return bytes(out)


def jpeg_with(exif: bytes) -> bytes:
    return JPEG[:2] + struct.pack(">HH", 0xFFE1, len(exif) + 8) + b"Exif\0\0" + exif + JPEG[2:]


# --- PNG --------------------------------------------------------------------------------------


def test_png_keeps_every_other_chunk_in_its_order_and_sets_checksums() -> None:
    foreign = [
        png_chunk(b"tEXt", b"Software\0another"),
        png_chunk(b"prVt", b"whatever"),
        png_chunk(b"tEXt", b"parametersX\0not ours"),
    ]
    data = png_with(*foreign) + b"trailing bytes"
    written = metadata.write(data, "plain", DOCUMENT)
    assert written.endswith(b"trailing bytes")
    chunks = list(png_chunks(written.removesuffix(b"trailing bytes")))
    assert chunks[1] == (b"tEXt", b"parameters\0plain")
    assert chunks[2] == (b"iTXt", b"atelier\0\0\0\0\0" + DOCUMENT.encode())
    before = list(png_chunks(data.removesuffix(b"trailing bytes")))
    assert chunks[:1] + chunks[3:] == before


def test_png_text_is_latin_1_where_that_is_enough_and_utf_8_elsewhere() -> None:
    assert b"tEXtparameters\0caf\xe9" in metadata.write(PNG, "café", "{}")
    assert "iTXtparameters\0\0\0\0\0café 🦊".encode() in metadata.write(PNG, "café 🦊", "{}")
    for text in ("café", "café 🦊"):
        assert metadata.read(metadata.write(PNG, text, DOCUMENT)) == Texts(DOCUMENT, text)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"parameters\0a caf\xe9"),
        png_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a caf\xe9")),
        png_chunk(b"iTXt", b"parameters\0\0\0\0\0" + "a café".encode()),
        png_chunk(b"iTXt", b"parameters\0\0\0en\0Angaben\0" + "a café".encode()),
        png_chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress("a café".encode())),
    ],
)
def test_png_text_is_read_in_all_its_forms_and_replaced(chunk: bytes) -> None:
    assert metadata.read(png_with(chunk)).parameters == "a café"
    assert metadata.write(png_with(chunk), "new", "{}") == metadata.write(PNG, "new", "{}")


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"parameters"),
        png_chunk(b"zTXt", b"parameters\0\0no zlib"),
        png_chunk(b"zTXt", b"parameters\0"),
        png_chunk(b"iTXt", b"parameters\0\0\0no separators"),
        png_chunk(b"iTXt", b"parameters\0"),
        png_chunk(b"tEXt", b"parameters\0" + b"x" * (MAX_TEXT + 1)),
    ],
)
def test_a_malformed_or_endless_text_is_no_text(chunk: bytes) -> None:
    assert not metadata.read(png_with(chunk)).parameters


@pytest.mark.timeout(20)  # a minute and gigabytes if all were unpacked
def test_a_packed_bomb_costs_no_more_than_the_largest_text() -> None:
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    data = png_with(*[png_chunk(b"zTXt", b"parameters\0\0" + bomb)] * 40)
    assert metadata.read(data) == Texts()


# --- JPEG -------------------------------------------------------------------------------------


def test_jpeg_gets_its_segment_behind_jfif_and_nothing_else_moves() -> None:
    written = metadata.write(JPEG, "text", DOCUMENT)
    jfif_end = 4 + struct.unpack_from(">H", JPEG, 4)[0]
    assert written[:jfif_end] == JPEG[:jfif_end]
    marker, length = struct.unpack_from(">HH", written, jfif_end)
    assert marker == 0xFFE1
    assert written[jfif_end + 2 + length :] == JPEG[jfif_end:]


def test_jpeg_without_jfif_gets_its_segment_first() -> None:
    bare = JPEG[:2] + JPEG[4 + struct.unpack_from(">H", JPEG, 4)[0] :]
    written = metadata.write(bare, "text", DOCUMENT)
    assert written[:4] == b"\xff\xd8\xff\xe1"
    assert metadata.read(written) == Texts(DOCUMENT, "text")
    with Image.open(io.BytesIO(written)) as image:
        image.load()


def test_jpeg_markers_may_be_padded() -> None:
    padded = JPEG[:2] + b"\xff" * 5 + JPEG[2:]
    assert metadata.read(metadata.write(padded, "text", DOCUMENT)) == Texts(DOCUMENT, "text")


def test_an_exif_block_that_nobody_can_read_is_replaced() -> None:
    for broken in (b"", b"II", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"junk" * 9):
        assert metadata.read(jpeg_with(broken)) == Texts()
        written = metadata.write(jpeg_with(broken), "text", DOCUMENT)
        assert metadata.read(written) == Texts(DOCUMENT, "text")


def test_a_block_whose_note_lies_about_what_was_there_is_left_whole() -> None:
    for length in (0, 9, 2**31):
        note = b"ATELIER\0" + struct.pack(">II", length, 8) + b"{}"
        block = tiff(">", {0x010F: b"a maker"}, {0x927C: note})
        written = metadata.write(jpeg_with(block), "text", DOCUMENT)
        assert metadata.read(written) == Texts(DOCUMENT, "text")
        with Image.open(io.BytesIO(written)) as image:
            assert image.getexif()[0x010F] == b"a maker"


# --- WebP -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", [(63, 47), (1, 1), (640, 2)])
def test_webp_becomes_extended_with_the_picture_untouched(
    lossless: bool, alpha: bool, size: tuple[int, int]
) -> None:
    image = NOISE.resize(size)
    if alpha:
        image.putalpha(Image.effect_noise(size, 90))
    data = saved("webp", image, lossless=lossless)
    chunks = webp_chunks(metadata.write(data, "text", DOCUMENT))
    assert [kind for kind, _ in chunks][0::2][:1] == [b"VP8X"]
    flags = chunks[0][1][0]
    assert bool(flags & 0x10) == alpha
    assert flags & 0x08
    width, height = (int.from_bytes(chunks[0][1][at : at + 3], "little") + 1 for at in (4, 7))
    assert (width, height) == size
    assert chunks[-1][0] == b"EXIF"
    before = [chunk for chunk in webp_chunks(data) if chunk[0] != b"VP8X"]
    assert chunks[1:-1] == before


def test_webp_keeps_profile_xmp_and_unknown_chunks_in_their_order() -> None:
    data = saved("webp", icc_profile=b"p" * 131, xmp=b"<x/>")
    data += struct.pack("<4sI", b"prVt", 3) + b"abc\0"
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    chunks = webp_chunks(metadata.write(data, "text", DOCUMENT))
    assert [kind for kind, _ in chunks] == [b"VP8X", b"ICCP", b"VP8 ", b"EXIF", b"XMP ", b"prVt"]
    assert chunks[0][1][0] == 0x20 | 0x08 | 0x04
    assert chunks[-1][1] == b"abc"


def test_webp_exif_may_have_jpegs_prefix() -> None:
    with_exif = saved("webp", exif=b"Exif\0\0" + tiff("<", {}, {0x9286: b"ASCII\0\0\0hello"}))
    assert metadata.read(with_exif).parameters == "hello"


# --- EXIF texts of others ---------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + "über 鹿, Steps: 2".encode("utf-16-be"),
        b"UNICODE\0" + "über 鹿, Steps: 2".encode("utf-16-le"),
        b"UNICODE\0" + "über 鹿, Steps: 2".encode("utf-16"),
        b"UNICODE\0" + "über 鹿, Steps: 2".encode(),
        b"ASCII\0\0\0" + "über 鹿, Steps: 2".encode() + b"\0\0",
        bytes(8) + "über 鹿, Steps: 2".encode(),
        "über 鹿, Steps: 2".encode(),
    ],
)
def test_a_user_comment_is_read_whatever_its_writer_made_of_the_standard(
    order: str, comment: bytes
) -> None:
    data = jpeg_with(tiff(order, {}, {0x9286: comment}))
    assert metadata.read(data).parameters == "über 鹿, Steps: 2"


def test_a_user_comment_in_jis_is_read() -> None:
    comment = b"JIS\0\0\0\0\0" + "鹿 Steps: 2".encode("iso2022_jp")
    assert metadata.read(jpeg_with(tiff(">", {}, {0x9286: comment}))).parameters == "鹿 Steps: 2"


def test_comfyuis_graph_is_found_in_an_image_tag() -> None:
    for tag in (0x010E, 0x010F, 0x0110):
        block = tiff("<", {tag: b'prompt:{"1": {}}\0'}, {})
        assert metadata.read(jpeg_with(block)).prompt == '{"1": {}}'


# --- Limits -----------------------------------------------------------------------------------


def endless(head: bytes, part: bytes) -> bytes:
    return head + part * ((MAX_FILE - len(head)) // len(part))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "data",
    [
        endless(PNG[:33], png_chunk(b"prVt", b"")),
        endless(PNG[:33], png_chunk(b"zTXt", b"parameters\0\0")),
        endless(b"\xff\xd8", b"\xff\xe0\x00\x02"),
        endless(b"\xff\xd8", b"\xff"),
        endless(b"RIFF" + struct.pack("<I", MAX_FILE - 100) + b"WEBP", b"prVt\0\0\0\0"),
    ],
    ids=["png", "png texts", "jpeg", "jpeg padding", "webp"],
)
def test_a_file_made_of_a_million_parts_is_given_up_quickly(data: bytes) -> None:
    with pytest.raises(RecipeError, match=f"more than {MAX_CHUNKS} parts|damaged"):
        metadata.read(data)


def test_a_file_beyond_the_limit_is_not_looked_at() -> None:
    with pytest.raises(RecipeError, match="has 65 MB; at most 64 MB are read"):
        metadata.read(PNG + bytes(MAX_FILE + 2**20))


def test_an_exif_value_that_points_outside_is_no_value() -> None:
    block = bytearray(tiff(">", {}, {0x9286: b"ASCII\0\0\0hello"}))
    for at in range(len(block) - 4):
        broken = bytes(block[:at]) + b"\xff\xff\xff\xff" + bytes(block[at + 4 :])
        assert metadata.read(jpeg_with(broken)).document is None
