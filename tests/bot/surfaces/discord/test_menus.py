"""Use recipe: from any picture in a message to the form that draws it again."""

import io
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot import wording
from bot.surfaces.discord import menus, recipes
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import File, Message

INFOTEXT = (
    "a (very) --old lighthouse <lora:ink:0.7>\n"
    "Negative prompt: fog\n"
    "Steps: 12, Sampler: Euler, CFG scale: 3, Seed: 41, Size: 640x512, Model: some"
)


def picture(infotext: str | None = None) -> bytes:
    """A PNG as A1111 writes it."""
    info, buffer = PngInfo(), io.BytesIO()
    if infotext is not None:
        info.add_text("parameters", infotext)
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def posted(s: Stage, data: bytes, name: str = "lighthouse.png") -> Message:
    """A message of somebody with one file."""
    return s.discord.post(s.ben, s.general, "look", [File(name, data)])


async def test_a_picture_from_elsewhere_opens_the_form_with_all_that_it_says(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        message = posted(s, picture(INFOTEXT))
        form = (await s.discord.message_menu(s.ana, menus.USE_RECIPE, message)).modal
        assert form.value("LoRAs") == "ink:0.7"
        assert (form.value("Seed"), form.value("Preset")) == ("41", "")
        prompt = str(form.value("Prompt"))
        for part in ("lighthouse", "--size 640x512", "--steps 12", "--guidance 3"):
            assert part in prompt
        assert "/imagine" not in prompt
        answer = await s.discord.submit(form, {"LoRAs": "", "Pictures": "2"})
        await answer.message.until(lambda m: len(m.pictures) == 2)
        request = (await s.newest(s.ana)).request
        assert request.prompt == "a (very) --old lighthouse"
        assert (request.seed, request.num_inference_steps) == (41, 12)
        assert str(request.image_size) == "640x512"


async def test_a_picture_of_ours_is_read_from_its_job_or_else_from_its_file(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, "steps=2 a cat", seed=7, steps=5)
        form = (await s.discord.message_menu(s.ben, menus.USE_RECIPE, card)).modal
        assert (form.value("Prompt"), form.value("Seed")) == ("steps=2 a cat", "7")

        await s.app.jobs.forget(2**40)
        form = (await s.discord.message_menu(s.ben, menus.USE_RECIPE, card)).modal
        assert str(form.value("Prompt")).startswith("steps=2 a cat --size ")
        assert "--steps 5" in str(form.value("Prompt"))
        answer = await s.discord.submit(form)
        await answer.message.until(lambda m: m.pictures)
        request = (await s.newest(s.ben)).request
        assert (request.prompt, request.seed) == ("steps=2 a cat", 7)


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"hello", "hello.txt", recipes.NO_PICTURE),
        (picture(), "plain.png", wording.NO_RECIPE),
        (b"no picture at all", "broken.png", "PNG"),
    ],
    ids=["no picture", "no recipe", "no PNG"],
)
async def test_what_has_no_recipe_says_so_in_private(
    tmp_path: Path, data: bytes, name: str, said: str
) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.message_menu(s.ana, menus.USE_RECIPE, posted(s, data, name))
        assert answer.ephemeral
        assert said in answer.text


async def test_a_picture_that_arrives_late_is_offered_with_a_button(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.discord.serving.clear()
        message = posted(s, picture(INFOTEXT))
        answer = await s.discord.message_menu(s.ana, menus.USE_RECIPE, message)
        assert answer.message.loading
        s.discord.serving.set()
        offer = await answer.message.until(lambda m: m.buttons)
        assert offer.ephemeral
        assert "--steps 12" in offer.text
        form = (await s.discord.click(s.ana, offer, "Open the form")).modal
        assert form.value("LoRAs") == "ink:0.7"
        answer = await s.discord.submit(form, {"LoRAs": "", "Seed": ""})
        drawn = await answer.message.until(lambda m: m.pictures)
        assert not drawn.ephemeral
        request = (await s.newest(s.ana)).request
        assert (request.prompt, request.num_inference_steps) == ("a (very) --old lighthouse", 12)


async def test_only_discords_own_files_are_fetched(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        message = s.discord.post(s.ben, s.general, "look")
        message.embeds = [{"type": "image", "image": {"url": f"{s.discord.address}/secret.png"}}]
        answer = await s.discord.message_menu(s.ana, menus.USE_RECIPE, message)
        assert answer.text == recipes.NO_PICTURE
