"""The manifest of the app: Slack takes it, and it asks for what the code does, no more."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from bot.surfaces import ids
from bot.surfaces.slack import routes, shortcuts
from bot.surfaces.slack.manifest import CALLS, manifest, scopes

ADDRESS = "https://pictures.example.com/slack/events"
SOURCES = Path(routes.__file__).parent


def text(most: int, least: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most, **more}


def some(items: dict[str, Any], most: int, least: int = 1) -> dict[str, Any]:
    return {
        "type": "array",
        "items": items,
        "minItems": least,
        "maxItems": most,
        "uniqueItems": True,
    }


def fields(needed: str = "", **known: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": known,
        "required": needed.split(),
        "additionalProperties": False,
    }


SWITCH = {"type": "boolean"}
URL = text(3000, pattern="^https://")
RULES = fields(
    "display_information features oauth_config settings",
    display_information=fields(
        "name",
        name=text(35),
        description=text(140),
        background_color=text(7, 4, pattern="^#([0-9a-fA-F]{3}){1,2}$"),
        long_description=text(4000, 175),
    ),
    features=fields(
        "app_home bot_user shortcuts slash_commands",
        app_home=fields(
            home_tab_enabled=SWITCH,
            messages_tab_enabled=SWITCH,
            messages_tab_read_only_enabled=SWITCH,
        ),
        bot_user=fields("display_name", display_name=text(80), always_online=SWITCH),
        shortcuts=some(
            fields(
                "name type callback_id description",
                name=text(24),
                type={"enum": ["message", "global"]},
                callback_id=text(255),
                description=text(150),
            ),
            10,
        ),
        slash_commands=some(
            fields(
                "command description",
                command=text(32, 2, pattern="^/[a-z0-9_-]+$"),
                url=URL,
                description=text(2000),
                usage_hint=text(1000),
                should_escape=SWITCH,
            ),
            50,
        ),
    ),
    oauth_config=fields("scopes", scopes=fields("bot", bot=some(text(50), 255))),
    settings=fields(
        "event_subscriptions interactivity",
        event_subscriptions=fields("bot_events", request_url=URL, bot_events=some(text(50), 100)),
        interactivity=fields(
            "is_enabled", is_enabled=SWITCH, request_url=URL, message_menu_options_url=URL
        ),
        org_deploy_enabled=SWITCH,
        socket_mode_enabled=SWITCH,
        token_rotation_enabled=SWITCH,
    ),
)
"""What slackapi/manifest-schema says of the parts that we use."""


@pytest.mark.parametrize("address", [None, ADDRESS])
def test_slack_takes_the_manifest(address: str | None) -> None:
    problems = [error.message for error in Draft7Validator(RULES).iter_errors(manifest(address))]
    assert problems == []


def test_the_rules_find_what_slack_would_refuse() -> None:
    spoilt = manifest()
    spoilt["features"]["shortcuts"][0]["name"] = "Imagine from this message"
    spoilt["settings"]["sockets"] = True
    assert len(list(Draft7Validator(RULES).iter_errors(spoilt))) == 2


def test_every_command_shortcut_and_event_that_is_answered_is_asked_for() -> None:
    features, settings = manifest()["features"], manifest()["settings"]
    assert [c["command"] for c in features["slash_commands"]] == list(routes.COMMANDS)
    assert not any(c["should_escape"] for c in features["slash_commands"])
    verbs = [ids.read(s["callback_id"]) for s in features["shortcuts"]]
    assert [v.verb for v in verbs if v is not None] == list(shortcuts.SHORTCUTS)
    assert settings["event_subscriptions"]["bot_events"] == list(routes.EVENTS)


def test_the_scopes_are_those_that_the_code_uses_and_no_other() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.py"))
    used = {name.replace("_", ".", 1) for name in re.findall(r"client\.([a-z]+_\w+)\(", sources)}
    assert used <= CALLS.keys()
    needed = {scope for method in used for scope in CALLS[method]}
    listened = {"app_mentions:read", "im:history"}
    assert set(scopes()) == {"commands", *needed, *listened}


def test_every_scope_and_every_command_has_its_line_in_the_documentation(root: Path) -> None:
    page = (root / "docs" / "slack.md").read_text(encoding="utf-8")
    cells = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert {name for name in named if ":" in name or name == "commands"} == set(scopes())
    assert {name for name in named if name.startswith("/")} == set(routes.COMMANDS)


def test_with_an_address_slack_is_told_it_for_everything_that_it_sends() -> None:
    settings, features = manifest(ADDRESS)["settings"], manifest(ADDRESS)["features"]
    assert not settings["socket_mode_enabled"]
    assert settings["event_subscriptions"]["request_url"] == ADDRESS
    # Without the last one, menus that search stay empty.
    assert settings["interactivity"] == {
        "is_enabled": True,
        "request_url": ADDRESS,
        "message_menu_options_url": ADDRESS,
    }
    assert {c["url"] for c in features["slash_commands"]} == {ADDRESS}
    assert ADDRESS not in json.dumps(manifest())
    assert manifest()["settings"]["socket_mode_enabled"]


def test_the_command_prints_it_for_the_address_that_others_reach(tmp_path: Path) -> None:
    def printed(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "atelier"), "slack", "manifest", *args]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
        )

    public = printed(ATELIER_PUBLIC_URL="https://pictures.example.com")
    assert json.loads(public.stdout) == manifest(ADDRESS)
    assert public.stderr == f"This manifest is for events at {ADDRESS}.\n"
    named = printed("--url", "https://pictures.example.com/", SLACK_APP_TOKEN="xapp-1")
    assert named.stdout == public.stdout
    sockets = printed(ATELIER_PUBLIC_URL="https://pictures.example.com", SLACK_APP_TOKEN="xapp-1")
    assert json.loads(sockets.stdout) == manifest()
    for wrong in ("http://pictures.example.com", "https://["):
        plain = printed("--url", wrong)
        assert (plain.returncode, plain.stdout) == (2, "")
        assert plain.stderr == f"Slack sends events to https addresses only, not to {wrong}.\n"
