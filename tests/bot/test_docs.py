"""The documentation lists what there is: every setting, command, option, route and dependency."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry

from bot.cli import cli
from bot.fal_webhooks import create_webhook_router
from bot.http import create_app
from bot.settings import Settings, load_settings
from bot.signing import Signer
from bot.surfaces.slack import http, manifest
from bot.surfaces.web.access import Access
from bot.surfaces.web.routes import Playground, create_router
from tests import settings_pages


@pytest.fixture(scope="session")
def docs(root: Path) -> Path:
    return root / "docs"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """Split a page by its second-level headings."""
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {part.partition("\n")[0].strip("`"): part.partition("\n")[2] for part in parts}


def first_column(text: str) -> list[str]:
    """What the rows of the tables in `text` are about: code in their first cells."""
    return [name for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in code(row)]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# --- Settings ---------------------------------------------------------------------------------


def test_the_table_of_settings_is_what_the_settings_say_of_themselves(docs: Path) -> None:
    documented = settings_pages.ROWS.search(read(docs / "configuration.md"))
    assert documented is not None
    assert documented[0] == settings_pages.table()


def test_the_table_of_a_communitys_settings_is_what_they_say_of_themselves(docs: Path) -> None:
    documented = settings_pages.ROWS.search(read(docs / "settings.md"))
    assert documented is not None
    assert documented[0] == settings_pages.community_table()


def test_the_example_names_every_variable_with_its_default(root: Path) -> None:
    _, _, documented = read(root / ".env.example").partition("\n\n")
    assert documented == settings_pages.example() + "\n"


@pytest.mark.parametrize("commented", [True, False])
def test_the_example_changes_nothing_when_it_is_copied(
    commented: bool, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = read(root / ".env.example")
    text = example if commented else re.sub(r"^#(?=\w+=)", "", example, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    assert load_settings() == Settings()


def test_the_manifest_of_the_slack_app_is_what_the_surface_does(docs: Path) -> None:
    """`make pages` writes it anew."""
    assert read(docs / "slack-manifest.json") == manifest.page()


# --- Commands ---------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Map the words of every command, `atelier imagine`, to its click command."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", {})
        for name, child in children.items():
            yield from walk(child, f"{words} {name}")
        if not children:
            yield words, command

    return dict(walk(typer.main.get_command(cli), "atelier"))


def test_every_command_is_documented_and_no_other(docs: Path) -> None:
    assert set(sections(read(docs / "command_line.md"))) == set(commands())


def test_every_option_is_documented_and_no_other(docs: Path) -> None:
    documented = {
        words: {
            flag for name in first_column(text) for flag in re.findall(r"--?[a-z][a-z-]*", name)
        }
        for words, text in sections(read(docs / "command_line.md")).items()
    }
    there = {
        words: {
            flag
            for option in command.params
            if option.param_type_name == "option" and not option.hidden
            for flag in (*option.opts, *option.secondary_opts)
        }
        - {"--help"}
        for words, command in commands().items()
    }
    assert documented == there


# --- HTTP and metrics -------------------------------------------------------------------------


async def ready() -> list[str]:
    return []


def test_every_route_is_documented_and_no_other(docs: Path) -> None:
    signer = Signer("s" * 32)
    access = Access(signer, loopback_only=True)
    unused: Any = None
    page = Playground(unused, unused, unused, signer, access, unused, unused, unused)
    slack = http.create_router(unused, None, bool)
    routers = [create_router(page), create_webhook_router(unused, bool), slack]
    app = create_app(ready, CollectorRegistry(), routers)
    routes = set(app.openapi()["paths"])
    assert set(first_column(sections(read(docs / "operations.md"))["HTTP"])) == routes


def test_every_metric_is_documented_and_no_other(root: Path, docs: Path) -> None:
    documented = first_column(sections(read(docs / "operations.md"))["Metrics"])
    sources = (read(path) for path in (root / "bot").rglob("*.py"))
    there = {name for source in sources for name in re.findall(r'"(atelier_job\w*)"', source)}
    # A counter's name in the code has no suffix; Prometheus gives it one.
    assert {name.removesuffix("_total") for name in documented} == there


# --- The pages themselves ---------------------------------------------------------------------


def test_every_dependency_has_its_reason_and_no_other_has(root: Path, docs: Path) -> None:
    project = tomllib.loads(read(root / "pyproject.toml"))["project"]
    wanted = {"": project["dependencies"], **project["optional-dependencies"]}
    headings = {"": "Needed by every bot", "local": "`local`", "dev": "`dev`"}
    decided = sections(read(docs / "decisions.md"))
    for extra, requirements in wanted.items():
        names = {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}
        heading = next(h for h in decided if h.startswith(headings[extra].strip("`")))
        assert set(first_column(decided[heading])) == names


def test_every_dependency_is_locked(root: Path) -> None:
    project = tomllib.loads(read(root / "pyproject.toml"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = {*project["dependencies"], *(one for extra in extras for one in extra)}
    locked = re.findall(r"^([\w.-]+)==[\w.]+$", read(root / "constraints.txt"), flags=re.MULTILINE)
    lines = [line for line in read(root / "constraints.txt").splitlines() if line[:1] != "#"]
    assert len(locked) == len(lines)
    names = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in wanted}
    assert names <= {name.lower() for name in locked}


def test_links_between_pages_lead_somewhere(root: Path, docs: Path) -> None:
    broken = [
        f"{page.name}: {target}"
        for page in (root / "README.md", root / "CHANGELOG.md", *docs.glob("*.md"))
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(page))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_begins_with_the_two_commands(root: Path) -> None:
    first = read(root / "README.md").split("\n## ", maxsplit=1)[0]
    assert re.search(r"```sh\nmake start\b.*\nmake test\b", first)
