"""What Slack refuses by its documentation's prose, beyond schema.py's judges."""

import json
import re
from collections.abc import Iterator

from tests.fakes.slack import schema
from tests.fakes.slack.state import Json, nested

FILE_ID = re.compile(r"F[A-Z0-9]{8,}")

_LONGEST = {
    ("header", "text"): 150,
    ("button", "text"): 75,
    ("container", "title"): 150,
    ("container", "subtitle"): 150,
    ("image", "title"): 2000,
    ("input", "label"): 2000,
    ("input", "hint"): 2000,
    ("section", "text"): 3000,
}
"""Characters of the text objects of blocks and elements."""

_MOST = {"actions": ("elements", 25), "context": ("elements", 10), "section": ("fields", 10)}
_MOST |= {"container": ("child_blocks", 10), "carousel": ("elements", 10)}
"""How many parts a block may have."""


def of_blocks(blocks: object, *, surface: str = "message") -> list[str]:
    """What is wrong with the blocks of a message, modal or Home tab, one sentence each."""
    if not isinstance(blocks, list) or not all(isinstance(b, dict) for b in blocks):
        return ["blocks are no list of objects [json-pointer:/blocks]"]
    problems = schema.of_blocks(blocks) if surface == "message" else []
    if problems:
        return problems
    most = 50 if surface == "message" else 100
    if len(blocks) > most:
        problems.append(f"no more than {most} items allowed [json-pointer:/blocks]")
    ids = [p["block_id"] for p in nested(blocks) if p.get("block_id")]
    problems += [
        f"block_id {i!r} already exists" for i in sorted({i for i in ids if ids.count(i) > 1})
    ]
    for number, block in enumerate(blocks):
        where = f"[json-pointer:/blocks/{number}]"
        problems += [f"{p} {where}" for p in _problems(block)]
    return problems


def of_view(view: object) -> list[str]:
    """What is wrong with a modal or a Home tab, one sentence each."""
    if not isinstance(view, dict) or view.get("type") not in ("modal", "home"):
        return ["a view is a modal or a home [json-pointer:/view/type]"]
    problems = schema.of_view(view)
    if problems:
        return problems
    problems += of_blocks(view.get("blocks"), surface=view["type"])
    modal = view["type"] == "modal"
    if modal and not (view.get("title") or {}).get("text"):
        problems.append("missing required field: title [json-pointer:/view]")
    inputs = [b for b in view.get("blocks") or [] if b.get("type") == "input"]
    if modal and inputs and not view.get("submit"):
        problems.append("a modal with an input block needs submit [json-pointer:/view/submit]")
    for key, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if len(view.get(key) or "") > most:
            problems.append(f"must be no more than {most} characters [json-pointer:/view/{key}]")
    for key in ("title", "submit", "close"):
        if len((view.get(key) or {}).get("text", "")) > 24:
            problems.append(f"must be no more than 24 characters [json-pointer:/view/{key}]")
    if len(json.dumps(view)) > 250_000:
        problems.append("view_too_large: more than 250 KB")
    return problems


def of_options(payload: object) -> list[str]:
    """What is wrong with the answer to an external select."""
    if not isinstance(payload, dict) or ("options" in payload) == ("option_groups" in payload):
        return ["an answer has either options or option_groups"]
    problems, options = [], payload.get("options") or []
    for group in payload.get("option_groups") or []:
        options = [*options, *group["options"]]
        if len(group["label"]["text"]) > 75:
            problems.append("option_groups: a label has at most 75 characters")
    return problems + list(_options(options))


def of_metadata(metadata: object) -> bool:
    """Whether a message's metadata has the form that Slack takes."""
    return (
        isinstance(metadata, dict)
        and isinstance(metadata.get("event_type"), str)
        and isinstance(metadata.get("event_payload"), dict)
    )


def _problems(block: Json) -> Iterator[str]:
    for part in nested([block]):
        kind = part.get("type", "")
        if kind == "file":
            yield "unsupported type: file, which only Slack itself may use"
        if len(part.get("block_id") or "") > 255:
            yield "block_id: at most 255 characters"
        yield from _text_problems(part)
        yield from _image_problems(part)
        if kind in _MOST:
            key, most = _MOST[kind]
            if len(part.get(key) or []) > most:
                yield f"{kind}: no more than {most} {key}"
        if kind in ("actions", "context", "container") and not part.get(_MOST[kind][0]):
            yield f"{kind}: must have at least one of {_MOST[kind][0]}"
        if kind == "container":
            if not part.get("title") and not part.get("rich_text_title"):
                yield "container: title or rich_text_title is required"
            if part.get("default_collapsed") and not part.get("is_collapsible"):
                yield "container: default_collapsed needs is_collapsible"
        if kind == "section" and not part.get("text") and not part.get("fields"):
            yield "section: text or fields are required"
        yield from _element_problems(part)
    actions = [p["action_id"] for p in nested([block]) if p.get("action_id")]
    for name in sorted({a for a in actions if actions.count(a) > 1}):
        yield f"action_id {name!r} already exists in this block"


def _text_problems(part: Json) -> Iterator[str]:
    kind = part.get("type", "")
    for key in ("text", "title", "subtitle", "label", "hint", "placeholder"):
        written = part.get(key)
        if not isinstance(written, dict) or "text" not in written:
            continue
        most = 150 if key == "placeholder" else _LONGEST.get((kind, key), 3000)
        if not 1 <= len(written["text"]) <= most:
            yield f"{kind}.{key}: must be 1 to {most} characters"
    if kind == "markdown" and len(part.get("text", "")) > 12_000:
        yield "markdown: at most 12000 characters"
    if any(len(f.get("text", "")) > 2000 for f in part.get("fields") or []):
        yield "section: a field has at most 2000 characters"


def _image_problems(part: Json) -> Iterator[str]:
    if part.get("type") != "image":
        return
    file = part.get("slack_file")
    if ("image_url" in part) == (file is not None):
        yield "must define either `slack_file` or `image_url` but not both"
    if file is not None:
        if not isinstance(file, dict) or ("id" in file) == ("url" in file):
            yield "slack_file: must define either `id` or `url`"
        elif "id" in file and not FILE_ID.fullmatch(str(file["id"])):
            yield "slack_file: id does not look like a file's"
    if not 1 <= len(part.get("alt_text") or "") <= 2000:
        yield "alt_text: must be 1 to 2000 characters"
    if len(part.get("image_url") or "") > 3000:
        yield "image_url: at most 3000 characters"


def _element_problems(part: Json) -> Iterator[str]:
    for key, most in (("action_id", 255), ("url", 3000)):
        if len(part.get(key) or "") > most:
            yield f"{key}: at most {most} characters"
    if part.get("type") == "button" and len(part.get("value") or "") > 2000:
        yield "button: value has at most 2000 characters"
    if part.get("type") == "plain_text_input":
        least, most = part.get("min_length") or 0, part.get("max_length") or 3000
        if not 0 <= least <= most <= 3000:
            yield "plain_text_input: 0 ≤ min_length ≤ max_length ≤ 3000"
        if len(part.get("initial_value") or "") > most:
            yield "plain_text_input: initial_value is longer than max_length"
    options = list(part.get("options") or [])
    groups = part.get("option_groups") or []
    if part.get("type") in ("static_select", "multi_static_select") and not options + groups:
        yield f"{part['type']}: options or option_groups are required"
    yield from _options(options + [o for g in groups for o in g["options"]])
    known = [o["value"] for o in options]
    chosen = part.get("initial_options") or [part.get("initial_option")]
    if options and any(o and o["value"] not in known for o in chosen):
        yield "an initial option is not among the options"


def _options(options: list[Json]) -> Iterator[str]:
    if len(options) > 100:
        yield f"options: {len(options)}; at most 100"
    values = [o["value"] for o in options]
    if len(set(values)) != len(values):
        yield "options: two have one value"
    for option in options:
        if not 1 <= len(option["text"]["text"]) <= 75:
            yield "options: text must be 1 to 75 characters"
        if not 1 <= len(option["value"]) <= 150:
            yield "options: value must be 1 to 150 characters"
        if len((option.get("description") or {}).get("text", "")) > 75:
            yield "options: description has at most 75 characters"
