"""`/defaults`: the panel, and that `/imagine` uses everything in it."""

from pathlib import Path

from bot.communities import Change
from bot.permissions import Requester
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Message, User

OWNER = Requester("owner", owner=True)


async def panel(s: Stage, user: User) -> Message:
    return await (await s.discord.slash(user, s.general, "defaults")).settled()


async def choose(s: Stage, shown: Message, menu: str, choice: str, says: str) -> None:
    await s.discord.select(s.ana, shown, menu, [choice])
    await shown.until(lambda m: says in m.text)


async def test_imagine_uses_every_default_and_a_command_wins(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        shown = await panel(s, s.ana)
        assert shown.ephemeral
        assert "**Size:** the model's own, 1024x768 · *default*" in shown.text
        await choose(s, shown, "Size", "Size: square, 512x512", "**Size:** 512x512 · *yours*")
        await choose(s, shown, "Model", "Model: flux-2", "**Model:** flux-2 · *yours*")
        await choose(s, shown, "Pictures at once", "Pictures at once: 2", "once:** 2 · *yours*")
        await s.discord.click(s.ana, shown, "Ping me when done")
        await shown.until(lambda m: "you get a ping" in m.text)
        card = await s.drawn(s.ana, "steps=2 a cat")
        request = (await s.newest(s.ana)).request
        assert (str(request.image_size), request.model, request.num_images) == (
            "512x512",
            "flux-2",
            2,
        )
        await s.discord.until(lambda: len(s.general.public) == 2)
        assert s.general.public[1].pinged == {str(s.ana.id)}

        form = (await s.discord.click(s.ana, shown, "Preset or exact size")).modal
        assert (form.value("Preset"), form.value("Size")) == ("", "512x512")
        await s.discord.submit(form, {"Preset": "badge", "Size": "640x512"})
        await shown.until(lambda m: "**Preset:** badge · *yours*" in m.text)
        await s.drawn(s.ana, "steps=2 a star", model="flux-1")
        job = await s.newest(s.ana)
        assert (job.preset, job.request.model) == ("@atelier/badge@1", "flux-1")

        # What others drew without a preset stays without: the same button gives the same picture.
        await s.discord.click(s.ana, card, "Again")
        again = await s.until(await s.newest(s.ana))
        assert (again.preset, again.request.num_images) == (None, 2)
        await s.drawn(s.ana, "steps=2 a dog", preset="none", images=1)
        plain = await s.newest(s.ana)
        assert (plain.preset, str(plain.request.image_size)) == (None, "640x512")

        await s.discord.click(s.ana, shown, "Show results to me alone")
        await shown.until(lambda m: "you alone · *yours*" in m.text)
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="steps=2 secret")
        await answer.message.until(lambda m: m.pictures)
        assert answer.ephemeral
        assert (await s.newest(s.ana)).place.private

        # Nobody else's are touched, nor the own ones elsewhere.
        assert "yours" not in (await panel(s, s.ben)).text
        away = await s.discord.slash(s.ana, s.discord.dm(s.ana), "defaults")
        assert "wherever no server is" in away.text
        assert "yours" not in away.text


async def test_defaults_come_from_the_server_and_go_back_to_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        change = Change({"size": "portrait_4_3", "max_images": 2, "models": ["flux-1"]})
        await s.app.communities.change(str(s.home.id), change, base=0, by=OWNER)
        shown = await panel(s, s.ana)
        assert "**Size:** 768x1024 · *set for everybody here*" in shown.text
        assert not any(part.get("placeholder") == "Model" for part in shown.parts())
        await choose(
            s, shown, "Size", "Size: The model's own", "the model's own, 1024x768 · *yours*"
        )
        await s.discord.click(s.ana, shown, "Ping me when done")
        await shown.until(lambda m: "you get a ping · *yours*" in m.text)
        menu = "Clear one of yours"
        await choose(
            s, shown, menu, "Size: the model's own, 1024x768", "768x1024 · *set for everybody here*"
        )
        assert "you get a ping" in shown.text
        await choose(s, shown, menu, "All of mine", "no ping · *default*")
        assert "yours" not in shown.text

        refused = await s.discord.select(s.ana, shown, "Pictures at once", ["Pictures at once: 3"])
        assert "images is 3; use up to 2 here" in (await refused.follow_up()).text
        form = (await s.discord.click(s.ana, shown, "Preset or exact size")).modal
        for fields, said in (
            ({"Preset": "nobody-has-it"}, "nobody-has-it"),
            ({"Size": "3000x3000"}, "3000"),
            ({"Size": "squre"}, "Did you mean square"),
        ):
            told = await (await s.discord.submit(form, fields)).follow_up()
            assert told.ephemeral
            assert said in told.text.replace("\\", "")
        assert "yours" not in (await panel(s, s.ana)).text


async def test_defaults_that_cannot_be_read_can_be_cleared(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        async with s.app.database.write() as sql:
            await sql.execute(
                "INSERT INTO member_settings (community, member, document) VALUES (?, ?, ?)",
                (str(s.home.id), str(s.ana.id), '{"images": "many"}'),
            )
        shown = await panel(s, s.ana)
        assert "cannot be read" in shown.text
        await s.discord.click(s.ana, shown, "Clear all")
        await shown.until(lambda m: "Your defaults in this server" in m.text)


async def test_a_default_preset_that_is_gone_is_named_as_what_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        gone = Change({"preset": "long-gone"})
        await s.app.communities.change_member(str(s.home.id), str(s.ana.id), gone)
        refused = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        told = (await refused.settled()).text
        assert "The preset long-gone is your default here; choose another one, or none." in told
        named = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat", preset="nobodys")
        assert "default" not in (await named.settled()).text
        await s.drawn(s.ana, preset="none")
