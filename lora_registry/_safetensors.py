"""The safetensors format: a length, a JSON header, and the tensors end to end.

Stricter than the format itself, which allows duplicate names, 100 MB of header, empty tensors and
values that are not numbers. The error tree is drawn in `weights.py`.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, Final

from lora_registry._declared import clean

MAX_HEADER_BYTES: Final = 10_000_000
MAX_FILE_BYTES: Final = 2 * 1024**3
MAX_TENSORS: Final = 5_000

_MAX_MARKS: Final = 200_000
"""Brackets and colons in a header. The parser holds the interpreter's lock: ten megabytes of
brackets would stop the whole bot for a second and take 240 MB."""

_MAX_NAME: Final = 256
_MAX_DIMENSIONS: Final = 8
_MAX_NUMBER: Final = 2**48
_CHUNK: Final = 1024 * 1024

_DTYPES: Final = MappingProxyType(
    {
        **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
        **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
        **dict.fromkeys(("U32", "I32", "F32"), 4),
        **dict.fromkeys(("U64", "I64", "F64"), 8),
    }
)
"""Bytes a value."""

_HUGE: Final = bytes([0x7F, 0xFF])
_NOT_FINITE: Final = MappingProxyType(
    {
        "F16": bytes([*range(0x7C, 0x80), *range(0xFC, 0x100)]),
        "F8_E5M2": bytes([*range(0x7C, 0x80), *range(0xFC, 0x100)]),
        "F8_E4M3": _HUGE,
        **dict.fromkeys(("F64", "F32", "BF16"), _HUGE),
    }
)
"""Highest bytes of values that are infinite or no numbers: the exponent is all ones. For the wide
types that byte also covers magnitudes from 2**127 (F64: 2**1009), which no weight has."""


class WeightsError(Exception):
    """Base of the tree. `str(error)` is a sentence for the person who brought the file."""


class NotSafetensors(WeightsError):
    """The file is of another kind."""


class Damaged(WeightsError):
    """The file contradicts itself."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The LoRA file is damaged: {problem}. Download it again or use another copy."
        )


class LimitExceeded(WeightsError):
    """The file is larger in some way than anything a LoRA needs."""

    def __init__(self, what: str, value: int, limit: int) -> None:
        super().__init__(
            f"The {what} of this LoRA file is {value:,}; at most {limit:,} can be used. "
            "Use a smaller one."
        )


class HeaderIncomplete(WeightsError):
    """The header goes on: the file's first `needed` bytes hold all of it."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"The header of the LoRA file is {needed:,} bytes long; read them all.")
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the header; `begin` and `end` count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was checked: the tensors fill the file without gap or overlap.

    `data_start` is where the first tensor lies in the file, `size` what the whole file has.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(repr=False)
    data_start: int
    size: int


def parse_header(first_bytes: bytes, total_size: int | None) -> Header:
    """Parse and check the header in a file's first bytes; `total_size` is the file's, if known.

    Raises:
        HeaderIncomplete: `first_bytes` end before the header does.
        WeightsError: see the tree above.
    """
    if len(first_bytes) < 9 and (total_size is None or total_size > len(first_bytes)):
        raise HeaderIncomplete(9)
    length = int.from_bytes(first_bytes[:8], "little")
    if first_bytes[8:9] != b"{":
        raise NotSafetensors(_name_the_kind(first_bytes))
    if length > MAX_HEADER_BYTES:
        raise LimitExceeded("header size in bytes", length, MAX_HEADER_BYTES)
    start = 8 + length
    if total_size is not None and total_size < start:
        raise Damaged(f"it ends after {total_size:,} bytes, within its header")
    if len(first_bytes) < start:
        raise HeaderIncomplete(start)
    entries = _parse_json(first_bytes[8:start])
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Damaged("its metadata is not text")
    if len(entries) > MAX_TENSORS:
        raise LimitExceeded("number of tensors", len(entries), MAX_TENSORS)
    tensors = {name: _parse_tensor(name, entry) for name, entry in entries.items()}
    size = start + _check_contiguous(tensors)
    if size > MAX_FILE_BYTES:
        raise LimitExceeded("size in bytes", size, MAX_FILE_BYTES)
    if total_size is not None and total_size != size:
        raise Damaged(f"it has {total_size:,} bytes, but its header describes {size:,}")
    return Header(tensors, metadata, start, size)


def _parse_json(text: bytes) -> dict[str, object]:
    if (marks := sum(map(text.count, (b"[", b"{", b":")))) > _MAX_MARKS:
        raise LimitExceeded("number of brackets in the header", marks, _MAX_MARKS)
    try:
        entries = json.loads(
            text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=float
        )
    except (ValueError, RecursionError):
        raise Damaged("its header cannot be read") from None
    if not isinstance(entries, dict):
        raise Damaged("its header is not a list of tensors")
    return entries


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise Damaged("its header has one name twice")
    return entries


def _parse_tensor(name: str, entry: object) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end], **rest}:
            numbers = [*shape, begin, end]
            sound = not rest and len(shape) <= _MAX_DIMENSIONS
            # Bounded before they are multiplied: a number may have thousands of digits.
            sound = sound and all(type(n) is int and 0 <= n <= _MAX_NUMBER for n in numbers)
        case _:
            sound = False
    if not name or len(name) > _MAX_NAME or not (name.isascii() and name.isprintable()):
        problem = "has a name that no layer has"
    elif not sound:
        problem = "is not described by a type, a shape and two offsets"
    elif dtype not in _DTYPES:
        problem = f"has the unknown type “{clean(dtype, 20)}”"
    elif 0 in shape:
        problem = "is empty"
    elif end - begin != math.prod(shape) * _DTYPES[dtype]:
        problem = "has another size than its shape"
    else:
        return Tensor(dtype, tuple(shape), begin, end)
    raise Damaged(f"the tensor “{clean(name, 80)}” {problem}")


def _check_contiguous(tensors: Mapping[str, Tensor]) -> int:
    """Check that the tensors lie end to end, and return their size in all."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].begin):
        if tensor.begin != position:
            what = "overlaps another one" if tensor.begin < position else "follows a gap"
            raise Damaged(f"the tensor “{clean(name, 80)}” {what}")
        position = tensor.end
    return position


def _name_the_kind(start: bytes) -> str:
    """Say what a file is that is no safetensors file, and what to do."""
    text = start[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<body")):
        return (
            "This is a web page, not a LoRA file. Use the address of the download itself; if the "
            "site asks for a login there, its token is missing."
        )
    if text.startswith((b"<?xml", b"{", b"[")):
        return "This is a message of the site, not a LoRA file. Check the address of the download."
    if text.startswith(b"version https://git-lfs"):
        return (
            "This is a Git LFS pointer, not the LoRA file itself. Use the site's download link "
            "(on Hugging Face /resolve/ in place of /raw/)."
        )
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return (
            "This is a zip archive or a PyTorch checkpoint, which may run code when it is opened. "
            "Use a .safetensors file."
        )
    if re.match(rb"\x80[\x02-\x05]", start):
        return (
            "This is a pickle file (.pt or .ckpt), which may run code when it is opened. "
            "Use a .safetensors file."
        )
    if start.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
        return "This is a packed archive. Unpack it and use the .safetensors file in it."
    if start.startswith(b"GGUF"):
        return "This is a GGUF file, a whole model. Use a LoRA in a .safetensors file."
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")):
        return "This is a picture, not a LoRA file. Use the address of the .safetensors file."
    if not start:
        return "The file is empty. Download it again or use another copy."
    return "This is not a safetensors file. Use a LoRA in a .safetensors file."


def check_values(file: BinaryIO, header: Header) -> None:
    """Read every tensor and refuse infinities and what is no number; takes 1 ms a megabyte.

    Raises:
        Damaged: a value is not finite, or the file is no longer what the header says.
        OSError: the file cannot be read.
    """
    for name, tensor in header.tensors.items():
        unwanted = _NOT_FINITE.get(tensor.dtype)
        if unwanted is None:
            continue
        width = _DTYPES[tensor.dtype]
        file.seek(header.data_start + tensor.begin)
        for position in range(tensor.begin, tensor.end, _CHUNK):
            expected = min(_CHUNK, tensor.end - position)
            chunk = file.read(expected)
            if len(chunk) != expected:
                raise Damaged("it became shorter while it was read")
            highest = chunk[width - 1 :: width]
            if len(highest.translate(None, unwanted)) != len(highest):
                raise Damaged(f"“{clean(name, 80)}” has values that are infinite or no numbers")
