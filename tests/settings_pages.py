"""What docs/configuration.md, docs/settings.md and .env.example say, from the settings themselves;
and docs/slack-manifest.json, from what the Slack surface does.

`python -m tests.settings_pages` writes them anew; tests/bot/test_docs.py compares them.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic_core import PydanticUndefined

from bot.commands.settings_fields import PAGES
from bot.commands.settings_values import in_words
from bot.communities import CommunitySettings
from bot.settings import Settings, variable
from bot.surfaces.slack import manifest

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "configuration.md"
COMMUNITY_PAGE: Final = ROOT / "docs" / "settings.md"
EXAMPLE: Final = ROOT / ".env.example"
MANIFEST: Final = ROOT / "docs" / "slack-manifest.json"
ROWS: Final = re.compile(r"(?:^\| `.*\n)+", re.MULTILINE)


def settings() -> Iterator[tuple[str, str, str]]:
    """Yield variable, default as text, and meaning of every setting."""
    for name, info in Settings.model_fields.items():
        assert info.description, f"{name} says nothing about itself"
        if isinstance(info.default, Path):
            default = f"./{info.default}"
        elif info.default in (None, (), PydanticUndefined):
            default = ""
        else:
            default = str(info.default)
        yield variable(name), default, info.description


def table() -> str:
    """The rows of the table in docs/configuration.md."""
    return "".join(
        f"| `{name}` | {f'`{default}`' if default else '–'} | {meaning} |\n"
        for name, default, meaning in settings()
    )


def community_table() -> str:
    """The rows of the table in docs/settings.md."""
    defaults = CommunitySettings()
    return "".join(
        f"| `{one.name}` | {page.label}: {one.label} | {one.about} Takes {one.takes}. "
        f"| {in_words(one, getattr(defaults, one.name))} |\n"
        for page in PAGES
        for one in page.settings
    )


def example() -> str:
    """The variables of .env.example, a paragraph each."""
    return "\n\n".join(
        "\n".join((*_comment(meaning), f"#{name}={default}"))
        for name, default, meaning in settings()
    )


def _comment(meaning: str) -> list[str]:
    return textwrap.wrap(
        meaning, 88, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(ROWS.sub(lambda _: table(), page, count=1), encoding="utf-8")
    page = COMMUNITY_PAGE.read_text(encoding="utf-8")
    COMMUNITY_PAGE.write_text(ROWS.sub(lambda _: community_table(), page, count=1), "utf-8")
    head = EXAMPLE.read_text(encoding="utf-8").partition("\n\n")[0]
    EXAMPLE.write_text(f"{head}\n\n{example()}\n", encoding="utf-8")
    MANIFEST.write_text(manifest.page(), encoding="utf-8")
