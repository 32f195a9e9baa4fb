"""Save as preset, below a result at Slack."""

from pathlib import Path

from bot import wording
from tests.bot.surfaces.slack.stage import stage
from tests.bot.surfaces.slack.test_presets import asked, newest, own, sent, told
from tests.bot.surfaces.slack.test_shortcuts import picture

MENU = "v1:save_as_preset"


async def test_a_picture_is_saved_by_everybody_who_sees_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        [stripes] = [x for x in await s.app.registry.loras.list() if x.name == "stripes"]
        lora = {"sha256": stripes.sha256, "name": "stripes", "scale": 0.5}
        await own(s, s.ana, "dreamy", template="{prompt} on blue", loras=[lora])
        result = await s.drawn(s.ana, "a cat --preset dreamy --lora glow:0.3 --steps 5 --seed 7")
        form = (await s.slack.click(s.ana, result, "Save as preset")).modal
        assert form.fields["Template"]["element"]["initial_value"] == "{prompt} on blue"
        assert "stripes:0.5, glow:0.3" in form.text
        assert "steps 5" in form.text
        # Ana's preset is hers alone, and so are its words.
        form = (await s.slack.click(s.ben, result, "Save as preset")).modal
        assert form.fields["Template"]["element"]["initial_value"] == "{prompt}"
        refused = await s.slack.submit(s.ben, form, {"Name": "-", "Title": "Ben's"})
        assert "cannot be a name" in refused.errors["name"]
        refused = await s.slack.submit(s.ben, form, {"Name": "bens", "Template": "{nothing}"})
        assert list(refused.errors) == ["template"]
        answer = await sent(s, s.ben, form, {"Template": "{prompt}"})
        assert "Saved as *@ben/bens* (revision 1)" in answer.text
        body = (await newest(s, s.ben, "bens")).body
        assert [(one.name, one.scale) for one in body.loras] == [("stripes", 0.5), ("glow", 0.3)]
        assert (body.steps, body.seed.kind, body.title) == (5, "random", "Ben's")
        assert "cat" not in body.model_dump_json()
        history = (await asked(s, s.ben, "history bens")).text
        assert "from a picture drawn with @ana/dreamy@1" in history


async def test_a_picture_that_is_gone_is_not_saved(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        result = await s.drawn(s.ana)
        form = (await s.slack.click(s.ana, result, "Save as preset")).modal
        await s.app.jobs.forget(2**40)
        gone = await told(await s.slack.click(s.ana, result, "Save as preset"))
        assert gone.text == wording.NO_SUCH_JOB
        late = await s.slack.submit(s.ana, form, {"Name": "dreamy"})
        assert late.errors == {"name": wording.NO_SUCH_JOB}


async def test_the_menu_of_any_message_with_a_recipe_fills_the_form_of_a_preset(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        result = await s.drawn(s.ana, "a secret --lora stripes:0.7 --steps 5")
        form = (await s.slack.shortcut(s.ben, result, MENU)).modal
        assert form.data["callback_id"].startswith("v1:saved:")
        await s.app.jobs.forget(2**40)
        form = (await s.slack.shortcut(s.ben, result, MENU)).modal
        await form.until(lambda v: v.title == "New preset")
        [lora] = form.fields["LoRAs"]["element"]["initial_options"]
        assert lora["value"] == "stripes:0.7"
        assert "steps: 5" in form.fields["Settings"]["element"]["initial_value"]
        assert "secret" not in str(form.data)
        answer = await sent(s, s.ben, form, {"Name": "found"})
        assert "Made *@ben/found*" in answer.text

        words = await s.slack.write(s.ana, s.general, "hello")
        nothing = await told(await s.slack.shortcut(s.ana, words, MENU))
        assert "This message has no picture" in nothing.text
        unknown = picture("a cat <lora:lost:0.7>\nSteps: 12, Seed: 41, Size: 64x64")
        message = s.slack.attach(s.ben, s.general, "cat.png", unknown)
        view = (await s.slack.shortcut(s.ana, message, MENU)).modal
        await view.until(lambda v: "drawn with lost." in v.text)
