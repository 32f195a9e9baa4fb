"""Discord's own description of its API, as a judge of what is asked and of what the fake answers.

The file is a preview: where it and Discord's documentation differ, the documentation wins. So
snowflakes in requests may be numbers, commands may say `nsfw`, and what discord.py always sends
along (`tts` on edits, an attachment's whole description) is let through. Objects in the file are
open; unknown keys are therefore looked for here.
"""

import copy
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.fakes.discord.state import Json

FILE = Path(__file__).parents[4] / "shared" / "data" / "discord-openapi.json"
MISSING = f"Discord's OpenAPI file is not here ({FILE.parent.name}/{FILE.name})"

_EDITS = re.compile(r"^PATCH .*/messages/|^POST /interactions/")
_KEPT = re.compile(
    r"(?:proxy_)?url|size|width|height|content_type|spoiler|flags|ephemeral|duration|waveform"
)
"""What discord.py repeats of an attachment that an edit keeps."""


def is_here() -> bool:
    return FILE.is_file()


class OpenApi:
    """Judges requests and answers. Every method returns sentences about what is wrong."""

    def __init__(self, document: Json) -> None:
        strict = _without_headers(document)
        lenient = copy.deepcopy(strict)
        lenient["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
        for name in ("ApplicationCommandUpdateRequest", "ApplicationCommandCreateRequest"):
            lenient["components"]["schemas"][name]["properties"]["nsfw"] = {
                "type": ["boolean", "null"]
            }
        self._requests, self._answers = _Half(lenient), _Half(strict)
        self._paths: Json = document["paths"]

    @classmethod
    @functools.cache
    def load(cls) -> "OpenApi":
        return cls(json.loads(FILE.read_bytes()))

    def of_request(
        self, method: str, template: str, query: Mapping[str, str], body: object
    ) -> list[str]:
        """What is wrong with a request's query and JSON part."""
        operation = self._paths.get(template, {}).get(method.lower())
        if operation is None:
            return [f"{method} {template} is not in Discord's description of its API"]
        known = {p["name"]: p for p in operation.get("parameters", []) if p.get("in") == "query"}
        problems = [f"query {name}: unknown" for name in query if name not in known]
        for name, value in query.items():
            if name in known and (wrong := _query_problem(known[name]["schema"], value)):
                problems.append(f"query {name}: {wrong}")
        if "requestBody" not in operation:
            return problems + (["a body where none belongs"] if body else [])
        pointer = f"#/paths/{_escaped(template)}/{method.lower()}/requestBody/content"
        pointer += "/application~1json/schema"
        problems += self._requests.errors(pointer, body)
        label = f"{method} {template}"
        unknown = self._requests.unknown(pointer, body)
        return problems + [f"{path}: unknown key" for path in unknown if not _habit(label, path)]

    def of_answer(self, method: str, template: str, status: int, body: object) -> list[str]:
        """What is wrong with an answer of the fake's own."""
        operation = self._paths.get(template, {}).get(method.lower())
        if operation is None or status >= 400:
            return []
        declared = operation["responses"].get(str(status))
        if declared is None:
            return [f"answered {status}, which is not declared"]
        if "content" not in declared:
            return ["a body where none belongs"] if body is not None else []
        pointer = f"#/paths/{_escaped(template)}/{method.lower()}/responses/{status}/content"
        return self._answers.errors(pointer + "/application~1json/schema", body)


class _Half:
    """One reading of the document: for requests, or for answers."""

    def __init__(self, document: Json) -> None:
        self._document = document
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource("urn:discord", resource)
        self._validators: dict[str, Any] = {}
        self._kind: Any = validators.extend(  # type: ignore[no-untyped-call]
            Draft202012Validator, {"oneOf": self._one_of}
        )

    def errors(self, pointer: str, instance: object) -> list[str]:
        if pointer not in self._validators:
            self._validators[pointer] = self._kind(
                {"$ref": f"urn:discord{pointer}"}, registry=self._registry
            )
        error = best_match(self._validators[pointer].iter_errors(instance))
        if error is None:
            return []
        return [f"{error.json_path}: {error.message[:400]}"]

    def unknown(self, pointer: str, instance: object) -> list[str]:
        return list(self._scan([self._at(pointer)], instance, "$"))

    def _one_of(
        self, validator: Any, members: list[Json], instance: Any, schema: Json
    ) -> Iterator[Any]:
        """`oneOf`, but where `type` leaves one member only, that alone is looked at.

        The outcome is the same and the complaint better; a large card is judged in a tenth of
        the time.
        """
        fitting = [(n, one) for n, one in enumerate(members) if self._could_be(one, instance)]
        if len(fitting) == 1:
            [(number, only)] = fitting
            yield from validator.descend(instance, only, schema_path=number)
        else:
            ordinary = Draft202012Validator.VALIDATORS["oneOf"]
            yield from ordinary(validator, members, instance, schema)

    def _could_be(self, member: Json, instance: Any) -> bool:
        found = self._at(member["$ref"]) if "$ref" in member else member
        allowed = found.get("properties", {}).get("type", {}).get("enum")
        named = isinstance(instance, dict) and "type" in instance
        return not (allowed and named) or instance["type"] in allowed

    def _at(self, pointer: str) -> Json:
        node: Any = self._document
        for part in pointer.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        assert isinstance(node, dict)
        return node

    def _branches(self, schema: Json, instance: object) -> Iterator[Json]:
        """The schema's parts that this instance could be meant by: its union members by `type`."""
        if "$ref" in schema:
            yield from self._branches(self._at(schema["$ref"]), instance)
        for word in ("allOf", "anyOf", "oneOf"):
            for member in schema.get(word, []):
                yield from self._branches(member, instance)
        if isinstance(instance, dict):
            allowed = schema.get("properties", {}).get("type", {}).get("enum")
            if allowed and "type" in instance and instance["type"] not in allowed:
                return
        if "properties" in schema or "items" in schema or "additionalProperties" in schema:
            yield schema

    def _scan(self, schemas: Iterable[Json], instance: object, path: str) -> Iterator[str]:
        branches = [b for schema in schemas for b in self._branches(schema, instance)]
        if isinstance(instance, list):
            items = [b["items"] for b in branches if isinstance(b.get("items"), dict)]
            for n, item in enumerate(instance):
                yield from self._scan(items, item, f"{path}[{n}]")
        elif isinstance(instance, dict) and branches:
            for key, value in instance.items():
                named = [b["properties"][key] for b in branches if key in b.get("properties", {})]
                others = [
                    b["additionalProperties"] for b in branches if "additionalProperties" in b
                ]
                if named or others:
                    inner = [s for s in named or others if isinstance(s, dict)]
                    yield from self._scan(inner, value, f"{path}.{key}")
                else:
                    yield f"{path}.{key}"


def _without_headers(document: Json) -> Json:
    return {
        "paths": document["paths"],
        "components": {"schemas": document["components"]["schemas"]},
    }


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _query_problem(schema: Json, value: str) -> str | None:
    if schema.get("type") == "boolean" and value.lower() not in ("true", "false", "1", "0"):
        return f"{value!r} is no boolean"
    numeric = schema.get("type") == "integer" or "Snowflake" in schema.get("$ref", "")
    if numeric and not value.isdecimal():
        return f"{value!r} is no whole number"
    return None


def _habit(label: str, path: str) -> bool:
    if _EDITS.match(label) and path in ("$.tts", "$.data.tts"):
        return True
    attachment = re.match(r"^\$(?:\.data)?\.attachments\[\d+\]\.(\w+)$", path)
    return attachment is not None and bool(_KEPT.fullmatch(attachment[1]))
