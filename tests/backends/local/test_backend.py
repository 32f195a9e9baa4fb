import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from backends.base import Cancelled, Failed, LoraFile, Preparing, Rendered, Started, Step
from backends.errors import (
    BackendError,
    BadRequest,
    LoraRejected,
    ModelUnavailable,
    OutOfMemory,
    WorkerLost,
)
from backends.local.backend import LocalBackend, Phase
from backends.local.messages import RendererSpec
from tests.fakes.local import CAPABILITIES, ask, children, events, local_backend, phase, ready
from tests.fakes.renderer import Script


async def test_a_run_tells_of_loading_then_of_drawing_and_ends_with_the_pictures() -> None:
    async with local_backend() as backend:
        seen = await events(backend, ask(num_images=3, output_format="webp", image_size="square"))

    kinds = list(dict.fromkeys(type(event) for event in seen))
    assert kinds == [Preparing, Started, Step, Rendered]
    assert isinstance(seen[0], Preparing)
    assert seen[0].what == "loading the model"
    rendered = seen[-1]
    assert isinstance(rendered, Rendered)
    assert [picture.seed for picture in rendered.pictures] == [7, 8, 9]
    assert {(p.format, p.width, p.height) for p in rendered.pictures} == {("webp", 512, 512)}
    assert rendered.weights == "scripted"


async def test_started_early_the_model_is_loaded_before_the_first_job_and_only_once() -> None:
    async with local_backend() as backend:
        assert phase(backend) is Phase.STOPPED
        await backend.start()
        assert phase(backend) is Phase.STARTING
        await backend.start()
        await ready(backend)

        first = await events(backend, ask())
        second = await events(backend, ask())
        assert len(children()) == 1

    assert [type(event) for event in second[:1]] == [Started]
    assert isinstance(first[-1], Rendered)
    assert first[-1] == second[-1]
    assert phase(backend) is Phase.STOPPED


async def test_two_jobs_at_once_are_drawn_one_after_the_other() -> None:
    async with local_backend({"slow": Script(steps=4, pause=0.05)}) as backend:
        slow = asyncio.create_task(events(backend, ask("slow")))
        await asyncio.sleep(0)
        quick = await events(backend, ask())

        assert slow.done()
        assert isinstance(slow.result()[-1], Rendered)
        assert isinstance(quick[-1], Rendered)


async def test_status_is_drawing_while_a_job_runs() -> None:
    async with local_backend({"slow": Script(steps=50, pause=0.02)}) as backend:
        await ready(backend)
        async with contextlib.aclosing(backend.run(ask("slow"), ())) as stream:
            await anext(stream)
            assert phase(backend) is Phase.DRAWING
        assert phase(backend) is Phase.READY


async def test_a_slow_listener_skips_steps_and_does_not_slow_the_drawing() -> None:
    script = Script(steps=100, pause=0.005, preview_bytes=100_000)
    steps = []
    async with local_backend({"many": script}) as backend:
        async for event in backend.run(ask("many"), ()):
            if isinstance(event, Step):
                steps.append(event)
                await asyncio.sleep(0.2)

    indices = [step.index for step in steps]
    assert indices == sorted(set(indices))
    assert indices[-1] == 100
    assert len(indices) < 10
    assert all(len(step.preview or b"") == 100_000 for step in steps)


async def test_a_busy_event_loop_loses_no_result() -> None:
    script = Script(steps=200, preview_bytes=200_000, picture_bytes=1_000_000)
    async with local_backend({"much": script}) as backend:
        await ready(backend)
        stream = backend.run(ask("much"), ())
        assert await anext(stream) == Started()
        time.sleep(1)  # noqa: ASYNC251 - meanwhile come far more previews than a socket buffers
        rest = [event async for event in stream]

    assert isinstance(rest[-1], Rendered)
    assert len(rest[-1].pictures[0].data) == 1_000_000


async def test_four_pictures_of_ten_megabytes_arrive_whole() -> None:
    async with local_backend({"big": Script(picture_bytes=10_000_000)}) as backend:
        first = (await events(backend, ask("big", num_images=4)))[-1]
        again = (await events(backend, ask("big", num_images=4)))[-1]

    assert isinstance(first, Rendered)
    assert [len(picture.data) for picture in first.pictures] == [10_000_000] * 4
    assert first == again


async def test_what_libraries_print_does_no_harm() -> None:
    async with local_backend({"noisy": Script(chatter=300_000)}) as backend:
        seen = await events(backend, ask("noisy"))

    assert isinstance(seen[-1], Rendered)


async def test_closing_the_stream_stops_the_drawing_and_keeps_the_process() -> None:
    async with local_backend({"long": Script(steps=1000, pause=0.02)}) as backend:
        await ready(backend)
        (before,) = children()
        stream = backend.run(ask("long"), ())
        while not isinstance(await anext(stream), Step):
            pass
        async with asyncio.timeout(1):
            await stream.aclose()

        assert phase(backend) is Phase.READY
        assert isinstance((await events(backend, ask()))[-1], Rendered)
        assert children() == [before]


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.3])
async def test_cancelling_the_listening_task_stops_the_drawing_whenever_it_comes(
    wait: float,
) -> None:
    async with local_backend({"long": Script(steps=1000, pause=0.02)}) as backend:
        listening = asyncio.create_task(events(backend, ask("long")))
        await asyncio.sleep(wait)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening

        async with asyncio.timeout(5):
            assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_a_cancel_that_is_itself_cancelled_still_stops_the_drawing() -> None:
    async with local_backend({"long": Script(steps=10, pause=0.3)}) as backend:
        await ready(backend)
        listening = asyncio.create_task(events(backend, ask("long")))
        await asyncio.sleep(0.1)
        listening.cancel()
        await asyncio.sleep(0)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening

        async with asyncio.timeout(2):
            assert isinstance((await events(backend, ask()))[-1], Rendered)


@pytest.mark.parametrize(
    ("script", "kind", "sentence"),
    [
        (Script(then="lora"), LoraRejected, "The LoRA ghibli cannot be used: it is made for an"),
        (Script(then="bad_request"), BadRequest, "image_size is “9x9”; use more."),
        (Script(then="out_of_memory"), OutOfMemory, "This picture does not fit."),
        (Script(then="cuda_out_of_memory"), OutOfMemory, "There is not enough memory"),
        (Script(then="memory_error"), OutOfMemory, "There is not enough memory"),
        (Script(then="bug"), BackendError, "unexpected error (ZeroDivisionError)"),
    ],
    ids=lambda value: value.then if isinstance(value, Script) else "",
)
async def test_an_error_of_the_renderer_arrives_and_the_next_job_is_drawn(
    script: Script, kind: type[BackendError], sentence: str
) -> None:
    async with local_backend({"bad": script}) as backend:
        seen = await events(backend, ask("bad"))
        last = seen[-1]
        assert isinstance(last, Failed)
        assert type(last.error) is kind
        assert sentence in str(last.error)
        assert isinstance((await events(backend, ask()))[-1], Rendered)


@pytest.mark.parametrize(
    ("ending", "fresh"),
    [("lora", False), ("out_of_memory", True), ("memory_error", True), ("bug", True)],
)
async def test_only_a_renderer_in_doubt_is_replaced_by_a_fresh_process(
    ending: str, fresh: bool
) -> None:
    async with local_backend({"bad": Script.model_validate({"then": ending})}) as backend:
        await ready(backend)
        (before,) = children()
        await events(backend, ask("bad"))
        await events(backend, ask())

        (after,) = children()
        assert (after != before) is fresh


async def test_an_unexpected_errors_traceback_is_logged_without_the_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with local_backend({"secret wish": Script(then="bug")}) as backend:
        await events(backend, ask("secret wish"))
        await events(backend, ask())

    assert "ZeroDivisionError: while drawing [prompt]" in caplog.text
    assert "secret wish" not in caplog.text


async def test_lora_files_reach_the_renderer() -> None:
    gone = LoraFile("ghibli", "ab" * 32, Path("/nowhere"), 1.0)
    async with local_backend() as backend:
        seen = await events(backend, ask(), [gone])

    assert isinstance(seen[-1], Failed)
    assert isinstance(seen[-1].error, LoraRejected)
    assert seen[-1].error.name == "ghibli"


async def test_a_model_that_is_missing_fails_jobs_until_it_is_there(
    tmp_path: Path,
) -> None:
    weights = tmp_path / "weights"
    async with local_backend(load=Script(then="unavailable", until=weights)) as backend:
        for _ in range(2):
            seen = await events(backend, ask())
            assert isinstance(seen[-1], Failed)
            assert isinstance(seen[-1].error, ModelUnavailable)
            assert str(seen[-1].error) == "The weights are not here; download them."
        assert phase(backend) is Phase.FAILED
        assert backend.status.reason == "The weights are not here; download them."

        weights.touch()
        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_a_missing_package_is_named() -> None:
    backend = LocalBackend("local", RendererSpec("no_such_package.pipeline:X"), CAPABILITIES)
    seen = await events(backend, ask())
    await backend.close()

    assert isinstance(seen[-1], Failed)
    assert isinstance(seen[-1].error, ModelUnavailable)
    assert "needs the Python package no_such_package" in str(seen[-1].error)


async def test_closing_while_a_job_runs_fails_it_and_later_jobs_too() -> None:
    async with local_backend({"long": Script(steps=1000, pause=0.02)}) as backend:
        await ready(backend)
        listening = asyncio.create_task(events(backend, ask("long")))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(3):
            await backend.close()
            seen = await listening
            later = await events(backend, ask())

    for last in (seen[-1], later[-1]):
        assert isinstance(last, Failed)
        assert isinstance(last.error, WorkerLost)
        assert str(last.error) == "The drawing process was stopped."
    assert children() == []


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.3])
async def test_closing_while_the_model_loads_is_quick_and_leaves_nothing(wait: float) -> None:
    async with local_backend(load=Script(then="stall")) as backend:
        await backend.start()
        await asyncio.sleep(wait)
        async with asyncio.timeout(2):
            await backend.close()
        assert children() == []
        await backend.close()


async def test_fifty_jobs_leave_no_descriptor_and_no_task_behind() -> None:
    async with local_backend({"bug": Script(then="bug")}) as backend:
        await events(backend, ask())
        me = psutil.Process()
        descriptors, tasks = me.num_fds(), len(asyncio.all_tasks())
        for number in range(50):
            if number % 3:
                assert isinstance((await events(backend, ask()))[-1], Rendered)
            else:
                async with contextlib.aclosing(backend.run(ask(), ())) as stream:
                    await anext(stream)
        assert me.num_fds() == descriptors
        assert len(asyncio.all_tasks()) == tasks
        for _ in range(3):
            await events(backend, ask("bug"))
            await events(backend, ask())
        assert me.num_fds() == descriptors
        assert len(asyncio.all_tasks()) == tasks

    assert len(asyncio.all_tasks()) == 1


def test_importing_the_backend_loads_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys, backends.local.backend, backends.local.child;"
        "print(sorted({'torch', 'diffusers', 'transformers', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert done.stdout == "[]\n"


async def test_a_job_dropped_by_the_renderer_itself_ends_as_cancelled() -> None:
    async with local_backend({"quits": Script(then="quits")}) as backend:
        assert isinstance((await events(backend, ask("quits")))[-1], Cancelled)
