"""What this machine would draw with, found out in a process of its own.

    python -m backends.local.probe      prints a `Machine` as one line of JSON

Importing what draws takes seconds, and a broken installation of it may crash who imports it.
`atelier doctor` therefore only reads what this process says, or how it ended.
"""

import os
import subprocess
import sys
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from backends.local.process import describe

PACKAGES: Final = ("torch", "diffusers", "peft", "transformers", "huggingface_hub", "safetensors")
"""What the `local` extra brings, as far as it is worth naming."""

_LONGEST: Final = 300


class Gpu(BaseModel):
    """A GPU that torch can use; memory in bytes, `free` as others leave it now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    free: int
    total: int


class Machine(BaseModel):
    """What draws here. `gpu_build` says whether this torch could use a GPU at all.

    With a `problem`, something of it cannot be imported; the sentence says what and why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: tuple[Gpu, ...] = ()
    gpu_build: bool = False
    problem: str | None = None


def probe(timeout: float) -> Machine:
    """Ask a process of its own, for `timeout` seconds at most."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "backends.local.probe"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
        )
        return Machine.model_validate_json(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Machine(problem=f"It was still not imported after {timeout:.0f} s.")
    except (IndexError, ValidationError):
        return Machine(problem=f"The process that imported it {describe(done.returncode)}.")


def _look() -> Machine:
    """Import everything that drawing needs, in this process."""
    found: dict[str, object] = {}
    doing = "Importing torch"
    try:
        import torch

        found["gpu_build"] = torch.version.cuda is not None or torch.version.hip is not None
        doing = "Asking torch for its GPUs"
        found["gpus"] = tuple(map(_gpu, range(torch.cuda.device_count())))
        doing = "Importing diffusers"
        import diffusers
        import peft  # noqa: F401

        _ = diffusers.FluxPipeline  # imported only now, and with it transformers' models
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises
        text = " ".join(str(error).split())
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        found["problem"] = f"{doing} raises {type(error).__name__}: {text}"
    return Machine.model_validate(found)


def _gpu(index: int) -> Gpu:
    import torch

    free, total = torch.cuda.mem_get_info(index)
    return Gpu(name=torch.cuda.get_device_name(index), free=free, total=total)


if __name__ == "__main__":
    print(_look().model_dump_json())
