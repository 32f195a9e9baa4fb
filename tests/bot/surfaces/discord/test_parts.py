"""The parts that need no Discord: text, custom ids, pace, files, faces, cards."""

import io
import random
from dataclasses import replace
from typing import Any

import pytest
from discord.ui import LayoutView
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backends.base import Verdict, parse_request
from bot.commands import fields as fields_of
from bot.commands.again import wish_of
from bot.commands.variations import variations
from bot.jobs.job import Job, JobState, Place, Result, StoredPicture
from bot.policy import Treatment
from bot.recipe import Recipe, read
from bot.sealing import Vault
from bot.surfaces import summary
from bot.surfaces.base import Drawing, Preparing, Waiting
from bot.surfaces.discord import cards, files, ids
from bot.surfaces.discord.messages import Upload
from bot.surfaces.discord.pace import APART_S, LOOK_AGAIN_S, Pace
from bot.surfaces.discord.receipts import Message
from bot.surfaces.discord.receipts import read as read_receipt
from bot.surfaces.discord.text import code, plain, safe
from tests.fakes import jobs

JOB = "0b54a7ba-2f5c-4f3c-9a51-8f3f5c5f4d11"


def recipe(**fields: object) -> Recipe:
    given: dict[str, object] = {
        "model": "flux-1",
        "weights": "stub",
        "prompt": "a cat",
        "seed": 7,
        "width": 64,
        "height": 32,
        "steps": 4,
        "guidance": 3.5,
    }
    return Recipe.model_validate({**given, **fields})


def a_job(images: int = 0, verdict: Verdict = Verdict.CLEAR, **fields: object) -> Job:
    pictures = tuple(
        StoredPicture(
            key=f"{n}.png",
            format="png",
            width=64,
            height=32,
            seed=7 + n,
            verdict=verdict,
            recipe=recipe(),
        )
        for n in range(images)
    )
    return replace(
        jobs.JOB,
        id=JOB,
        surface="discord",
        requester="42",
        place=Place(community="1", channel="2"),
        request=parse_request({"prompt": "a cat", "seed": 7, **fields}),
        state=JobState.RENDERED if images else JobState.QUEUED,
        result=Result(pictures=pictures, prompt="a cat", weights="stub", seconds=4.25)
        if images
        else None,
    )


# --- Text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a *b* _c_ ~d~ `e` |f|", r"a \*b\* \_c\_ \~d\~ \`e\` \|f\|"),
        ("<@1> <#2> [a](b) # x", r"\<@1\> \<\#2\> \[a\](b) \# x"),
        ("a\u200bb\u202ec\u2066d\u0000e", "abcde"),
        ("two\nlines\tof  text", "two lines of text"),
        ("👩\u200d🎨", "👩\u200d🎨"),
        ("שלום", "\u2068שלום\u2069"),
    ],
)
def test_text_is_shown_as_it_was_typed(written: str, shown: str) -> None:
    assert safe(written, 100) == shown


@given(st.text(max_size=300), st.integers(1, 50))
def test_text_stays_short_and_on_one_line(text: str, most: int) -> None:
    assert len(plain(text, most)) <= most
    assert len(safe(text, most)) <= 2 * most + 2
    assert "\n" not in safe(text, most)


def test_a_block_of_code_cannot_be_ended_from_inside() -> None:
    assert code("a ``` b").count("```") == 2


# --- Custom ids -------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [(), (JOB,), (JOB, "a:b"), ("page", "x:")])
def test_a_custom_id_reads_back(about: tuple[str, ...]) -> None:
    custom_id = ids.CustomId("again", *about)
    assert ids.read(str(custom_id)) == custom_id


@pytest.mark.parametrize("text", ["", "v1:", "v2:again:" + JOB, "v1:Again:" + JOB, "x"])
def test_what_is_no_custom_id_of_ours_is_none(text: str) -> None:
    assert ids.read(text) is None


def test_a_custom_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 100"):
        str(ids.CustomId("again", JOB, "x" * 60))


def test_a_nonce_belongs_to_its_job_and_fits() -> None:
    assert ids.nonce(JOB) == ids.nonce(JOB) != ids.nonce(JOB[::-1])
    assert len(ids.nonce(JOB)) <= 25


# --- Receipts ---------------------------------------------------------------------------------


def test_a_receipt_reads_back_and_hides_its_token() -> None:
    message = Message(channel=1, message=2, application=3, token="secret", token_until=900.0)
    vault = Vault("s" * 32)
    assert "secret" not in repr(message.receipt(vault))
    assert read_receipt(message.receipt(vault), vault) == message
    unreadable = read_receipt(message.receipt(vault), Vault("t" * 32))
    assert (unreadable.token, unreadable.fresh(0.0)) == ("", False)
    assert "secret" not in repr(message)
    assert message.fresh(839.0)
    assert not message.fresh(841.0)


# --- Pace -------------------------------------------------------------------------------------


def test_a_lane_is_free_again_after_two_seconds_and_a_bit() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.turn("a", "one") == 0
    assert 2.0 <= pace.sent("a") <= 2.5
    assert 2.0 <= pace.turn("a", "one") <= 2.5
    now += 2.5
    assert pace.turn("a", "one") == 0


def test_jobs_that_share_a_lane_take_turns_and_nobody_waits_for_one_that_has_ended() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.turn("a", "one") == 0
    pace.sent("a")
    assert 0 < pace.turn("a", "two") < pace.turn("a", "three") <= LOOK_AGAIN_S
    now += 2.5
    assert pace.turn("a", "three") > 0
    assert pace.turn("a", "one") > 0
    pace.leave("two")
    assert pace.turn("a", "three") == 0
    now += 2.5
    assert pace.turn("a", "one") == 0


def test_edits_of_all_lanes_start_one_after_another() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    waits = [pace.turn(f"lane {n}", f"job {n}") for n in range(100)]
    assert waits == pytest.approx([n * APART_S for n in range(100)])
    now += 50.5 * APART_S
    again = [pace.turn(f"lane {n}", f"job {n}") for n in range(1, 100)]
    assert again.count(0) == 50


def test_the_last_edit_of_a_window_is_kept_for_the_end() -> None:
    pace = Pace(lambda: 100.0)
    pace.heard("a", 200, {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset-After": "7.5"})
    assert pace.sent("a") == 7.5
    pace.heard("b", 200, {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset-After": "4.5"})
    assert pace.turn("b", "one") == 4.5
    pace.heard("a", 200, {"X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "7.5"})
    assert pace.sent("a") <= 2.5


def test_a_429_stretches_the_pause() -> None:
    pace = Pace(lambda: 100.0)
    pace.heard("a", 429, {"Retry-After": "12"})
    assert pace.sent("a") == 12
    pace.heard("a", 429, {"Retry-After": "90000"})
    assert pace.sent("a") == 60


# --- Files ------------------------------------------------------------------------------------


def noise(side: int) -> bytes:
    buffer = io.BytesIO()
    data = random.Random(1).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), data).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_file_that_fits_is_sent_as_it_is() -> None:
    data = noise(32)
    assert files.fit(data, "png", recipe(), len(data)) == files.Fitted(data, "png")
    assert files.fit(b"x", "jpeg", recipe(), 10).suffix == "jpg"


@pytest.mark.parametrize("share", [0.9, 0.4, 0.1])
def test_a_file_is_made_to_fit_with_its_recipe_inside(share: float) -> None:
    data = noise(256)
    limit = int(len(data) * share)
    fitted = files.fit(data, "png", recipe(), limit)
    assert len(fitted.data) <= limit
    assert fitted.change is not None
    found = read(fitted.data)
    assert isinstance(found, Recipe)
    with Image.open(io.BytesIO(fitted.data)) as image:
        assert ("256x256" in fitted.change or "of" not in fitted.change) == (
            image.size == (256, 256)
        )


def test_what_cannot_be_made_to_fit_says_so() -> None:
    with pytest.raises(files.TooLarge):
        files.fit(noise(128), "png", recipe(), 50)


# --- Faces ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (None, cards.TAKEN),
        (Waiting(0), "Next in the queue"),
        (Waiting(3, 60.0), "In the queue, 3 ahead, ready <t:1061:R>"),
        (Preparing("loading"), "loading"),
        (Preparing("loading *it*", 0.5), r"`██████░░░░░░` loading \*it\*, 50%"),
        (Drawing(7, 28), "`███░░░░░░░░░` step 7/28"),
        (Drawing(7, 28, 10.0, 2.1), "`███░░░░░░░░░` step 7/28 · 2.1 steps/s · ready <t:1011:R>"),
        (Drawing(1, 2, None, 0.5), "`██████░░░░░░` step 1/2 · 2.0 s/step"),
    ],
)
def test_every_state_has_its_face(state: Waiting | None, text: str) -> None:
    assert cards.face(state, 1000.0).text == text


def test_a_preview_is_hidden_unless_it_is_clear() -> None:
    job = a_job()
    for treatment, hidden in ((Treatment.SPOILER, True), (Treatment.SHOW, False)):
        face = cards.face(Drawing(1, 2, preview=b"jpg", preview_treatment=treatment), 0.0)
        view = cards.progress(job, face, lasting=True)
        (gallery,) = [part for part in parts(view) if part["type"] == 12]
        assert gallery["items"][0]["spoiler"] is hidden
        assert [upload.name for upload in face.uploads] == ["preview.jpg"]


# --- Cards ------------------------------------------------------------------------------------


def pieces(job: Job, treatment: Treatment) -> list[cards.Piece]:
    assert job.result is not None
    upload = None if treatment is Treatment.WITHHOLD else Upload("a.png", b"x")
    return [cards.Piece(one, treatment, upload) for one in job.result.pictures]


def parts(view: LayoutView) -> list[dict[str, Any]]:
    return list(view.to_components())  # type: ignore[no-untyped-call]


def text_of(view: LayoutView) -> str:
    return "\n".join(part["content"] for part in parts(view) if part["type"] == 10)


def test_the_largest_card_stays_within_discords_4000_characters() -> None:
    job = a_job(
        4,
        Verdict.FLAGGED,
        prompt="*" * 2000,
        loras=[{"path": "*" * 200, "scale": -0.123} for _ in range(30)],
    )
    job = replace(job, preset="*" * 500)
    change = [
        replace(piece, change="sent as WebP of 1024x1024 to fit Discord's 10 MB", link="x" * 200)
        for piece in pieces(job, Treatment.SPOILER)
    ]
    assert len(text_of(cards.done(job, change))) <= 4000
    assert len(text_of(cards.not_done(job, "*" * 5000, cancelled=False))) <= 4000


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((Verdict.FLAGGED,), "A picture is withheld: the checker flagged it, and"),
        ((Verdict.UNCHECKED,) * 3, "3 pictures are withheld: nothing could check it, and"),
    ],
)
def test_withheld_pictures_are_described(verdicts: tuple[Verdict, ...], said: str) -> None:
    job = a_job(len(verdicts), verdicts[0])
    view = cards.done(job, pieces(job, Treatment.WITHHOLD))
    assert said in text_of(view)
    assert not [part for part in parts(view) if part["type"] == 12]


def test_the_settings_name_everything_that_repeats_the_picture() -> None:
    job = a_job(1, loras=[{"path": "ghibli", "scale": 0.8}], guidance_scale=2.5)
    job = replace(job, preset="dreamy@3", price=0.035)
    assert summary.settings(job, safe) == (
        "seed 7 · 64x32 · 28 steps · guidance 2.5 · ghibli:0.8 · dreamy@3 · flux-1 · 4.2 s · $0.035"
    )


# --- Vary and Edit ----------------------------------------------------------------------------


def test_vary_offers_only_what_changes_something() -> None:
    loras = [{"path": "ghibli", "scale": 4.0}, {"path": "ink", "scale": 0.5}]
    job = a_job(1, loras=loras, guidance_scale=0.0)
    assert variations(job) == {
        "lora:0:-": "ghibli -0.1 (from 4)",
        "lora:1:+": "ink +0.1 (from 0.5)",
        "lora:1:-": "ink -0.1 (from 0.5)",
        "guidance::+": "Guidance 0 → 0.5",
    }


def test_vary_fits_into_a_menu_however_many_loras_there_are() -> None:
    loras = [{"path": f"lora-{n}" * 30, "scale": 1.0} for n in range(20)]
    offered = variations(a_job(1, loras=loras))
    assert len(offered) <= 25
    assert all(len(label) <= 100 for label in offered.values())


def test_a_form_that_nobody_changes_is_the_same_wish() -> None:
    job = a_job(1, loras=[{"path": "ink", "scale": 0.5}], num_images=2)
    fields = {"prompt": "a cat", "preset": "", "loras": "ink:0.5", "seed": "7", "images": "2"}
    assert fields_of.edited(wish_of(job), fields) == wish_of(job)


def test_a_form_without_seed_and_loras_draws_something_new() -> None:
    job = a_job(1, loras=[{"path": "ink", "scale": 0.5}])
    fields = {"prompt": "a dog", "preset": "dreamy", "loras": "", "seed": "", "images": ""}
    wish = fields_of.edited(wish_of(job), fields)
    assert (wish.prompt, wish.preset, wish.loras, wish.seed) == ("a dog", "dreamy", (), None)


def test_flags_typed_into_the_form_count() -> None:
    fields = {"prompt": "a dog --format webp --steps 9", "preset": "", "loras": "", "seed": "7"}
    wish = fields_of.edited(wish_of(a_job(1)), {**fields, "images": "1"})
    assert (wish.prompt, wish.format, wish.steps, wish.seed) == ("a dog", "webp", 9, 7)


def test_without_its_preset_a_wish_has_no_blanks_to_fill() -> None:
    job = replace(a_job(1), asked="/imagine a cat --preset dreamy@2 --var mood=calm")
    fields = {"prompt": "a cat", "loras": "", "seed": "7", "images": "1"}
    assert fields_of.edited(wish_of(job), {**fields, "preset": "dreamy@2"}).variables == (
        ("mood", "calm"),
    )
    assert fields_of.edited(wish_of(job), {**fields, "preset": " "}).variables == ()
