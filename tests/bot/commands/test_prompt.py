"""The grammar of `/imagine`: what people, phones and Slack write, and what is made of it."""

import contextlib
import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.base import MODELS, NAMED_SIZES, Acceleration, ImageSize, OutputFormat, parse_request
from bot.commands.prompt import (
    DEFAULT_SIZE,
    FLAGS,
    MAX_PROMPT,
    Flag,
    NamedLora,
    PromptError,
    Wish,
    heavy_loras,
    parse,
    parse_loras,
    parse_size,
    render,
)


def _loras(*pairs: tuple[str, float | None]) -> tuple[NamedLora, ...]:
    return tuple(NamedLora(name, scale) for name, scale in pairs)


def _refusal(text: str) -> PromptError:
    with pytest.raises(PromptError) as refused:
        parse(text)
    return refused.value


FULL = Wish(
    "a cat",
    preset="dreamy",
    loras=_loras(("ghibli", 0.8)),
    size=NAMED_SIZES["square"],
    steps=28,
    guidance=3.5,
    seed=7,
    images=2,
    model="flux-2",
)


@pytest.mark.parametrize(
    "text",
    [
        "/imagine a cat --preset dreamy --lora ghibli:0.8 --size square --steps 28 --guidance 3.5"
        " --seed 7 --images 2 --model flux-2",
        "a cat —preset dreamy —lora ghibli:0.8 —size square —steps 28 —guidance 3,5"
        " —seed 7 —images 2 —model flux-2",
        "--seed 7 a --preset=“dreamy” cat --LORA=ghibli:0.8 --Size:SQUARE --steps28 --cfg 3.5."
        " --n 2, --model flux2!",
        "/Imagine\r\n“a cat”\u00a0–preset\u00a0'dreamy'\t−−lora\u2003ghibli:.8 ––size 512 × 512\n"
        "―steps = 28 ‑‑g 3.50 --seed 7 --images 2.0 --model FLUX.2",
        "&lt;lora:ghibli:0.8&gt; a cat, --preset ‘dreamy’ --size 512*512 --steps 28 --guidance +3.5"
        " --seed 7 --images 2 --model flux-2;",
    ],
)
def test_every_way_of_typing_the_same_wish_gives_that_wish(text: str) -> None:
    assert parse(text) == FULL


def test_the_canonical_command_is_what_the_documentation_shows() -> None:
    assert render(FULL) == (
        "/imagine a cat --preset dreamy --lora ghibli:0.8 --size square --steps 28 --guidance 3.5"
        " --seed 7 --images 2 --model flux-2"
    )


def test_nothing_is_filled_in_that_was_not_said() -> None:
    assert parse("a cat") == Wish("a cat")


def test_a_wish_fits_the_request_of_the_backends() -> None:
    wish = parse("a cat --model flux-2 --ar 16:9 --speed high --expand --format webp --steps 8")
    request = parse_request(
        {
            "prompt": wish.prompt,
            "model": wish.model,
            "image_size": wish.size,
            "acceleration": wish.speed,
            "enable_prompt_expansion": wish.expand,
            "output_format": wish.format,
            "num_inference_steps": wish.steps,
        }
    )
    assert (request.image_size, request.output_format) == (wish.size, "webp")


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat's hat",
        "rock ’n’ roll",
        "'tis the season for givin'",
        'a 6" ruler and a 7" record',
        'a sign saying "open" at night',
        '"hello" and "goodbye"',
        "“hello” and “goodbye”",
        'he said "hi',
        "sunset -- dramatic",
        "sunset — dramatic",
        "a cat—black as night—asleep",
        "—black and white— a cat",
        "一只猫 ——黑色",
        "a cat -steps 5",
        "well--known state-of-the-art",
        "----- a line -----",
        "-- 5",
        "👩‍🚀 in 🏳️‍🌈 space ❤️",
        "1:1 scale model <b>bold</b> a & b",
        "girl \\(solo\\), (masterpiece:1.2), [a|b]",
        'a poster with "--steps 5 --now" on it',
        "a poster with «--steps 5» on it",
        "a <lora sign",
        "trailing comma,",
        "/imagine",
    ],
)
def test_prose_stays_as_it_is(prompt: str) -> None:
    assert parse(f"/imagine {prompt}") == Wish(prompt)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ('"a cat"', "a cat"),
        ("“a cat”", "a cat"),
        ("„a cat“", "a cat"),
        ("«a cat»", "a cat"),
        ('"a cat --steps 5"', "a cat --steps 5"),
        ('"a ""big"" cat"', 'a "big" cat'),
        ('" a  cat "', "a cat"),
        ("a\r\ncat\tand\u3000a\u2028dog\ufeff", "a cat and a dog"),
        ("a &lt;big&gt; cat &amp; dog", "a <big> cat & dog"),
        ("&amp;lt; is an entity", "&lt; is an entity"),
        (r"a sign with \<lora:x:0.5> on it", "a sign with <lora:x:0.5> on it"),
        (r"a sign with \\<lora:x:0.5> on it", r"a sign with \<lora:x:0.5> on it"),
    ],
)
def test_quotes_spaces_and_escapes_are_taken_off(text: str, prompt: str) -> None:
    assert parse(text) == Wish(prompt)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("a cat --seed 7 on a mat", "a cat on a mat"),
        ("--seed 7 a cat", "a cat"),
        ("a cat, --seed 7", "a cat"),
        ("a cat,--seed 7", "a cat"),
        ('"a cat --seed 9" --seed 7', "a cat --seed 9"),
        ('--seed 7 "a cat,"', "a cat,"),
        ('a "big" cat --seed 7', 'a "big" cat'),
    ],
)
def test_flags_leave_no_trace_in_the_prompt(text: str, prompt: str) -> None:
    assert parse(text) == Wish(prompt, seed=7)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("a cat <lora:x:0.8>", "a cat"),
        ("<LoRA:x:0.8> a cat", "a cat"),
        ("a <lora:x:0.8>cat", "a cat"),
        ("a<lora:x:0.8>cat", "a cat"),
        ("a cat <lora:x:0.8>, asleep", "a cat, asleep"),
        ("a cat, <lora:x:0.8>, asleep", "a cat, asleep"),
        ("a cat, <lora:x:0.8> asleep", "a cat, asleep"),
        ("a cat, <lora:x:0.8>", "a cat"),
        ("<lora:x:0.8>, a cat", "a cat"),
        ("a cat <lora: x : 0,8 >.", "a cat."),
        ('"a cat <lora:x:0.8>"', "a cat"),
        ('"a cat" <lora:x:0.8>', "a cat"),
    ],
)
def test_an_inline_lora_leaves_the_prompt(text: str, prompt: str) -> None:
    assert parse(text) == Wish(prompt, loras=_loras(("x", 0.8)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ghibli:0.8", [("ghibli", 0.8)]),
        ("ghibli", [("ghibli", None)]),
        ("ghibli:0.8,ink", [("ghibli", 0.8), ("ink", None)]),
        ("ghibli:0.8, ink:0.5 ,glow", [("ghibli", 0.8), ("ink", 0.5), ("glow", None)]),
        ("ghibli: 0.8", [("ghibli", 0.8)]),
        ("ghibli:0,8,ink:0,5", [("ghibli", 0.8), ("ink", 0.5)]),
        ("ghibli:1, 5", [("ghibli", 1.0), ("5", None)]),
        ("ghibli:-0.5", [("ghibli", -0.5)]),
        ("ghibli:−0.5,ink:–1", [("ghibli", -0.5), ("ink", -1.0)]),
        ("@owner/name:0.7", [("@owner/name", 0.7)]),
        ("@owner/name@3", [("@owner/name@3", None)]),
        ("XLabs-AI/flux-RealismLora:1", [("XLabs-AI/flux-RealismLora", 1.0)]),
        ("https://example.org/a.safetensors", [("https://example.org/a.safetensors", None)]),
        (
            "https://example.org:8080/a.safetensors?x=1&y=2:0.6",
            [("https://example.org:8080/a.safetensors?x=1&y=2", 0.6)],
        ),
        ("<https://example.org/a:0.6|example.org>", [("https://example.org/a", 0.6)]),
        ("<https://example.org/a>:0.6", [("https://example.org/a", 0.6)]),
        ("my_style.v2.safetensors:0.9", [("my_style.v2.safetensors", 0.9)]),
        ('"my style.safetensors:0.9"', [("my style.safetensors", 0.9)]),
        ('"my style":0.9,ink', [("my style", 0.9), ("ink", None)]),
        ("“Bob's style”", [("Bob's style", None)]),
        ("<lora:ghibli:0.8>", [("ghibli", 0.8)]),
        ("name:strong", [("name:strong", None)]),
        ("ghibli:0.8,", [("ghibli", 0.8)]),
        ("ghibli:0.8.", [("ghibli", 0.8)]),
    ],
)
def test_loras_are_named_in_every_usual_form(
    value: str, expected: list[tuple[str, float | None]]
) -> None:
    assert parse(f"a cat --lora {value} --seed 7") == Wish("a cat", loras=_loras(*expected), seed=7)
    assert parse(f"a cat --seed 7 --lora {value}").loras == _loras(*expected)


def test_loras_add_up_inline_ones_first() -> None:
    wish = parse("a cat --lora a:1 --lora b,c:0.5 <lora:d:0.3> --loras a:2")
    assert wish.loras == _loras(("d", 0.3), ("a", 1), ("b", None), ("c", 0.5), ("a", 2))


def test_discord_reads_its_list_of_loras_with_the_same_reader() -> None:
    assert parse_loras(" ghibli:0.8 , my style:1.2, ") == _loras(("ghibli", 0.8), ("my style", 1.2))
    with pytest.raises(PromptError) as refused:
        parse_loras("ghibli:0.8, ink:0.5:0.6, :3, glow")
    assert refused.value.corrected == "ghibli:0.8,ink:0.5,:3,glow"


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("square", (512, 512)),
        ("SQUARE-HD", (1024, 1024)),
        ('"portrait 4:3"', (768, 1024)),
        ("landscape_16_9", (1024, 576)),
        ("1024x768", (1024, 768)),
        ("1024 x 768", (1024, 768)),
        ("1024X768", (1024, 768)),
        ("1024×768", (1024, 768)),
        ("1024*768", (1024, 768)),
        ("16:9", (1184, 672)),
    ],
)
def test_sizes_go_by_name_by_pixels_or_by_ratio(value: str, size: tuple[int, int]) -> None:
    assert parse(f"a cat --size {value}") == Wish(
        "a cat", size=ImageSize(width=size[0], height=size[1])
    )


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("4:3", (1024, 768)),
        ("3:4", (768, 1024)),
        ("1:1", (880, 880)),
        ("16 : 9", (1184, 672)),
        ("16/9", (1184, 672)),
        ("16x9", (1184, 672)),
        ("1920x1080", (1184, 672)),
        ("2.39:1", (1376, 576)),
        ("3:1", (1536, 512)),
        ("1:3", (512, 1536)),
    ],
)
def test_a_ratio_keeps_about_the_pixels_of_the_default_size(
    value: str, size: tuple[int, int]
) -> None:
    assert parse(f"a cat --ar {value}").size == ImageSize(width=size[0], height=size[1])


def test_a_ratio_follows_the_default_size_of_the_place() -> None:
    small = NAMED_SIZES["square"]
    assert parse("a cat --ar 2:1", default_size=small).size == ImageSize(width=720, height=368)
    assert parse_size("2:1", default_size=small) == ImageSize(width=720, height=368)


@given(st.integers(1, 300), st.integers(1, 300))
def test_every_ratio_in_range_can_be_drawn_by_both_models(width: int, height: int) -> None:
    if not 1 / 3 <= width / height <= 3:
        assert "1:3 to 3:1" in str(_refusal(f"a cat --ar {width}:{height}"))
        return
    size = parse(f"a cat --ar {width}:{height}").size
    assert size is not None
    assert size.width % 16 == size.height % 16 == 0
    assert abs(size.pixels / DEFAULT_SIZE.pixels - 1) < 0.03
    assert abs(size.width / size.height / (width / height) - 1) < 0.03
    for model in MODELS:
        parse_request({"model": model, "prompt": "a cat", "image_size": size})


@pytest.mark.parametrize(
    ("flag", "field", "value"),
    [
        ("--expand", "expand", True),
        ("--no-expand", "expand", False),
        ("--expand=false", "expand", False),
        ("--private=Yes", "private", True),
        ("--private true", "private", True),
        ("—no-private", "private", False),
        ("--format JPG", "format", "jpeg"),
        ("--format .webp", "format", "webp"),
        ("--speed high", "speed", "high"),
        ("--seed 1,000,000", "seed", 1_000_000),
        ("--seed 9223372036854775807", "seed", 2**63 - 1),
        ("--steps ２８", "steps", 28),
        ("--guidance 3,5", "guidance", 3.5),
        ("--guidance −1", "guidance", -1.0),
        ("--preset dreamy+ink:0.6", "preset", "dreamy+ink:0.6"),
        ("--preset @owner/dreamy@sha256:ab", "preset", "@owner/dreamy@sha256:ab"),
        ('--preset "dreamy + ink:0.6",', "preset", "dreamy + ink:0.6"),
        ("--preset ‘Bob’", "preset", "Bob"),
    ],
)
def test_values_are_read(flag: str, field: str, value: object) -> None:
    expected: dict[str, Any] = {field: value}
    assert parse(f"a cat {flag}") == Wish("a cat", **expected)
    assert parse(f"{flag} --lora x a cat") == Wish("a cat", loras=_loras(("x", None)), **expected)


def test_a_switch_takes_no_word_of_the_prompt() -> None:
    assert parse("--private true love in paris") == Wish("true love in paris", private=True)


@pytest.mark.parametrize(
    ("text", "sentence", "corrected"),
    [
        ("", "The prompt is missing", None),
        ("/imagine  ", "The prompt is missing", None),
        ("--steps 5", "The prompt is missing", None),
        ("<lora:x:1>", "The prompt is missing", None),
        ('""', "The prompt is missing", None),
        ("x" * 2001, "The prompt has 2,001 characters; shorten it to 2,000.", None),
        ("a cat --stepz 5", "“--stepz” is not a flag; did you mean --steps?", "a cat --steps 5"),
        ("a cat —stepp 5", "“--stepp” is not a flag; did you mean --steps?", "a cat --steps 5"),
        ("a cat --image_size square", "did you mean --size?", "a cat --size square"),
        ("a cat --größe 3", "“--größe” is not a flag; use --preset", "a cat"),
        ("a cat --lroa x:1", "did you mean --lora?", "a cat --lora x:1"),
        (
            "a cat --zzz 5 asleep",
            "“--zzz” is not a flag; use --preset, --var, --lora,",
            "a cat asleep",
        ),
        ("a cat --steps", "--steps has no value; use a whole number such as 28.", "a cat"),
        ("a cat --preset --seed 7", "--preset has no value", "a cat --seed 7"),
        ('a cat --preset ""', "--preset has no value", "a cat"),
        (
            'a cat --preset "dreamy --seed 7',
            "The quote after --preset has no end",
            "a cat --preset dreamy --seed 7",
        ),
        (
            "a cat --steps many",
            "--steps is “many”; use a whole number such as 28.",
            "a cat",
        ),
        ("a cat --steps 28steps", "--steps is “28steps”", "a cat --steps 28"),
        ("a cat --steps 28.5", "use a whole number", "a cat --steps 28"),
        ("a cat --seed -1", "--seed is “-1”; use a whole number, or leave it out", "a cat"),
        ("a cat --seed random", "leave it out", "a cat"),
        ("a cat --guidance 3.5x", "use a number such as 3.5", "a cat --guidance 3.5"),
        ("a cat --guidance nan", "--guidance is “nan”", "a cat"),
        (
            "a cat --model flux-3",
            "--model is “flux-3”; use flux-1 or flux-2.",
            "a cat --model flux-2",
        ),
        ("a cat --speed fast", "--speed is “fast”; use none, regular or high.", "a cat"),
        ("a cat --format gif", "use jpeg, png or webp", "a cat"),
        ("a cat --expand=maybe", "--expand is “maybe”; use yes or no.", "a cat"),
        ("a cat --size landscape", "landscape_4_3", "a cat --size landscape_4_3"),
        ("a cat --size 1024", "--size is “1024”", "a cat --size 1024x1024"),
        ("a cat --size 640x480px", "--size is “640x480px”", "a cat --size 640x480"),
        ("a cat --size 0x5", "--size is “0x5”; use 1 to 14142 pixels a side.", "a cat"),
        ("a cat --ar wide", "--ar is “wide”; use a ratio from 1:3 to 3:1", "a cat"),
        ("a cat --ar 9:1", "use a ratio from 1:3 to 3:1", "a cat --ar 3:1"),
        ("a cat --ar 0:9", "--ar is “0:9”", "a cat"),
        ("a cat --size square --ar 16:9", "--size and --ar both", "a cat --ar 16:9"),
        ("a cat --seed 7 --seed 8", "--seed is given twice", "a cat --seed 8"),
        ("a cat --cfg 3 --guidance 4", "--guidance is given twice", "a cat --guidance 4"),
        ("a cat --lora x:0.8:0.6", "--lora is “x:0.8:0.6”", "a cat --lora x:0.8"),
        ("a cat --lora x:", "--lora is “x:”", "a cat --lora x"),
        ("a cat --lora ,", "--lora has no value", "a cat"),
        ("a cat <lora:x:0.8:0.6>", "--lora is “x:0.8:0.6”", "a cat <lora:x:0.8>"),
        ("a cat <lora::1> --seed 7", "--lora is “:1”", "a cat --seed 7"),
        ("a cat --v 6.1 --seed 7", "--v does not exist here; choose the model", "a cat --seed 7"),
        ("a cat --niji", "--niji does not exist here", "a cat"),
        ("a cat --stylize 250", "choose a style with --preset or --lora", "a cat"),
        ("a cat —s 250", "--s does not exist here", "a cat"),
        ("a cat --style raw --c 5", "--style does not exist here", "a cat"),
        ("a cat --q 2", "for more detail use --steps", "a cat"),
        ("a cat --W 1024 --h 768", "--w does not exist here; give both sides", "a cat"),
        (
            "a cat --no dogs, text --seed 7",
            "FLUX has no negative prompt, so say what you want to see instead",
            "a cat --seed 7",
        ),
        ("--no dogs, a cat", "--no does not exist here", None),
        (
            "a &amp;lt; cat “big” --stepz 5",
            "did you mean --steps?",
            "a &amp;lt; cat “big” --steps 5",
        ),
        (
            "a cat —stepp many —v 6 —sede 5 --size squar --seed 7",
            "did you mean --steps?",
            "a cat --size square --seed 7",
        ),
    ],
)
def test_a_mistake_is_named_and_put_right(text: str, sentence: str, corrected: str | None) -> None:
    error = _refusal(text)
    assert sentence in str(error)
    assert error.corrected == (corrected and f"/imagine {corrected}")


def test_a_repeated_flag_with_the_same_value_is_no_mistake() -> None:
    assert parse("a cat --steps 8 --steps 8.0") == Wish("a cat", steps=8)


def test_a_prompt_of_exactly_the_limit_is_taken() -> None:
    assert len(parse("x" * MAX_PROMPT + " --seed 7 <lora:y:1>").prompt) == MAX_PROMPT


def test_no_error_repeats_the_prompt() -> None:
    for text in ("a secret --steps x", "a secret --v 5", "--seed 1 --seed 2 a secret"):
        assert "secret" not in str(_refusal(text))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "nasty", ["\\", '"', ' "', '""', "“", "-", " --a", "<lora:", "<lora::", ",", ", ", "a:1:", ":1"]
)
def test_a_long_text_of_the_worst_kind_does_not_keep_the_bot_busy(nasty: str) -> None:
    for text in (nasty * 20_000, f"a cat --lora {nasty * 20_000}", f"<lora:{nasty * 20_000}>"):
        with contextlib.suppress(PromptError):
            parse(text)


@pytest.mark.parametrize(
    ("wish", "command"),
    [
        (Wish("a cat --steps 5"), '/imagine "a cat --steps 5"'),
        (Wish('"a cat"'), '/imagine """a cat"""'),
        (Wish('a "big" cat', seed=7), '/imagine a "big" cat --seed 7'),
        (Wish("“a cat”"), '/imagine "“a cat”"'),
        (Wish("a cat,", seed=7), '/imagine "a cat," --seed 7'),
        (Wish("a cat,"), "/imagine a cat,"),
        (Wish("a <lora:x:1> sign"), "/imagine a \\<lora:x:1> sign"),
        (Wish("a &lt; b & c"), "/imagine a &amp;lt; b & c"),
        (Wish("a cat", preset="my own"), '/imagine a cat --preset "my own"'),
        (Wish("a cat", size=ImageSize(width=640, height=480)), "/imagine a cat --size 640x480"),
        (Wish("a cat", expand=False, private=True), "/imagine a cat --no-expand --private"),
        (Wish("a cat", guidance=1e-7, seed=0), "/imagine a cat --guidance 0.0000001 --seed 0"),
        (Wish("a cat", loras=_loras(("a b", -1.0))), '/imagine a cat --lora "a b:-1"'),
    ],
)
def test_a_wish_is_written_as_plainly_as_it_can_be(wish: Wish, command: str) -> None:
    assert render(wish) == command
    assert parse(command) == wish


# --- Properties -------------------------------------------------------------------------------

_NASTY = st.sampled_from(
    [
        *"\"'“”„‘’«»<>:;,.=+*/\\-–—−‑@&| \t\n\r\u00a0\u200b\ufeff\x00\x1c\u202e\ud800é猫٣²",
        *(
            "--",
            " --",
            "—",
            "<lora:",
            "<lora:x:0.8>",
            "\\<lora:a:1>",
            "&lt;",
            "&amp;",
            "👩‍🚀",
            '""',
        ),
        *("/imagine ", "a cat", "x:0.8", "https://a.org:80/x", "3,5", "9" * 400, "1e5", "nan"),
        *(f" --{name} " for flag in FLAGS for name in (flag.name, *flag.aliases)),
        *(f" --{flag.name}=" for flag in FLAGS),
        *(choice for flag in FLAGS for choice in flag.choices),
        *(" --no dogs", " --v 6", " --stepz 5", " —sede 7", " --zzz", " 16:9 ", " 64 x 64 "),
    ]
)
nasty_text = st.one_of(st.lists(_NASTY, max_size=25).map("".join), st.text(max_size=60))


def _line(text: str) -> str:
    return " ".join(
        text.replace("\u200b", " ").replace("\ufeff", " ").replace("\u2060", " ").split()
    )


def _can_name_a_lora(name: str) -> bool:
    """What `NamedLora` says of its names, tried on the reader that both surfaces use."""
    try:
        return parse_loras(name) == (NamedLora(name),)
    except PromptError:
        return False


lines = nasty_text.map(_line).filter(bool)
lora_names = st.one_of(
    st.sampled_from(["ghibli", "@a/b@3", "a b", "Bob's", "https://a.org:80/x?y=1", "x:strong"]),
    lines.filter(_can_name_a_lora),
)
scales = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
sides = st.integers(1, 14142)
wishes = st.builds(
    Wish,
    prompt=lines,
    preset=st.none() | st.sampled_from(["dreamy", "dreamy+ink:0.6"]) | lines,
    loras=st.lists(st.builds(NamedLora, lora_names, scales), max_size=4).map(tuple),
    size=st.none()
    | st.sampled_from(list(NAMED_SIZES.values()))
    | st.builds(lambda width, height: ImageSize(width=width, height=height), sides, sides),
    steps=st.none() | st.integers(0, 10**18),
    guidance=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    seed=st.none() | st.integers(0, 2**63 - 1),
    images=st.none() | st.integers(0, 100),
    model=st.none() | st.sampled_from(list(MODELS)),
    speed=st.none() | st.sampled_from(get_args(Acceleration)),
    expand=st.none() | st.booleans(),
    format=st.none() | st.sampled_from(get_args(OutputFormat)),
    private=st.none() | st.booleans(),
)


@settings(max_examples=600, deadline=None)
@given(wishes)
@example(Wish('say "hi', preset="-odd"))
@example(Wish("/imagine a cat"))
@example(Wish('"', preset='"'))
def test_every_wish_survives_being_written_and_read(wish: Wish) -> None:
    assert parse(render(wish)) == wish


def _outcome(read: Callable[[str], object], text: str) -> object:
    try:
        return read(text)
    except PromptError as error:
        return error


@settings(max_examples=1500, deadline=None)
@given(nasty_text)
def test_any_text_gives_a_wish_that_can_be_written_or_our_own_error(text: str) -> None:
    outcome = _outcome(parse, text)
    if isinstance(outcome, Wish):
        assert parse(render(outcome)) == outcome
        return
    assert isinstance(outcome, PromptError)
    assert str(outcome).endswith((".", "?"))
    if outcome.corrected is not None:
        assert outcome.corrected.startswith("/imagine ")
        parse(outcome.corrected)


@settings(max_examples=300, deadline=None)
@given(nasty_text)
def test_a_field_of_a_form_gives_a_value_or_our_own_error(text: str) -> None:
    size = _outcome(parse_size, text)
    assert isinstance(size, ImageSize) or str(size).startswith(("--size is", "--ar is"))
    loras = _outcome(parse_loras, text)
    assert isinstance(loras, tuple) or str(loras).startswith("--lora is")


# --- Flags as data ----------------------------------------------------------------------------


def test_every_flag_is_described_for_help_and_suggestions() -> None:
    names = [name for flag in FLAGS for name in (flag.name, *flag.aliases)]
    assert len(names) == len(set(names))
    assert all(flag.help and flag.form for flag in FLAGS)
    switches = {flag.name for flag in FLAGS if not flag.takes_value}
    assert switches == {"expand", "private"}


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_choice_and_alias_that_is_offered_is_understood(flag: Flag) -> None:
    default: dict[str, Any] = {
        "text": "dreamy",
        "loras": "x:1",
        "pair": "mood=calm",
        "ratio": "16:9",
        "whole": "8",
        "number": "2.5",
    }
    for value in flag.choices or (default[flag.kind],):
        read = {parse(f"a cat --{flag.name}={value}")}
        read |= {
            parse(f"a cat --{alias} {value}")
            for alias in flag.aliases
            if not alias.startswith("no-")
        }
        assert len(read) == 1
        assert read != {Wish("a cat")}


# --- Heavy LoRAs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scales",
    [(1.0, 1.0), (2.0, 4.0), (1.0, 0.5, 0.5), (0.7, 0.7, 0.6), (-1.0, 0.5, -0.5), ()],
)
def test_two_loras_or_light_ones_are_no_warning(scales: tuple[float, ...]) -> None:
    assert heavy_loras([NamedLora(f"l{i}", scale) for i, scale in enumerate(scales)]) is None


def test_three_strong_loras_are_lowered_alike() -> None:
    lowered = heavy_loras(_loras(("a", None), ("b", -2.0), ("c", 1.0)))
    assert lowered is not None
    assert lowered.total == 4.0
    assert lowered.loras == _loras(("a", 0.5), ("b", -1.0), ("c", 0.5))


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=6))
def test_an_accepted_offer_adds_up_to_the_limit_and_warns_no_more(scales: list[float]) -> None:
    loras = [NamedLora(f"l{i}", scale) for i, scale in enumerate(scales)]
    if (lowered := heavy_loras(loras)) is None:
        assert math.fsum(map(abs, scales)) <= 2 + 1e-9
        return
    assert heavy_loras(lowered.loras) is None
    total = math.fsum(abs(lora.scale or 0) for lora in lowered.loras)
    assert 2 - 0.01 * len(loras) <= total <= 2 + 1e-9
    for before, after in zip(loras, lowered.loras, strict=True):
        assert before.name == after.name
        assert (before.scale or 0) * (after.scale or 0) >= 0


# --- Variables --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "variables"),
    [
        ("a cat --var mood=calm", (("mood", "calm"),)),
        ("a cat --var MOOD=Calm —var place=sea", (("mood", "Calm"), ("place", "sea"))),
        ('a cat --var "place=the deep sea"', (("place", "the deep sea"),)),
        ("a cat --var place=“the deep sea”", (("place", "the deep sea"),)),
        ("a cat --var mood=calm --var mood=calm", (("mood", "calm"),)),
        ('a cat --var "title="', (("title", ""),)),
    ],
)
def test_variables_of_a_preset_are_pairs(typed: str, variables: object) -> None:
    wish = parse(typed)
    assert (wish.prompt, wish.variables) == ("a cat", variables)
    assert parse(render(wish)) == wish


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("a cat --var mood", "--var is “mood”; use a variable of the preset and its value"),
        ("a cat --var 1=2", "--var is “1=2”; use a variable of the preset and its value"),
        ("a cat --var mood=a --var mood=b", "--var mood is given twice with different values"),
    ],
)
def test_what_is_no_pair_is_refused(typed: str, sentence: str) -> None:
    with pytest.raises(PromptError) as caught:
        parse(typed)
    assert sentence in str(caught.value)
