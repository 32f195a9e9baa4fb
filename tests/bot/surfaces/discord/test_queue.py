"""`/queue`: the own jobs, and a server's queue in which nobody's prompt is seen."""

from pathlib import Path

from bot.communities import Change
from bot.jobs.job import JobState
from bot.permissions import Requester
from bot.surfaces.discord.mine import NO_SERVER, NOTHING
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Channel, May, User

OWNER = Requester("owner", owner=True)


async def asks(s: Stage, user: User, prompt: str, place: Channel, **options: object) -> None:
    answer = await s.discord.slash(user, place, "imagine", prompt=prompt, **options)
    await answer.settled()


async def test_the_servers_queue_says_who_and_never_what(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        cleo = s.discord.user("Cleo")
        s.discord.join(s.home, cleo)
        hidden = s.discord.text(s.home, "hidden")
        s.discord.allow(hidden, s.home.everyone, deny=int(May.VIEW_CHANNEL))
        for user in (s.ana, s.discord.bot):
            s.discord.allow(hidden, user, allow=int(May.VIEW_CHANNEL | May.SEND_MESSAGES))
        away = s.discord.guild("Away", members=(s.ben,))
        lifted = Change({"requester_running": None})
        await s.app.communities.change(str(s.home.id), lifted, base=0, by=OWNER)

        await asks(s, s.ana, "hang first secret", s.general)
        await s.until(await s.newest(s.ana), JobState.RUNNING)
        await asks(s, s.ana, "hang second secret", hidden)
        await asks(s, s.ben, "hang third secret", s.general)
        await asks(s, s.ben, "hang private secret", s.general, private=True)
        await asks(s, s.ben, "hang elsewhere secret", away.channel("general"))
        await s.discord.until(lambda: len(s.supervisor.standing()) == 4)

        seen = await s.discord.slash(cleo, s.general, "queue", whose="server")
        assert seen.ephemeral
        assert "1 being drawn, 2 waiting" in seen.text
        assert f"- now: <@{s.ana.id}>" in seen.text
        assert f"- next: <@{s.ben.id}> · in the queue, " in seen.text
        assert "- next: somebody · " in seen.text
        assert "secret" not in seen.text
        assert seen.message.pinged == set()
        assert "Yours" not in seen.text

        own = await s.discord.slash(s.ben, s.general, "queue")
        for prompt in ("third", "private", "elsewhere"):
            assert f"hang {prompt} secret" in own.text
        assert "second" not in own.text
        await s.discord.click(s.ben, own.message, "This server's queue")
        await own.message.until(lambda m: "being drawn" in m.text)
        assert "hang third secret" in own.text
        assert "first" not in own.text
        # Who sees the hidden channel sees who asked there.
        insider = await s.discord.slash(s.ana, hidden, "queue", whose="server")
        assert "somebody" not in insider.text


async def test_direct_messages_have_no_queue_but_ones_own(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        await asks(s, s.ana, "hang secret", s.discord.dm(s.ana))
        there = s.discord.dm(s.ben)
        assert (await s.discord.slash(s.ben, there, "queue", whose="server")).text == NO_SERVER
        own = await s.discord.slash(s.ben, there, "queue")
        assert own.text == NOTHING
        assert not own.message.buttons
