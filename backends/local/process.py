"""Starting, ending and post-mortem of the drawing process."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path


async def launch(descriptor: int) -> Process:
    """Start `child.py` with this end of a socket pair, out of reach of the terminal's Ctrl-C."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "backends.local.child",
        str(descriptor),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env=_environment(),
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    return os.environ | {
        # It imports exactly what this process can, from whatever folder the bot was started in.
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Else MKL chooses its code by where a tensor lies, and the last bits differ between runs.
        "MKL_CBWR": "AUTO,STRICT",
        # Their warnings quote prompts, and what the process writes is logged when it ends.
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
    }


async def exited(process: Process, patience: float) -> None:
    """Wait until it has been reaped, `patience` seconds at most."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), patience)


def kill(process: Process) -> None:
    """Kill it with all that it has started, which are in its session's process group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def describe(returncode: int | None) -> str:
    """Complete the sentence "The drawing process …"."""
    if returncode is None:
        return "could not be ended"
    if returncode == -signal.SIGKILL:
        return "was killed (SIGKILL); the machine may have run out of memory"
    if returncode < 0:
        return f"crashed ({signal.Signals(-returncode).name})"
    return f"ended by itself (exit code {returncode})"
