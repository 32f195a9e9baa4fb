"""JPEG: EXIF in an APP1 segment behind JFIF's APP0. Source: ITU T.81, annex B."""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from bot.metadata import exif
from bot.metadata.base import MAX_CHUNKS, RecipeError, Texts, damaged, too_many_parts

SIGNATURE: Final = b"\xff\xd8\xff"
_APP0, _APP1, _SOS, _EOI = 0xE0, 0xE1, 0xDA, 0xD9
_PADDED_MARK: Final = re.compile(b"\xff+")
_EXIF: Final = b"Exif\0\0"
_MAX_EXIF: Final = 0xFFFF - 2 - len(_EXIF)
"""A segment's 16-bit length counts itself."""


class _Segment(NamedTuple):
    marker: int
    start: int
    body: int
    end: int


def write(data: bytes, parameters: str, document: str) -> bytes:
    start = end = len(SIGNATURE) - 1
    old = b""
    if found := _exif_segment(data):
        start, end = found.start, found.end
        old = data[found.body + len(_EXIF) : end]
    else:
        for segment in _segments(data):
            if segment.marker != _APP0:
                break
            start = end = segment.end
    block = exif.write(old, parameters, document)
    if len(block) > _MAX_EXIF:
        block = exif.write(old, "", document)
    if len(block) > _MAX_EXIF:
        raise RecipeError(
            "The recipe is too long for a JPEG file, which holds 64 KB of it; choose png or webp."
        )
    head = struct.pack(">BBH", 0xFF, _APP1, 2 + len(_EXIF) + len(block))
    return data[:start] + head + _EXIF + block + data[end:]


def read(data: bytes) -> Texts:
    found = _exif_segment(data)
    return exif.read(data[found.body + len(_EXIF) : found.end]) if found else Texts()


def _exif_segment(data: bytes) -> _Segment | None:
    segments = (s for s in _segments(data) if s.marker == _APP1)
    return next((s for s in segments if data.startswith(_EXIF, s.body, s.end)), None)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield every segment between SOI and the first scan."""
    start = len(SIGNATURE) - 1
    for _ in range(MAX_CHUNKS):
        mark = _PADDED_MARK.match(data, start)
        if mark is None or mark.end() + 3 > len(data):
            raise damaged("JPEG")
        marker, length = struct.unpack_from(">BH", data, mark.end())
        if marker == _SOS:
            return
        end = mark.end() + 1 + length
        if length < 2 or marker == _EOI or end > len(data):
            raise damaged("JPEG")
        yield _Segment(marker, start, mark.end() + 3, end)
        start = end
    raise too_many_parts("JPEG")
