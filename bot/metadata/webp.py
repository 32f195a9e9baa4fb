"""WebP: an EXIF chunk, which only the extended form may have. Source: RFC 9649, section 2."""

import struct
from collections.abc import Iterator
from typing import Final

from bot.metadata import exif
from bot.metadata.base import MAX_CHUNKS, Texts, damaged, too_many_parts

_HAS_ALPHA, _HAS_EXIF = 0x10, 0x08
_PICTURE: Final = frozenset({b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})
_PREFIX: Final = b"Exif\0\0"
"""JPEG's, which some programs write here too."""


def write(data: bytes, parameters: str, document: str) -> bytes:
    chunks = list(_chunks(data))
    kind, body = chunks[0] if chunks else (b"", b"")
    if kind != b"VP8X":
        body = _extended_header(kind, body)
        chunks.insert(0, (b"VP8X", body))
    elif len(body) != 10:
        raise damaged("WebP")
    chunks[0] = (b"VP8X", bytes([body[0] | _HAS_EXIF]) + body[1:])

    kinds = [kind for kind, _ in chunks]
    if b"EXIF" in kinds:
        place = kinds.index(b"EXIF")
        old = chunks.pop(place)[1].removeprefix(_PREFIX)
    else:  # behind the picture, before XMP and what nobody knows
        place = 1 + max(n for n, kind in enumerate(kinds) if kind in _PICTURE)
        old = b""
    chunks.insert(place, (b"EXIF", exif.write(old, parameters, document)))
    riff = b"WEBP" + b"".join(
        struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) % 2)
        for kind, body in chunks
    )
    return struct.pack("<4sI", b"RIFF", len(riff)) + riff + data[_end(data) :]


def read(data: bytes) -> Texts:
    blocks = (body for kind, body in _chunks(data) if kind == b"EXIF")
    block = next(blocks, None)
    return exif.read(block.removeprefix(_PREFIX)) if block else Texts()


def _end(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of every chunk that RIFF's own size covers."""
    position, stop = 12, _end(data)
    if stop > len(data):
        raise damaged("WebP")
    for _ in range(MAX_CHUNKS):
        if position + 8 > stop:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        position += 8
        if position + length > stop:
            raise damaged("WebP")
        yield kind, data[position : position + length]
        position += length + length % 2
    raise too_many_parts("WebP")


def _extended_header(kind: bytes, body: bytes) -> bytes:
    """Say in a VP8X chunk what a simple file says in the head of its picture."""
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        width, height, alpha = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bits >> 28 & 1
    elif kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        alpha = 0
    else:
        raise damaged("WebP")
    if not (width and height):
        raise damaged("WebP")
    flags = bytes([_HAS_ALPHA if alpha else 0, 0, 0, 0])
    return flags + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
