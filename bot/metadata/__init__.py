"""Texts inside a picture file, written and read byte by byte: no pixel is decoded or encoded.

    PNG    `parameters` in a tEXt chunk (iTXt where Latin-1 is not enough), `atelier` in iTXt
    JPEG   EXIF in an APP1 segment: UserComment holds the text, MakerNote the document
    WebP   the same EXIF in an EXIF chunk; a simple file becomes an extended one

The text is what A1111 and its readers expect. The document's place in EXIF is MakerNote, the tag
that the standard keeps for "any desired information" of the program that writes: galleries show
ImageDescription as the picture's caption, and XMP would need XML to be merged.
"""

from typing import Protocol

from bot.metadata import jpeg, png, webp
from bot.metadata.base import MAX_FILE, MAX_TEXT, RecipeError, Texts

__all__ = ["RecipeError", "Texts", "read", "write"]


def write(data: bytes, parameters: str, document: str) -> bytes:
    """Return the file with both texts in place of any that it had; all else keeps its bytes.

    Raises:
        RecipeError: no sound PNG, JPEG or WebP, or more than its format can hold. In JPEG, which
            holds 64 KB, `parameters` is left out first.
    """
    picture_format = _format(data)
    if max(len(parameters), len(document)) * 4 > MAX_TEXT:  # at most four bytes a character
        raise RecipeError("The recipe is too long to be written into a picture.")
    return picture_format.write(data, parameters, document)


def read(data: bytes) -> Texts:
    """Find the texts of a file that nobody vouches for.

    Raises:
        RecipeError: no sound PNG, JPEG or WebP, or one beyond `MAX_FILE` or `MAX_CHUNKS`.
    """
    return _format(data).read(data)


class _Format(Protocol):
    """What each of the three modules offers."""

    def write(self, data: bytes, parameters: str, document: str) -> bytes: ...
    def read(self, data: bytes) -> Texts: ...


def _format(data: bytes) -> _Format:
    if len(data) > MAX_FILE:
        size = f"{len(data) / 2**20:.0f} MB"
        raise RecipeError(f"The picture has {size}; at most {MAX_FILE // 2**20} MB are read.")
    if data.startswith(png.SIGNATURE):
        return png
    if data.startswith(jpeg.SIGNATURE):
        return jpeg
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp
    raise RecipeError("The file is no PNG, JPEG or WebP picture.")
