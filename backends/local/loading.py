"""Brings a FLUX.1 pipeline into memory: which device, which dtype, resident or offloaded."""

from pathlib import Path
from typing import Any, Final, Literal

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from backends.errors import ModelUnavailable

Placement = Literal["resident", "offloaded"]

_RESERVE: Final = 2e9
"""GPU memory left to everything else."""

_HEADROOM: Final = 1.15
"""Peak over weights: FLUX.1 in bf16 is 31.4 GB of weights and about 36 GB at 1024×1024."""


def choose_device(setting: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device of this machine.

    Raises:
        ModelUnavailable: there is no such GPU here.
    """
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(setting)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelUnavailable(
            f"The device is set to {setting}, but torch finds {torch.cuda.device_count()} GPUs on "
            "this machine. Use auto or cpu, or install a torch with CUDA."
        )
    return device


def choose_placement(total: int, largest: int, free: int) -> Placement:
    """Choose from bytes: all weights, those of the largest part, and the GPU's free memory.

    FLUX.1 in bf16 is resident from about 38 GB free, with one part at a time on the GPU from
    about 30 GB.

    Raises:
        ModelUnavailable: not even the largest part fits.
    """
    usable = free - _RESERVE
    if total * _HEADROOM <= usable:
        return "resident"
    if largest * _HEADROOM <= usable:
        return "offloaded"
    needed = largest * _HEADROOM + _RESERVE
    raise ModelUnavailable(
        f"The model needs {needed / 1e9:.0f} GB of free GPU memory and {free / 1e9:.0f} GB are "
        "free. End other programs that use the GPU, or use a larger one or a smaller model."
    )


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """Load the `FluxPipeline` in `folder`, in bf16 on a GPU and in fp32 on the CPU.

    Raises:
        ModelUnavailable: the weights cannot be read or do not fit into memory.
    """
    _quieten()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        pipeline = diffusers.FluxPipeline.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
        pipeline.set_progress_bar_config(disable=True)
        if device.type == "cuda":
            sizes = _part_sizes(pipeline)
            free, _ = torch.cuda.mem_get_info(device)
            if choose_placement(sum(sizes), max(sizes), free) == "resident":
                pipeline.to(device)
            else:
                pipeline.enable_model_cpu_offload(device=device)
    except (torch.OutOfMemoryError, MemoryError):
        raise ModelUnavailable(
            f"The model {folder.name} does not fit into this machine's memory."
        ) from None
    except (
        *(OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError),
        SafetensorError,
    ) as error:
        raise ModelUnavailable(
            f"The model in {folder.name} cannot be loaded ({type(error).__name__}); its files "
            "are damaged or of another kind. Download the model again."
        ) from error
    return pipeline


def _part_sizes(pipeline: Any) -> list[int]:
    parts = (part for part in pipeline.components.values() if isinstance(part, torch.nn.Module))
    return [sum(weight.nbytes for weight in part.parameters()) for part in parts]


def _quieten() -> None:
    """Silence what is normal here: missing torchvision, long prompts, LoRAs without a CLIP part."""
    for library in (transformers.utils.logging, diffusers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
