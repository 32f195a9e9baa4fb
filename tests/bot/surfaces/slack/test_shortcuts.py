"""The menu of a message: its words or its picture open the form that draws."""

import io
from pathlib import Path
from unittest.mock import patch

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot import wording
from bot.surfaces.slack import recipes, shortcuts
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.fakes.slack import Answer, Fault, Message

WORDS, RECIPE = "v1:imagine_from", "v1:use_recipe"
INFOTEXT = (
    "a (very) --old lighthouse <lora:ink:0.7>\n"
    "Negative prompt: fog\n"
    "Steps: 12, Sampler: Euler, CFG scale: 3, Seed: 41, Size: 640x512, Model: some"
)


def picture(infotext: str | None = None, kind: str = "PNG") -> bytes:
    """A picture as A1111 writes it."""
    info, buffer = PngInfo(), io.BytesIO()
    if infotext is not None:
        info.add_text("parameters", infotext)
    Image.new("RGB", (8, 8), "red").save(buffer, kind, pnginfo=info)
    return buffer.getvalue()


async def read(s: Stage, message: Message) -> Answer:
    """Use recipe, once the window shows what came of it."""
    answer = await s.slack.shortcut(s.ana, message, RECIPE)
    await answer.modal.until(lambda view: shortcuts.READING not in view.text)
    return answer


async def test_the_words_of_a_message_open_the_form_and_are_drawn_beside_it(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        root = await s.slack.write(s.ben, s.general, "look")
        words = await s.slack.write(s.ben, s.general, "a <cat> & a dog", root)
        form = (await s.slack.shortcut(s.ana, words, WORDS)).modal
        assert form.fields["Prompt"]["element"]["initial_value"] == "a <cat> & a dog"
        await s.slack.submit(s.ana, form)
        done = await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        assert done.thread_ts == root.ts
        assert (await s.newest(s.ana)).request.prompt == "a <cat> & a dog"


async def test_a_picture_from_elsewhere_opens_the_form_with_all_that_it_says(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        notes = s.slack.attach(s.ben, s.general, "notes.txt", b"words")
        assert (await read(s, notes)).modal.text == recipes.NO_PICTURE
        message = s.slack.attach(s.ben, s.general, "lighthouse.png", picture(INFOTEXT))
        form = (await read(s, message)).modal
        prompt = form.fields["Prompt"]["element"]["initial_value"]
        for part in ("lighthouse", "--steps 12", "--guidance 3"):
            assert part in prompt
        assert "/imagine" not in prompt
        assert form.fields["Size"]["element"]["initial_value"] == "640x512"
        await s.slack.submit(s.ana, form, {"LoRAs": [], "Pictures": "2"})
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        request = (await s.newest(s.ana)).request
        assert request.prompt == "a (very) --old lighthouse"
        assert (request.seed, request.num_inference_steps, request.num_images) == (41, 12, 2)
        assert str(request.image_size) == "640x512"


async def test_a_card_of_ours_is_read_from_its_job_or_else_from_its_picture(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, "steps=2 a cat --seed 7 --steps 5")
        form = (await s.slack.shortcut(s.ben, card, RECIPE)).modal
        assert form.data["callback_id"].startswith("v1:edited:")
        assert form.fields["Seed"]["element"]["initial_value"] == "7"
        assert not s.slack.api.made("files.info")

        assert await s.app.jobs.forget(float("inf")) == 1
        form = (await read(s, card)).modal
        assert form.fields["Seed"]["element"]["initial_value"] == "7"
        assert "--steps 5" in form.fields["Prompt"]["element"]["initial_value"]


async def test_what_cannot_be_read_is_said_in_the_window(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        words = await s.slack.write(s.ben, s.general, "no picture")
        answer = await s.slack.shortcut(s.ana, words, RECIPE)
        await answer.until(lambda a: a.text)
        assert answer.text == recipes.NO_PICTURE

        bare = s.slack.attach(s.ben, s.general, "bare.png", picture())
        assert (await read(s, bare)).modal.text == wording.NO_RECIPE

        secret = s.slack.channel("secret", s.ana, s.ben, private=True, has_bot=False)
        hidden = s.slack.attach(s.ben, secret, "hidden.png", picture(INFOTEXT))
        assert (await read(s, hidden)).modal.text == recipes.NOT_LET

        seen = s.slack.attach(s.ben, s.general, "seen.png", picture(INFOTEXT))
        s.slack.team.scopes.discard("files:read")
        assert "permission" in (await read(s, seen)).modal.text
        s.slack.team.scopes.add("files:read")
        s.slack.api.faults.append(Fault("files.info", status=500))
        assert (await read(s, seen)).modal.text == recipes.AWAY


async def test_a_page_in_place_of_the_picture_and_other_hosts_are_not_read(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        message = s.slack.attach(s.ben, s.general, "lighthouse.png", picture(INFOTEXT))
        s.slack.api.faults.append(Fault("files-pri", status=200))
        assert (await read(s, message)).modal.text == recipes.NOT_LET
        with patch.object(s.slack, "file_url", lambda _: "https://files.example.com/x.png"):
            assert (await read(s, message)).modal.text == recipes.NO_PICTURE


def test_the_token_goes_to_slacks_files_and_where_the_api_is() -> None:
    slack = {"files.slack.com": "https://files.slack.com"}
    assert recipes.file_origins("https://slack.com/api") == slack
    assert recipes.file_origins("http://127.0.0.1:9/api") == slack | {
        "127.0.0.1": "http://127.0.0.1:9"
    }
