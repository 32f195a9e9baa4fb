"""EXIF: a TIFF structure of directories. Sources: TIFF 6.0, section 2; Exif 2.32, 4.6.5."""

import struct
from typing import Final

from bot.metadata.base import MAX_TEXT, Texts

_EXIF_IFD, _EXIF_VERSION, _MAKER_NOTE, _USER_COMMENT = 0x8769, 0x9000, 0x927C, 0x9286
_COMFY_TAGS: Final = (0x010E, 0x010F, 0x0110)
"""ImageDescription, Make, Model: where ComfyUI's WebP nodes put `prompt:{…}`."""
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_UNDEFINED: Final = 7
_EMPTY: Final = b"MM\0*\0\0\0\0"
_SIGNATURE: Final = b"ATELIER\0"
_NOTE_HEAD: Final = len(_SIGNATURE) + 8

_Directory = dict[int, bytes]
"""The raw 12 bytes of each entry by its tag."""


def write(tiff: bytes, parameters: str, document: str) -> bytes:
    """Append both texts and new directories to a TIFF structure, which may be empty.

    What was there keeps its place, so that thumbnails and notes with offsets of their own stay
    right. Our note begins with the old length and the old first directory: the next recipe undoes
    this one with them. A structure that cannot be read is replaced.
    """
    try:
        tiff = _without_ours(tiff)
        order, main, following, exif = _directories(tiff)
    except (struct.error, ValueError):
        tiff = _EMPTY
        order, main, following, exif = _directories(tiff)
    out = bytearray(tiff)

    def append(data: bytes) -> int:
        out.extend(b"\0" * (len(out) % 2))
        at = len(out)
        out.extend(data)
        return at

    def put(tag: int, data: bytes) -> None:
        exif[tag] = struct.pack(order + "HHII", tag, _UNDEFINED, len(data), append(data))

    exif.pop(_USER_COMMENT, None)
    if parameters:
        put(_USER_COMMENT, b"UNICODE\0" + parameters.encode("utf-16-be"))
    undo = struct.pack(">I", len(tiff)) + tiff[4:8]
    put(_MAKER_NOTE, _SIGNATURE + undo + document.encode())
    version = struct.pack(order + "HHI4s", _EXIF_VERSION, _UNDEFINED, 4, b"0232")
    exif.setdefault(_EXIF_VERSION, version)
    exif_at = append(_packed(order, exif, 0))
    main[_EXIF_IFD] = struct.pack(order + "HHII", _EXIF_IFD, 4, 1, exif_at)
    main_at = append(_packed(order, main, following))
    out[4:8] = struct.pack(order + "I", main_at)
    return bytes(out)


def read(tiff: bytes) -> Texts:
    try:
        order, main, _, exif = _directories(tiff)
        note = _value(tiff, order, exif.get(_MAKER_NOTE))
        comment = _value(tiff, order, exif.get(_USER_COMMENT))
        labels = [_value(tiff, order, main.get(tag)) for tag in _COMFY_TAGS]
    except (struct.error, ValueError):
        return Texts()
    graph = next((label[7:] for label in labels if label[:7].lower() == b"prompt:"), b"")
    return Texts(
        note[_NOTE_HEAD:].decode("utf-8", "replace") if note.startswith(_SIGNATURE) else None,
        _comment(comment) or None,
        graph.decode("utf-8", "replace").rstrip("\0") or None,
    )


def _directories(tiff: bytes) -> tuple[str, _Directory, int, _Directory]:
    """Return byte order, first directory, offset of the one that follows it, EXIF directory.

    Raises:
        struct.error, ValueError: this is no sound TIFF structure.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        raise ValueError("no TIFF header")
    at = _number(tiff, order, 4)
    main, following = _directory(tiff, order, at) if at else ({}, 0)
    exif: _Directory = {}
    if pointer := main.get(_EXIF_IFD):
        exif, _ = _directory(tiff, order, _number(pointer, order, 8))
    return order, main, following, exif


def _directory(tiff: bytes, order: str, at: int) -> tuple[_Directory, int]:
    (count,) = struct.unpack_from(order + "H", tiff, at)
    end = at + 2 + 12 * count
    following = _number(tiff, order, end)
    entries = [tiff[start : start + 12] for start in range(at + 2, end, 12)]
    return {struct.unpack_from(order + "H", entry)[0]: entry for entry in entries}, following


def _packed(order: str, directory: _Directory, following: int) -> bytes:
    entries = b"".join(directory[tag] for tag in sorted(directory))
    return struct.pack(order + "H", len(directory)) + entries + struct.pack(order + "I", following)


def _number(data: bytes, order: str, at: int) -> int:
    return int(struct.unpack_from(order + "I", data, at)[0])


def _value(tiff: bytes, order: str, entry: bytes | None) -> bytes:
    """Return an entry's bytes; none where it is absent or too long."""
    if entry is None:
        return b""
    (kind,) = struct.unpack_from(order + "H", entry, 2)
    size = _SIZES.get(kind, 0) * _number(entry, order, 4)
    if size <= 4:
        return entry[8 : 8 + size]
    at = _number(entry, order, 8)
    if at + size > len(tiff):
        raise ValueError("a value lies outside the file")
    return tiff[at : at + size] if size <= MAX_TEXT else b""


def _without_ours(tiff: bytes) -> bytes:
    """Take away what `write` appended, unless another program has rewritten the whole since."""
    if not tiff:
        return _EMPTY
    order, main, _, exif = _directories(tiff)
    note = _value(tiff, order, exif.get(_MAKER_NOTE))
    if note.startswith(_SIGNATURE) and len(note) >= _NOTE_HEAD:
        length, main_at = _number(note, ">", len(_SIGNATURE)), _number(tiff, order, 4)
        ends_with_ours = main_at + 2 + 12 * len(main) + 4 == len(tiff)
        if ends_with_ours and len(_EMPTY) <= length <= main_at:
            return tiff[:4] + note[_NOTE_HEAD - 4 : _NOTE_HEAD] + tiff[8:length]
    return tiff


def _comment(comment: bytes) -> str:
    """Decode a UserComment by its 8-byte character code, about which programs disagree."""
    code, body = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        if body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            return body.decode("utf-16", "replace")
        if 0 not in body:  # UTF-8 under a wrong label: every A1111 text has ASCII in it
            return body.decode("utf-8", "replace")
        # The standard leaves the byte order open; in big endian ASCII has its zeros first.
        big = body[0::2].count(0) >= body[1::2].count(0)
        return body.decode("utf-16-be" if big else "utf-16-le", "replace")
    if code == b"JIS\0\0\0\0\0":
        return body.decode("iso2022_jp", "replace")
    if code in {b"ASCII\0\0\0", bytes(8)}:
        return body.decode("utf-8", "replace").rstrip("\0")
    return comment.decode("utf-8", "replace").rstrip("\0")
