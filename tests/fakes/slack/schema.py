"""Judges of blocks and views that others wrote: `@slack/types` as JSON Schema, and slack_sdk.

The schema knows the structure and every key; slack_sdk's models know most lengths and counts.
What neither knows is in rules.py. The schema lets views hold blocks of any type; here they hold
known ones, as messages do.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.basic_objects import JsonObject
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from tests.fakes.slack.state import Json

FOLDER = Path(__file__).parents[4] / "shared" / "data"
MISSING = f"Slack's schemas are not here ({FOLDER.name}/slack-*.schema.json)"


def is_here() -> bool:
    return all((FOLDER / f"slack-{name}.schema.json").is_file() for name in ("blocks", "view"))


def of_blocks(blocks: list[Json]) -> list[str]:
    """What the two judges say against a list of blocks."""
    problems = _structure(blocks)
    return problems or _by_models(lambda: _check(*map(Block.parse, blocks)))


def of_view(view: Json) -> list[str]:
    """What the two judges say against a view as an app sends it."""
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        return ["missing required field: blocks [json-pointer:/view]"]
    problems = _structure(blocks)
    if is_here():
        shell = {**view, "blocks": []}
        problems += _errors(_validator("view", "View"), shell, "/view")
    return problems or _by_models(lambda: _check(View(**view)))


def _structure(blocks: list[Json]) -> list[str]:
    """Each block is held against the definition of its own type, which says more, and sooner."""
    if not is_here():
        return []
    problems = []
    for number, block in enumerate(blocks):
        where = f"/blocks/{number}"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str) or kind not in _kinds():
            problems.append(f"unsupported type: {kind} [json-pointer:{where}]")
        else:
            problems += _errors(_validator("blocks", _kinds()[kind]), block, where)
    return problems


def _errors(validator: Draft7Validator, instance: object, where: str) -> list[str]:
    error = best_match(validator.iter_errors(instance))
    if error is None:
        return []
    path = "".join(f"/{p}" for p in error.absolute_path)
    return [f"{error.message[:300]} [json-pointer:{where}{path}]"]


@functools.cache
def _document(name: str) -> Json:
    loaded: Json = json.loads((FOLDER / f"slack-{name}.schema.json").read_bytes())
    return loaded


@functools.cache
def _validator(name: str, definition: str) -> Draft7Validator:
    document = {k: v for k, v in _document(name).items() if k != "$ref"}
    return Draft7Validator(document | {"$ref": f"#/definitions/{definition}"})


@functools.cache
def _kinds() -> dict[str, str]:
    """The definitions of the known blocks by their `type`."""
    definitions, found = _document("blocks")["definitions"], {}
    for member in definitions["KnownBlock"]["anyOf"]:
        name = member["$ref"].rpartition("/")[2]
        shapes = definitions[name].get("anyOf", [definitions[name]])
        found[shapes[0]["properties"]["type"]["const"]] = name
    return found


def _by_models(build: Callable[[], None]) -> list[str]:
    try:
        build()
    except SlackObjectFormationError as error:
        return [f"slack_sdk: {error}"]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        return [f"slack_sdk cannot read it: {error!r}"]
    return []


def _check(*models: JsonObject | None) -> None:
    for model in models:
        if model is not None:
            model.to_dict()
