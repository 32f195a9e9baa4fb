"""Moderation without any platform: whose word holds, where it holds, and who may say it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.base import Verdict, parse_request
from bot.app import CommunityRules
from bot.commands.jobs import JobErased, Jobs, NoSuchJob, PictureGone
from bot.commands.moderation import Moderation, NotAllowed
from bot.communities import Change, SettingsRefused
from bot.community_store import CommunityStore
from bot.database import Database
from bot.jobs.job import Job, JobDraft, Place, Result, StoredPicture
from bot.jobs.limits import Limits
from bot.jobs.reports import ReportStore
from bot.jobs.store import JobStore, migrations
from bot.permissions import Requester
from bot.policy import Treatment
from bot.recipe import Recipe
from bot.storage import PictureStore

OWNER = Requester("owner", owner=True)
MOD = Requester("mod", roles=frozenset({"mods"}))
ANA = Requester("ana")


class Nobody:
    """Has no job to cancel."""

    async def cancel(self, job_id: str) -> Job | None:
        return None


class Stage:
    """A community, `home`, with a role of moderators, and its stores."""

    def __init__(self, database: Database, pictures: PictureStore) -> None:
        self.store, self.pictures = JobStore(database), pictures
        self.communities = CommunityStore(database)
        self.moderation = Moderation(
            jobs=self.store,
            reports=ReportStore(database),
            communities=self.communities,
            surface="chat",
        )
        self.jobs = Jobs(
            store=self.store,
            pictures=pictures,
            canceller=Nobody(),
            treat=CommunityRules(self.communities).treatment,
            surface="chat",
        )

    async def drawn(self, verdict: Verdict = Verdict.CLEAR, community: str = "home") -> Job:
        draft = JobDraft(
            id=str(uuid.uuid4()),
            surface="chat",
            requester=ANA.id,
            place=Place(community=community, channel="general"),
            request=parse_request({"prompt": "a cat", "seed": 7}),
            backend="stub",
        )
        await self.store.submit(draft, Limits(), receipt={})
        job = await self.store.begin(draft.id)
        assert job is not None
        recipe = Recipe(
            model="flux-1", weights="w", prompt="a cat", seed=7, width=8, height=8, steps=1,
            guidance=1.0,
        )  # fmt: skip
        picture = StoredPicture(
            key=await self.pictures.put(draft.id.encode(), "png"),
            format="png",
            width=8,
            height=8,
            seed=7,
            verdict=verdict,
            recipe=recipe,
        )
        result = Result(pictures=(picture,), prompt="a cat", weights="w", seconds=1.0)
        rendered = await self.store.render(job, result)
        assert rendered is not None
        delivered = await self.store.deliver(rendered)
        assert delivered is not None
        return delivered

    async def set_up(self, **values: object) -> None:
        record = await self.communities.load("home")
        change = Change({"moderator_roles": ["mods"], **values})
        await self.communities.change("home", change, base=record.version, by=OWNER)

    async def treatment(self, job: Job) -> Treatment:
        found = await self.store.get(job.id)
        assert found is not None
        return (await self.jobs.shown(found))[0].treatment


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Stage]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    made = Stage(database, await PictureStore.in_folder(tmp_path / "pictures"))
    await made.set_up()
    yield made
    await database.close()


async def test_the_moderators_word_wins_over_the_checkers_everywhere(scene: Stage) -> None:
    await scene.set_up(flagged="withhold")
    clear, flagged = await scene.drawn(), await scene.drawn(Verdict.FLAGGED)
    assert await scene.treatment(clear) is Treatment.SHOW
    assert await scene.treatment(flagged) is Treatment.WITHHOLD

    veiled = await scene.moderation.judge(MOD, "home", clear.id, Verdict.FLAGGED)
    assert veiled.moderated is Verdict.FLAGGED
    assert veiled.result is not None
    assert veiled.result.pictures[0].verdict is Verdict.FLAGGED
    assert await scene.treatment(clear) is Treatment.WITHHOLD
    with pytest.raises(PictureGone):  # a signed link leads nowhere any more
        await scene.jobs.bytes_of(clear.id, 0)

    await scene.moderation.judge(MOD, "home", flagged.id, Verdict.CLEAR)
    assert await scene.treatment(flagged) is Treatment.SHOW
    assert (await scene.jobs.bytes_of(flagged.id, 0))[1] == flagged.id.encode()
    (listed, _) = await scene.store.history("chat", ANA.id, before=None, limit=2)
    assert listed.moderated is Verdict.CLEAR


async def test_only_moderators_judge_and_only_jobs_of_their_own_community(scene: Stage) -> None:
    here, elsewhere = await scene.drawn(), await scene.drawn(community="other")
    with pytest.raises(NotAllowed, match="moderators"):
        await scene.moderation.judge(ANA, "home", here.id, Verdict.FLAGGED)
    for job_id in (elsewhere.id, str(uuid.uuid4())):
        with pytest.raises(NoSuchJob):
            await scene.moderation.judge(MOD, "home", job_id, Verdict.FLAGGED)
    await scene.store.erase(here.id)
    with pytest.raises(JobErased):
        await scene.moderation.judge(MOD, "home", here.id, Verdict.FLAGGED)
    assert await scene.treatment(elsewhere) is Treatment.SHOW


async def test_moderators_block_members_and_change_nothing_else(scene: Stage) -> None:
    assert await scene.moderation.block(MOD, "home", "ana")
    assert not await scene.moderation.block(MOD, "home", "ana")
    assert await scene.moderation.block(MOD, "home", "eve")
    here = await scene.communities.effective("home")
    assert here.settings.blocked_members == {"ana", "eve"}
    (newest, *_) = await scene.communities.history("home")
    assert (newest.by, newest.fields) == ("mod", ("blocked_members",))
    with pytest.raises(SettingsRefused):
        await scene.communities.change("home", Change({"max_steps": 1}), base=3, by=MOD)


async def test_nobody_blocks_moderators_or_themselves_or_without_the_right(scene: Stage) -> None:
    await scene.set_up(moderators=["zoe"])
    for by, member in ((MOD, "zoe"), (MOD, MOD.id), (ANA, "eve")):
        with pytest.raises(NotAllowed):
            await scene.moderation.block(by, "home", member)
    assert not (await scene.communities.effective("home")).settings.blocked_members


async def test_two_blocks_at_once_both_hold(scene: Stage) -> None:
    await asyncio.gather(*(scene.moderation.block(MOD, "home", who) for who in ("ana", "eve")))
    here = await scene.communities.effective("home")
    assert here.settings.blocked_members == {"ana", "eve"}
