"""The drawing process: `python -m backends.local.child FD`, FD being its end of a socket pair.

The main thread loads and draws, one thread takes orders, one sends. It lives only as long as the
bot does: when the socket closes, it ends at once. It keeps nothing that a tidy exit would save,
so it always leaves through `os._exit`, without the seconds that an interpreter full of tensors
needs to take itself apart.
"""

import contextlib
import ctypes
import faulthandler
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from backends.base import Preparing
from backends.errors import BackendError, ModelUnavailable, OutOfMemory
from backends.local.feed import LatestWins
from backends.local.messages import (
    Cancel,
    Frame,
    Heartbeat,
    Loaded,
    MessageError,
    Progress,
    Refused,
    Render,
    RendererSpec,
    Setup,
    Stopped,
    encode,
    read,
)
from backends.local.renderer import RenderCancelled, Renderer

_PR_SET_PDEATHSIG: Final = 1
_FLUSH_TIMEOUT: Final = 30.0
_HEARTBEAT: Final = encode(Frame(0, Heartbeat()))


class Outbox:
    """What is to be sent: the latest of every kind, so that a slow bot never holds up drawing.

    A job's last word has a kind of its own, hence is never overwritten by the job's progress.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: LatestWins[tuple[bytes, ...]] = LatestWins()
        self._closed = False

    def put(self, frame: Frame) -> None:
        pieces = encode(frame)
        with self._changed:
            self._waiting.put(type(frame.body), pieces)
            self._changed.notify()

    def close(self) -> None:
        """Nothing more will come; `send` returns once the rest is out."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def send(self, wire: socket.socket, heartbeat: float) -> None:
        """Send what comes, and a heartbeat after every `heartbeat` seconds without anything."""
        try:
            while True:
                with self._changed:
                    if not self._waiting and not self._closed:
                        self._changed.wait(heartbeat)
                    pieces = self._waiting.pop()
                    if pieces is None and self._closed:
                        return
                for piece in pieces or _HEARTBEAT:
                    wire.sendall(piece)
        except OSError:
            _leave()


class DrawingProcess:
    """One renderer and the orders for it."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._orders = wire.makefile("rb")
        self._outbox = Outbox()
        self._renders: queue.Queue[tuple[int, Render]] = queue.Queue(maxsize=1)
        self._cancelled = 0

    def serve(self) -> NoReturn:
        """Load, then draw what is asked for, until the bot is gone or the renderer is spent."""
        setup = self._next_order()
        if not isinstance(setup.body, Setup):
            _leave()
        threading.Thread(target=self._take_orders, name="orders", daemon=True).start()
        sender = threading.Thread(
            target=self._outbox.send,
            args=(self._wire, setup.body.heartbeat),
            name="sender",
            daemon=True,
        )
        sender.start()
        renderer = self._load(setup.body.spec)
        while renderer is not None and self._draw(renderer, *self._renders.get()):
            pass
        self._outbox.close()
        sender.join(_FLUSH_TIMEOUT)
        _leave()

    def _next_order(self) -> Frame:
        try:
            frame = read(self._orders)
        except (OSError, MessageError):
            frame = None
        return frame or _leave()

    def _take_orders(self) -> None:
        while True:
            match self._next_order():
                case Frame(job, Render() as render):
                    self._renders.put((job, render))
                case Frame(job, Cancel()):
                    self._cancelled = job
                case _:
                    _leave()

    def _load(self, spec: RendererSpec) -> Renderer | None:
        """Build the renderer and bring its model into memory; None when that failed."""
        self._outbox.put(Frame(0, Preparing("loading the model")))
        try:
            module, _, name = spec.target.partition(":")
            renderer: Renderer = getattr(importlib.import_module(module), name)(spec.settings)
            renderer.load(self._emitter(0))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the bot must hear of it
            if not isinstance(error, BackendError):  # that one says what the log needs
                traceback.print_exception(error)
            self._outbox.put(Frame(0, Refused.because(_unloadable(error), fatal=True)))
            return None
        self._outbox.put(Frame(0, Loaded()))
        return renderer

    def _draw(self, renderer: Renderer, job: int, order: Render) -> bool:
        """Draw one request and say how it ended; False when the renderer is not fit for more."""

        def cancelled() -> bool:
            return self._cancelled >= job

        try:
            emit = self._emitter(job)
            rendered = renderer.render(order.request, order.loras, emit, cancelled)
            self._outbox.put(Frame(job, rendered))
        except RenderCancelled:
            self._outbox.put(Frame(job, Stopped()))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the bot must hear of it
            reason = _explained(error)
            # After an error that nobody foresaw the renderer may be in any state (a CUDA context
            # is lost for good), and after running out of memory what is left is fragmented.
            fatal = reason is not error or isinstance(error, OutOfMemory)
            if fatal:
                text = "".join(traceback.format_exception(error))
                sys.stderr.write(text.replace(order.request.prompt, "[prompt]"))
            self._outbox.put(Frame(job, Refused.because(reason, fatal=fatal)))
            return not fatal
        return True

    def _emitter(self, job: int) -> Callable[[Progress], None]:
        return lambda event: self._outbox.put(Frame(job, event))


def _unloadable(error: Exception) -> BackendError:
    """Say why there is no model to draw with."""
    match error:
        case BackendError():
            return error
        case ModuleNotFoundError(name=str(name)) if not name.startswith("backends"):
            return ModelUnavailable(
                f"Drawing on this machine needs the Python package {name}, which is not installed; "
                "install Atelier with its extra “local”."
            )
        case _ if _is_out_of_memory(error):
            return ModelUnavailable(
                "The model does not fit into the memory that is free on this machine."
            )
        case _:
            return ModelUnavailable(
                f"The model could not be loaded because of an unexpected error "
                f"({type(error).__name__}); the log says more."
            )


def _explained(error: Exception) -> BackendError:
    """Say why there is no picture; a `BackendError` says so itself."""
    if isinstance(error, BackendError):
        return error
    if _is_out_of_memory(error):
        return OutOfMemory(
            "There is not enough memory for this picture; a smaller size or fewer pictures may fit."
        )
    return BackendError(
        f"Drawing failed because of an unexpected error ({type(error).__name__}); "
        "the log says more."
    )


def _is_out_of_memory(error: Exception) -> bool:
    """Recognise it without importing torch, which has one class for CUDA and only texts elsewhere:
    "DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory".
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        phrase in text for phrase in ("out of memory", "allocate memory", "not enough memory")
    )


def _leave() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _settle_in() -> None:
    """Arrange that this process goes when the bot goes, and before the bot when memory is short."""
    # Ctrl-C and a service manager's SIGTERM may reach the whole group while the bot still wants
    # to finish its jobs; the bot decides, and its end is noticed.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    faulthandler.enable()
    if sys.platform == "linux":
        # The closed socket is noticed by a thread, which cannot run while native code holds the
        # interpreter; the kernel's signal comes even then. It is sent when the bot's thread that
        # started this process ends, which is the thread of the event loop that owns it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main() -> NoReturn:
    _settle_in()
    number = int(sys.argv[1])
    # Processes that a library starts must not keep the socket open after this one has gone.
    os.set_inheritable(number, False)
    DrawingProcess(socket.socket(fileno=number)).serve()


if __name__ == "__main__":
    main()
