"""The drawing process and the bot that owns it."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from backends.base import Rendered
from tests.fakes.local import ask, children, events, local_backend
from tests.fakes.renderer import Script

BOT = """
    import asyncio, sys
    from backends.base import Preparing, Rendered, Started
    from tests.fakes.local import ask, children, local_backend
    from tests.fakes.renderer import Script

    async def show_child():
        await asyncio.sleep(0.5)
        (child,) = children()
        print(child.pid, flush=True)
        await asyncio.sleep(60)

    async def main():
        scripts = {
            "long": Script(steps=1000, pause=0.01),
            "hang": Script(steps=1, pause=0.2, then="hang"),
        }
        awaited = {"loading": Preparing, "long": Started, "hang": Started}
        load = Script(then="stall") if sys.argv[1] == "loading" else Script()
        async with local_backend(scripts, load) as backend:
            await backend.start()
            async for event in backend.run(ask(sys.argv[1]), ()):
                if isinstance(event, awaited.get(sys.argv[1], Rendered)):
                    await show_child()

    asyncio.run(main())
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("state", ["loading", "long", "hang", "idle"])
def test_when_the_bot_is_killed_the_drawing_process_ends(state: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BOT), state],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
    ) as bot:
        try:
            assert bot.stdout is not None
            child = psutil.Process(int(bot.stdout.readline()))
        finally:
            bot.kill()

    deadline = time.monotonic() + 2
    while child.is_running() and child.status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_signals_for_the_bot_do_not_stop_the_drawing() -> None:
    async with local_backend({"slow": Script(steps=20, pause=0.02)}) as backend:
        await events(backend, ask())
        (child,) = children()
        drawing = asyncio.create_task(events(backend, ask("slow")))
        await asyncio.sleep(0.1)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)

        assert isinstance((await drawing)[-1], Rendered)
        assert os.getsid(child.pid) == child.pid


async def test_nothing_on_the_command_line_tells_of_the_settings() -> None:
    async with local_backend({"a secret": Script()}) as backend:
        await events(backend, ask())
        (child,) = children()

        assert child.cmdline()[1:-1] == ["-P", "-m", "backends.local.child"]
        surroundings = child.environ()
        assert surroundings["HF_HUB_DISABLE_TELEMETRY"] == "1"
        assert surroundings["TOKENIZERS_PARALLELISM"] == "false"


async def test_the_drawing_process_starts_in_any_folder_whatever_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "backends.py", "socket.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)

    async with local_backend() as backend:
        assert isinstance((await events(backend, ask()))[-1], Rendered)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this setting")
async def test_short_of_memory_the_kernel_takes_the_drawing_process_first() -> None:
    async with local_backend() as backend:
        await events(backend, ask())
        (child,) = children()

        score = await asyncio.to_thread(Path(f"/proc/{child.pid}/oom_score_adj").read_text)
        assert score == "500\n"
