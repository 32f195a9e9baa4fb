"""Text between people and Slack."""

import pytest

from bot.surfaces.slack.text import bold, code, safe, typed, without_mention


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a cat", "a cat"),
        ("a &lt;lora:ink:0.5&gt; &amp; a dog", "a <lora:ink:0.5> & a dog"),
        ("<@U1|ana> at <#C1|general>", "@ana at #general"),
        ("<@U1> says <!here>", "@U1 says @here"),
        ("--lora <https://x.org/a.safetensors|x.org/a>", "--lora https://x.org/a.safetensors"),
        ("to <mailto:a@x.org|a@x.org>", "to a@x.org"),
    ],
)
def test_what_slack_makes_of_words_is_unwrapped(sent: str, meant: str) -> None:
    assert typed(sent) == meant


def test_the_mention_that_calls_the_bot_is_no_part_of_the_prompt() -> None:
    assert without_mention("<@UBOT> a cat for <@U1>", "UBOT") == "a cat for <@U1>"
    assert without_mention(" <@UBOT|atelier>: a cat", "UBOT") == " a cat"


def test_nothing_that_people_wrote_calls_links_or_formats() -> None:
    shown = safe("<!channel> <https://x.org|click> *b* `c`", 100)
    assert "<" not in shown
    assert "*b*" not in shown
    assert "`c`" not in shown


def test_markup_inside_keeps_a_text_from_being_bold() -> None:
    assert bold("a cat", 100) == "*a cat*"
    assert not bold("a *cat*", 100).startswith("*")


def test_a_block_of_code_cannot_be_ended_from_inside() -> None:
    assert code("a ``` b").count("```") == 2
