"""Writes pictures as files. The same pixels and format always give the same bytes."""

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from PIL.Image import Image

from backends.base import OutputFormat

_OPTIONS: Final[Mapping[OutputFormat, Mapping[str, Any]]] = MappingProxyType(
    {
        # 4:4:4, because coloured edges are what a drawn picture is made of.
        "jpeg": {"quality": 95, "subsampling": 0, "optimize": True},
        "png": {"compress_level": 6},
        "webp": {"quality": 92, "method": 4},
    }
)


def encode(image: Image, output_format: OutputFormat) -> bytes:
    """Encode an RGB picture without any metadata: JPEG at 95, lossless PNG, or WebP at 92."""
    buffer = io.BytesIO()
    image.save(buffer, output_format, **_OPTIONS[output_format])
    return buffer.getvalue()
