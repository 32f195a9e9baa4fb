"""PNG: text chunks right behind the header. Source: PNG 1.2, sections 3.2 and 4.2.3."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from bot.metadata.base import MAX_CHUNKS, MAX_TEXT, Texts, damaged, too_many_parts

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TEXT_KINDS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def write(data: bytes, parameters: str, document: str) -> bytes:
    try:
        text = _chunk(b"tEXt", b"parameters\0" + parameters.encode("latin-1"))
    except UnicodeEncodeError:
        text = _chunk(b"iTXt", b"parameters\0\0\0\0\0" + parameters.encode())
    parts, end = [SIGNATURE], len(SIGNATURE)
    for kind, start, end in _chunks(data):
        ours = kind in _TEXT_KINDS and _keyword(data, start, end) in {b"parameters", b"atelier"}
        if not ours:
            parts.append(data[start:end])
        if kind == b"IHDR":
            parts += [text, _chunk(b"iTXt", b"atelier\0\0\0\0\0" + document.encode())]
    return b"".join([*parts, data[end:]])


def read(data: bytes) -> Texts:
    found: dict[bytes, str | None] = {}
    for kind, start, end in _chunks(data):
        if kind in _TEXT_KINDS:
            keyword = _keyword(data, start, end)
            # Only the first of a name is unpacked, so that a file cannot hold a thousand bombs.
            if keyword in {b"atelier", b"parameters", b"prompt"} and keyword not in found:
                found[keyword] = _text(kind, data[start + 9 + len(keyword) : end - 4])
    return Texts(found.get(b"atelier"), found.get(b"parameters"), found.get(b"prompt"))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of every chunk from IHDR to IEND."""
    position = len(SIGNATURE)
    for number in range(MAX_CHUNKS):
        if position + 12 > len(data):
            raise damaged("PNG")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or (kind == b"IHDR") != (number == 0):
            raise damaged("PNG")
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end
    raise too_many_parts("PNG")


def _keyword(data: bytes, start: int, end: int) -> bytes:
    return data[start + 8 : min(end - 4, start + 88)].partition(b"\0")[0]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _text(kind: bytes, body: bytes) -> str | None:
    """Decode what follows keyword and separator; None where it is malformed or too long."""
    packed, coding = kind == b"zTXt", "latin-1"
    if packed:
        body = body[1:]  # the method, of which there is one
    elif kind == b"iTXt":
        fields = body[2:].split(b"\0", 2)  # language tag, translated keyword, text
        if len(fields) != 3:
            return None
        packed, body, coding = body[0] == 1, fields[2], "utf-8"
    if packed:
        try:
            body = zlib.decompressobj().decompress(body, MAX_TEXT + 1)
        except zlib.error:
            return None
    return body.decode(coding, "replace") if len(body) <= MAX_TEXT else None
