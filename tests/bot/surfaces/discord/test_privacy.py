"""`/privacy`: everything about a person is given to them, and erased, and nobody else's."""

import asyncio
import gzip
import json
import random
from pathlib import Path
from typing import Any

from bot.chat import privacy
from bot.commands.privacy import Keeps, Privacy
from bot.communities import Change
from bot.database import Database
from bot.jobs.job import Job, JobState
from bot.jobs.reports import ReportStore
from bot.permissions import Requester
from lora_registry.models import PresetBody, Viewer
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Message, User


async def whole_life(s: Stage, user: User, word: str) -> Job:
    """Somebody does a bit of everything; all of it has `word` in it where words are kept."""
    who, viewer = str(user.id), Viewer(str(s.home.id), str(user.id))
    await s.drawn(user, f"steps=2 {word}")
    public = await s.newest(user)
    answer = await s.discord.slash(user, s.general, "imagine", prompt=f"{word} 2", private=True)
    await answer.message.until(lambda m: m.pictures)
    message = s.discord.dm(user)
    answer = await s.discord.slash(user, message, "imagine", prompt=f"fail {word}")
    await answer.message.until(lambda m: "Try again" in m.buttons)
    await s.until(await s.newest(user))
    for community in (str(s.home.id), "local", "another server"):
        await s.app.communities.change_member(community, who, Change({"images": 2}))
    manager = Requester(who, manager=True)
    await s.app.communities.change(
        f"of {word}", Change({"max_images": 2, "moderators": [who]}), base=0, by=manager
    )
    await s.app.registry.presets.create(viewer, f"{word}-look", PresetBody(title=word))
    await ReportStore(s.app.database).note("some job", who)
    return public


async def told(s: Stage, user: User) -> Message:
    return await (await s.discord.slash(user, s.general, "privacy")).settled()


async def exported(s: Stage, user: User) -> dict[str, Any]:
    answer = await s.discord.click(user, await told(s, user), "Export")
    await answer.message.until(lambda m: m.attachments)
    assert answer.ephemeral
    [file] = answer.message.attachments
    assert file.filename == "atelier-about-you.json"
    data: dict[str, Any] = json.loads(file.data)
    return data


async def erased(s: Stage, user: User) -> Message:
    sure = await s.discord.click(user, await told(s, user), "Erase")
    assert sure.ephemeral
    answer = await s.discord.click(user, sure.message, "Erase everything")
    return await answer.message.until(lambda m: "Erased" in m.text)


async def everything(*databases: Database) -> str:
    """Whatever any table says, the insides of search indexes left out."""
    found = []
    for database in databases:
        tables = await database.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%_data'"
        )
        for (name,) in tables:
            rows = await database.rows(f"SELECT * FROM {name}")
            found += [f"{name} {tuple(row)}" for row in rows]
    return "\n".join(found)


async def test_a_person_takes_and_erases_all_that_is_theirs_and_nobody_elses(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, slots=2) as s:
        job, bens = await whole_life(s, s.ana, "annasword"), await whole_life(s, s.ben, "bensword")
        shared = await s.discord.slash(s.ben, s.general, "imagine", prompt="annas", seed=7)
        await shared.message.until(lambda m: m.pictures)
        same = await s.discord.slash(s.ana, s.general, "imagine", prompt="annas", seed=7)
        await same.message.until(lambda m: m.pictures)
        text = (await told(s, s.ana)).text
        assert "The pictures themselves for 30 days" in text
        assert "until you press **Delete**" in text

        data = await exported(s, s.ana)
        assert [one["request"]["prompt"] for one in data["jobs"]] == [
            "steps=2 annasword",
            "annasword 2",
            "fail annasword",
            "annas",
        ]
        first = data["jobs"][0]
        assert first["pictures"][0]["recipe"]["prompt"] == "steps=2 annasword"
        assert (first["community"], first["private"]) == (str(s.home.id), False)
        assert data["jobs"][2]["fault"] == "The stub does not draw this."
        assert len(data["settings"]["defaults"]) == 3
        assert data["settings"]["changed_settings"][0]["fields"] == ["max_images", "moderators"]
        assert data["settings"]["moderates"] == [{"community": "of annasword"}]
        assert data["reported_jobs"][0]["job"] == "some job"
        assert data["registry"]["presets"][0]["revisions"][0]["body"]["title"] == "annasword"
        raw = json.dumps(data)
        assert str(s.ben.id) not in raw
        assert "bensword" not in raw
        assert "token" not in raw
        assert "pictures/" not in raw

        waits = await s.discord.slash(s.ana, s.general, "imagine", prompt="hang annasword")
        before = await exported(s, s.ben)
        card = await erased(s, s.ana)
        assert "Erased: 5 jobs" in card.text
        await waits.message.until(lambda m: "Cancelled" in m.text)
        left = await everything(s.app.database, s.app.registry.database)
        # What stays of today's jobs are numbers; a server keeps whom it has made a moderator.
        mine = [line for line in left.splitlines() if str(s.ana.id) in line or "annasword" in line]
        assert {line.split()[0] for line in mine} == {
            "jobs",
            "community_settings",
            "community_changes",
        }
        assert not any("annasword" in line for line in mine if line.startswith("jobs"))
        assert not any(str(s.ana.id) in one for one in mine if one.startswith("community_changes"))
        for entry in await s.app.communities.history("of annasword"):
            assert entry.by == ""
        assert not list((tmp_path / "data" / "discord" / "starts").glob("*"))

        assert job.result is not None
        assert bens.result is not None
        assert not await s.app.pictures.exists(job.result.pictures[0].key)
        assert await s.app.pictures.exists(bens.result.pictures[0].key)
        assert await exported(s, s.ben) == before
        both = (await s.newest(s.ben)).result
        assert both is not None
        assert await s.app.pictures.exists(both.pictures[0].key)

        # Her messages are still there, and Delete below them still works, for her alone.
        theirs = next(m for m in s.general.public if "annasword" in m.text and m.pictures)
        await s.discord.click(s.ben, theirs, "Delete")
        assert not theirs.deleted
        await s.discord.click(s.ana, theirs, "Delete")
        await theirs.until(lambda m: m.deleted)

        again = await erased(s, s.ana)
        assert "Erased: 0 jobs" in again.text
        kept = (await exported(s, s.ana))["jobs"]
        assert {(one["request"]["prompt"], one["erased"]) for one in kept} == {("(deleted)", True)}


def keeper(s: Stage) -> Privacy:
    return privacy(s.app, s.supervisor, "discord", s.bot.forget)


async def test_erasing_finishes_what_a_crash_has_left(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await whole_life(s, s.ana, "annasword")
        await s.app.jobs.erase_ended("discord", str(s.ana.id), 1)  # and there it died
        await erased(s, s.ana)
        data = await exported(s, s.ana)
        assert "annasword" not in json.dumps(data).replace("of annasword", "")
        assert data["settings"]["defaults"] == data["registry"]["presets"] == []


async def test_what_does_not_end_in_time_is_said_and_stays_whole(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana)
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="pause=0.1 steps=9 a")
        job = await s.until(await s.newest(s.ana), JobState.RUNNING)

        class Deaf:
            """Whoever draws does not stop."""

            async def cancel(self, job_id: str) -> Job | None:
                return None

        impatient = Privacy(
            jobs=s.app.jobs,
            reports=ReportStore(s.app.database),
            communities=s.app.communities,
            people=s.app.registry.people,
            pictures=s.app.pictures,
            canceller=Deaf(),
            forget_start=s.bot.forget,
            surface="discord",
            keeps=Keeps(0, 30),
            folder=tmp_path,
            ending_s=0.0,
        )
        done = await impatient.erase(Viewer("local", str(s.ana.id)))
        assert (done.jobs, done.left) == (1, 1)
        whole = await s.app.jobs.get(job.id)
        assert whole is not None
        assert whole.request.prompt == "pause=0.1 steps=9 a"
        await answer.message.until(lambda m: m.pictures)


async def test_a_large_export_is_packed_and_one_too_large_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        noise = random.Random(1).randbytes(3000).hex()[:1900]
        await s.drawn(s.ana, noise)
        shown = await told(s, s.ana)
        keeps, viewer = keeper(s), Viewer("local", str(s.ana.id))
        async with keeps.exported(viewer, 2**20) as export:
            plain = export.file.read()
        async with keeps.exported(viewer, len(plain) - 1) as export:
            assert export.name.endswith(".json.gz")
            assert gzip.decompress(export.file.read()) == plain
        s.home.file_limit = 1000
        answer = await s.discord.click(s.ana, shown, "Export")
        await answer.message.until(lambda m: "even when packed" in m.text)
        assert not answer.message.attachments


async def test_one_export_at_a_time_for_each_person(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana)
        shown = await told(s, s.ana)
        answers = await asyncio.gather(*(s.discord.click(s.ana, shown, "Export") for _ in range(4)))
        for answer in answers:
            await answer.settled()
        done = [bool(answer.message.attachments) for answer in answers]
        assert any(done)
        for answer, given in zip(answers, done, strict=True):
            assert given or "being done already" in answer.text
