"""Erasing a person may break off anywhere: what is left is whole, and the next time finishes it."""

import asyncio
import json
from pathlib import Path

import pytest

from bot.app import App, Backends, open_app
from bot.commands.privacy import Keeps, Privacy
from bot.communities import Change
from bot.jobs.job import Job
from bot.jobs.limits import Limits
from bot.jobs.reports import ReportStore
from bot.settings import Settings
from lora_registry.models import PresetBody, Viewer
from tests.bot.jobs.test_store import draft, result
from tests.fakes.backend import picture

ANNA, BEN = Viewer("home", "ann"), Viewer("home", "ben")


class NobodyDraws:
    """Every job of these tests is over."""

    async def cancel(self, job_id: str) -> Job | None:
        raise AssertionError(job_id)


async def nothing_noted(job_id: str) -> None:
    """A surface that keeps no notes."""


def privacy(app: App, keeps: Keeps = Keeps(0, 30)) -> Privacy:  # noqa: B008 - frozen
    return Privacy(
        jobs=app.jobs,
        reports=ReportStore(app.database),
        communities=app.communities,
        people=app.registry.people,
        pictures=app.pictures,
        canceller=NobodyDraws(),
        forget_start=nothing_noted,
        surface="test",
        keeps=keeps,
        folder=app.settings.data_dir,
    )


async def lived(app: App, viewer: Viewer, first_seed: int) -> None:
    who = viewer.requester
    for seed in range(first_seed, first_seed + 3):
        job = await app.jobs.submit(draft(requester=who), Limits())
        begun = await app.jobs.begin((await app.jobs.save_receipt(job.id, {"message": 1})).id)
        assert begun is not None
        key = await app.pictures.put(picture(seed).data, "png")
        done = await app.jobs.render(begun, result(key))
        assert done is not None
        await app.jobs.deliver(done)
    await app.communities.change_member("home", who, Change({"images": 2}))
    await ReportStore(app.database).note("some job", who)
    await app.registry.presets.create(viewer, f"{who}-look", PresetBody())


async def all_of(app: App, viewer: Viewer) -> str:
    async with privacy(app).exported(viewer, 2**20) as export:
        return export.file.read().decode()


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 5, 7, 9, 12])
async def test_erasing_broken_off_anywhere_leaves_what_is_whole_and_is_finished_later(
    tmp_path: Path, ticks: int
) -> None:
    settings = Settings(data_dir=tmp_path / "data", lora_dir=tmp_path / "loras")
    async with open_app(settings, Backends({})) as app:
        await lived(app, ANNA, 1)
        await lived(app, BEN, 3)  # his first picture is her last one
        bens = await all_of(app, BEN)
        task = asyncio.create_task(privacy(app).erase(ANNA))
        for _ in range(ticks):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        for job in await app.jobs.everything("test", "ann", after=None, limit=10):
            if job.erased:
                assert (job.request.prompt, job.result) == ("(deleted)", None)
            else:
                assert job.result is not None
                assert await app.pictures.exists(job.result.pictures[0].key)
        await privacy(app).erase(ANNA)

        about = json.loads(await all_of(app, ANNA))
        assert {job["request"]["prompt"] for job in about.pop("jobs")} <= {"(deleted)"}
        assert not any(about.pop("settings").values())
        assert not any(about.pop("registry").values())
        assert about == {"person": "ann", "surface": "test", "reported_jobs": []}
        assert await all_of(app, BEN) == bens
        for job in await app.jobs.everything("test", "ben", after=None, limit=10):
            assert job.result is not None
            assert await app.pictures.exists(job.result.pictures[0].key)


async def test_what_is_kept_follows_from_the_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", lora_dir=tmp_path / "loras")
    async with open_app(settings, Backends({})) as app:
        told = "\n".join(privacy(app, Keeps(90, 1, ("queue.example",))).kept())
        assert "how it ended, for 90 days. The pictures themselves for 1 day." in told
        assert "queue.example, which gets their prompts" in told
        told = "\n".join(privacy(app, Keeps(0, 0)).kept())
        assert told.count("until you erase it") == 2
        assert "prompts stay out of the logs." in told
