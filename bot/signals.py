"""Being told to stop: in good order the first time, at once the second time."""

import asyncio
import os
import signal
from typing import Final

from rich.console import Console

_STOPPED: Final = 130
_AGAIN_S: Final = 0.2
"""Some programs that start us signal us and our process group: that is one signal, not two."""


def stop_on_signals() -> asyncio.Event:
    """Return what SIGINT, SIGTERM and SIGHUP set; another one later ends the process with 130.

    That is no worse than `kill -9`, which loses nothing.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    first = 0.0

    def on_signal() -> None:
        nonlocal first
        if not stop.is_set():
            first = loop.time()
            stop.set()
        elif loop.time() > first + _AGAIN_S:
            Console(stderr=True).show_cursor()  # a progress bar hides it
            os._exit(_STOPPED)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    return stop
