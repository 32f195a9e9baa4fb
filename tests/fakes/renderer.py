"""A renderer without a model: it does what a script says, misbehaviour of every kind included."""

import ctypes
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from backends.base import (
    GenerationRequest,
    LoraFile,
    Picture,
    Preparing,
    Rendered,
    Started,
    Step,
    Verdict,
)
from backends.errors import BadRequest, LoraRejected, ModelUnavailable, OutOfMemory, Problem
from backends.local.renderer import Emit, RenderCancelled

Ending = Literal[
    "finish",
    "unavailable",
    "lora",
    "bad_request",
    "out_of_memory",
    "cuda_out_of_memory",
    "memory_error",
    "bug",
    "die",
    "segfault",
    "exit",
    "stall",
    "hang",
    "garbage",
    "quits",
]


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


class Script(BaseModel):
    """What happens with one prompt, or while loading.

    After every step come `pause` seconds, `chatter` bytes on stdout and stderr, and a preview of
    `preview_bytes`; a picture has `picture_bytes`. After the last step comes `then`, but only
    `finish` once the file `until` exists.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = None
    pause: float = 0.0
    chatter: int = 0
    preview_bytes: int = 0
    picture_bytes: int = 64
    then: Ending = "finish"
    until: Path | None = None


class Settings(BaseModel):
    """One script for loading and one per prompt; any other prompt has an ordinary course."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    load: Script = Script(steps=2)
    prompts: Mapping[str, Script] = {}


class ScriptedRenderer:
    """Meets `Renderer`; build it with the JSON form of `Settings`."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings = Settings.model_validate(settings)

    def load(self, emit: Emit) -> None:
        script = self._settings.load
        steps = script.steps or 2
        for index in range(steps):
            emit(Preparing("loading the model", index / steps))
            _pass_time(script)
        _end(script, "")

    def render(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> Rendered:
        script = self._settings.prompts.get(request.prompt, Script())
        if request.seed is None:
            request = request.model_copy(update={"seed": random.randrange(2**32)})
        for lora in loras:
            if not lora.path.exists():
                raise LoraRejected(lora.name, "the file is gone.")
        emit(Started())
        steps = script.steps or request.num_inference_steps
        for index in range(1, steps + 1):
            if cancelled():
                raise RenderCancelled
            _pass_time(script)
            preview = b"\xff" * script.preview_bytes if script.preview_bytes else None
            emit(Step(index, steps, preview))
        _end(script, request.prompt)
        pictures = tuple(
            Picture(
                random.Random(seed).randbytes(script.picture_bytes),
                request.output_format,
                request.image_size.width,
                request.image_size.height,
                seed,
                Verdict.CLEAR,
                0.25,
            )
            for seed in request.seeds
        )
        return Rendered(pictures, request.prompt, "scripted", {"draw": 0.5}, f"pid {os.getpid()}")


def _pass_time(script: Script) -> None:
    time.sleep(script.pause)
    if script.chatter:
        print("#" * script.chatter)
        os.write(sys.stderr.fileno(), b"\x00\xff" * (script.chatter // 2))


def _end(script: Script, prompt: str) -> None:
    if script.until is not None and script.until.exists():
        return
    match script.then:
        case "finish":
            return
        case "unavailable":
            raise ModelUnavailable("The weights are not here; download them.")
        case "lora":
            raise LoraRejected("ghibli", "it is made for another model.")
        case "bad_request":
            problem = Problem("image_size", "9x9", "use more", "size_range", {"low": 16})
            raise BadRequest(problem)
        case "out_of_memory":
            raise OutOfMemory("This picture does not fit.")
        case "cuda_out_of_memory":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        case "memory_error":
            raise MemoryError
        case "bug":
            raise ZeroDivisionError(f"while drawing {prompt}")
        case "quits":
            raise RenderCancelled
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(7)
        case "stall":
            time.sleep(3600)
        case "hang":
            # A PyDLL call keeps the interpreter's lock, so that no other thread runs.
            ctypes.PyDLL(None).pause()
        case "garbage":
            os.write(int(sys.argv[1]), b"\x00\x00\x00\x05lalala")
            time.sleep(3600)
