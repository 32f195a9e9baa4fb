"""What everybody may do with presets, on whatever surface: look, make, change, copy, delete.

Every function takes the registry, who asks, and what was written, and returns frozen values. What
is refused is raised as a `RegistryError`, whose text is a sentence for people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.registry import Registry
from lora_registry import curating
from lora_registry.errors import BadName, Refused, RegistryError, UnknownPreset
from lora_registry.models import NO_TRIGGERS, LoraRecord, PresetBody, PresetLora, Viewer
from lora_registry.names import Reference, parse_reference
from lora_registry.permissions import Action, Place, PlaceKind, Rules, Subject, may
from lora_registry.resolve import Resolved
from lora_registry.revisions import Preset, Revision
from lora_registry.search import Hit
from lora_registry.weights import FluxModel

GONE: Final = "This preset is no longer there, or not for you to see."
_NAMES: Final = {"loras": "LoRAs", "count": "images"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A preset in a list; `name` is what to type for it."""

    id: str
    name: str
    title: str
    model: FluxModel
    owner: str
    place: PlaceKind
    rev: int
    nsfw: int
    uses: int
    likes: int
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class UsedLora:
    """A LoRA of a preset; `words` are those that are added to a prompt.

    `known` is False where this instance has no record of it.
    """

    lora: PresetLora
    words: tuple[str, ...]
    known: bool


@dataclass(frozen=True, slots=True)
class Details:
    """All of one revision; `name` is what was typed for it.

    `place` is where it was found, `nsfw` its level with its LoRAs', `parent` what it was forked
    from, where the viewer may see that. `audience` is the widest circle that may use it.
    `shadowed` are other presets of the same short name.
    """

    name: str
    revision: Revision
    place: PlaceKind
    nsfw: int
    loras: tuple[UsedLora, ...]
    parent: str | None
    audience: PlaceKind
    shadowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A revision in a history; `changes` say what it changed, in words."""

    revision: Revision
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Liking:
    """Whether somebody likes a preset now, and how many people do."""

    liked: bool
    likes: int


# --- Looking ----------------------------------------------------------------------------------


async def list_presets(registry: Registry, viewer: Viewer) -> tuple[Entry, ...]:
    """All of the viewer's own presets by name, then the most used of others', at most 25."""
    own = [
        await registry.presets.revision(viewer, preset.id, preset.head)
        for preset in await registry.presets.mine(viewer)
    ]
    hashes = {lora.sha256 for revision in own for lora in revision.body.loras}
    levels = {key: lora.nsfw for key, lora in (await registry.loras.records(hashes)).items()}
    hits = await registry.search.search(viewer, "")
    others = (_entry(hit) for hit in hits if hit.owner not in {x.preset.handle for x in own})
    return (*(_own_entry(revision, levels) for revision in own), *others)


async def search(registry: Registry, viewer: Viewer, text: str) -> tuple[Entry, ...]:
    """The presets that a text may mean, the best first, at most 25; typos are forgiven."""
    return tuple(_entry(hit) for hit in await registry.search.search(viewer, text))


async def show(registry: Registry, viewer: Viewer, reference: str) -> Details:
    """All of the revision that a reference means.

    Raises:
        BadName, UnknownPreset, UnknownRevision, Refused: says why not, with near names.
    """
    wanted = parse_reference(reference)
    return await details(
        registry, viewer, await registry.resolver.resolve(viewer, wanted), str(wanted)
    )


async def details(registry: Registry, viewer: Viewer, found: Resolved, name: str) -> Details:
    """All of a revision that was found; `name` is what leads to it."""
    revision = found.revision
    records = await registry.loras.records(lora.sha256 for lora in revision.body.loras)
    return Details(
        name=name,
        revision=revision,
        place=found.place.kind,
        nsfw=found.nsfw,
        loras=tuple(_used(lora, records.get(lora.sha256)) for lora in revision.body.loras),
        parent=await _parent(registry, viewer, revision),
        audience=await _audience(registry, viewer, revision),
        shadowed=found.shadowed,
    )


async def history(registry: Registry, viewer: Viewer, reference: str) -> tuple[Version, ...]:
    """The revisions that the viewer may know of, newest first, with what each changed.

    Raises:
        BadName, UnknownPreset, Refused: says why not.
    """
    wanted = parse_reference(reference)
    own = await _own(registry, viewer, wanted)
    if own is None:
        own = (await registry.resolver.resolve(viewer, wanted)).revision.preset
    return _versions(await registry.presets.history(viewer, own.id))


async def history_of(registry: Registry, viewer: Viewer, preset_id: str) -> tuple[Version, ...]:
    """The same of a preset that a click names by its id.

    Raises:
        UnknownPreset, Refused: says why not.
    """
    try:
        return _versions(await registry.presets.history(viewer, preset_id))
    except UnknownPreset:
        raise Refused(GONE) from None


async def revision_of(
    registry: Registry, viewer: Viewer, preset_id: str, rev: int | None = None
) -> Revision:
    """A revision of a preset that a click names by its id; the newest that may be used for None.

    Raises:
        UnknownRevision, Refused: says why not.
    """
    try:
        preset = await curating.preset(registry.database.rows, preset_id)
        if rev is None and preset.owner != viewer.requester:
            return (await registry.presets.history(viewer, preset_id))[0]
        return await registry.presets.revision(viewer, preset_id, rev or preset.head)
    except UnknownPreset:
        raise Refused(GONE) from None


async def own_names(registry: Registry, viewer: Viewer, text: str) -> tuple[str, ...]:
    """The names of the viewer's own presets that hold a text, those that begin with it first."""
    wanted = text.strip().lower()
    names = [preset.name for preset in await registry.presets.mine(viewer)]
    fitting = [name for name in names if wanted in name]
    return tuple(sorted(fitting, key=lambda name: (not name.startswith(wanted), name)))


def differences(old: PresetBody, new: PresetBody) -> tuple[str, ...]:
    """What one body says otherwise than another, each change in a few words."""
    found = _lora_differences(old.loras, new.loras)
    for name in PresetBody.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name == "loras" or before == after:
            continue
        label = _NAMES.get(name, name)
        if isinstance(after, int | float | str) and name not in {"description", "template"}:
            was = "" if before in (None, "") else f"{before} → "
            found.append(f"{label} {was}{after}" if after != "" else f"no {label}")
        else:
            found.append(f"no {label}" if after is None else label)
    return tuple(found)


# --- Making and changing ----------------------------------------------------------------------


async def create(
    registry: Registry,
    viewer: Viewer,
    name: str,
    body: PresetBody,
    *,
    handle: str | None = None,
    note: str = "",
) -> Revision:
    """Make a personal preset; `handle` is the name that its owner would like before the slash.

    Raises:
        BadName, NameTaken, TooMany, UnknownLora, BadComposition: says why not.
    """
    return await registry.presets.create(viewer, name, body, handle=handle, note=note)


async def edit(
    registry: Registry, viewer: Viewer, base: Revision, body: PresetBody, note: str = ""
) -> Revision:
    """Make a revision on top of the one that was edited; an unchanged body makes none.

    Raises:
        EditConflict: somebody was faster; nothing was changed.
        Refused, UnknownLora, BadComposition, TooMany: says why not.
    """
    return await registry.presets.edit(viewer, base.preset.id, base.rev, body, note)


async def fork(
    registry: Registry, viewer: Viewer, reference: str, name: str, *, handle: str | None = None
) -> Revision:
    """Copy what a reference means into a preset of the viewer's own.

    Raises:
        BadName, NameTaken, TooMany, UnknownPreset, UnknownRevision, Refused: says why not.
    """
    found = (await registry.resolver.resolve(viewer, reference)).revision
    return await registry.presets.fork(viewer, found.preset.id, found.rev, name, handle=handle)


async def fork_of(
    registry: Registry, viewer: Viewer, preset_id: str, rev: int, name: str, *, handle: str
) -> Revision:
    """The same of a revision that a click names.

    Raises:
        BadName, NameTaken, TooMany, UnknownRevision, Refused: says why not.
    """
    try:
        return await registry.presets.fork(viewer, preset_id, rev, name, handle=handle)
    except UnknownPreset:
        raise Refused(GONE) from None


async def restore(registry: Registry, viewer: Viewer, reference: str, rev: int) -> Revision:
    """Make a revision that says what an earlier one said.

    Raises:
        BadName, UnknownPreset, UnknownRevision, Refused, EditConflict: says why not.
    """
    head = await whole(registry, viewer, reference)
    return await registry.presets.restore(viewer, head.preset.id, rev, head.rev)


async def restore_on(
    registry: Registry, viewer: Viewer, preset_id: str, rev: int, base: int
) -> Revision:
    """The same on top of revision `base`, the newest one when it was chosen.

    Raises:
        EditConflict, UnknownRevision, Refused: says why not.
    """
    try:
        return await registry.presets.restore(viewer, preset_id, rev, base)
    except UnknownPreset:
        raise Refused(GONE) from None


async def like(registry: Registry, viewer: Viewer, preset: Revision) -> Liking:
    """Like a preset, or no more if the viewer likes it already.

    Raises:
        UnknownPreset, Refused: says why not.
    """
    liked = not await registry.people.likes(viewer, preset.preset.id)
    count = await registry.people.like(viewer, preset.preset.id, preset.rev, liked=liked)
    return Liking(liked, count)


async def changeable(
    registry: Registry, viewer: Viewer, reference: str, action: Action
) -> Revision:
    """The newest revision of a preset that the viewer may edit or delete, before they say how.

    Their own are found also where they may not be used: somebody must be able to put them right.

    Raises:
        BadName, UnknownPreset, Refused: says why not.
    """
    own = await _own(registry, viewer, _whole(reference))
    if own is not None:
        return await registry.presets.revision(viewer, own.id, own.head)
    head = await whole(registry, viewer, reference)
    require(viewer, action, head.preset)
    return head


def require(viewer: Viewer, action: Action, preset: Preset) -> None:
    """Let pass who may edit or delete a preset.

    Raises:
        Refused: says who may, and what else can be done.
    """
    subject = Subject(preset.id, preset.owner, Place.person(preset.owner))
    decision = may(viewer, action, subject, Rules())
    if not decision.allowed:
        raise Refused(decision.reason)


async def delete(registry: Registry, viewer: Viewer, preset: Revision) -> None:
    """Take a preset away for good, with all its revisions.

    Raises:
        UnknownPreset, Refused: says why not.
    """
    await registry.presets.delete(viewer, preset.preset.id)


async def whole(registry: Registry, viewer: Viewer, reference: str) -> Revision:
    """The preset that is meant, where one of its revisions makes no sense.

    Raises:
        BadName, UnknownPreset, Refused: says why not.
    """
    return (await registry.resolver.resolve(viewer, _whole(reference))).revision


# --- Steps ------------------------------------------------------------------------------------


def _whole(reference: str) -> Reference:
    wanted = parse_reference(reference)
    if wanted.rev is not None or wanted.digest is not None:
        raise BadName(f"This is about the whole preset; write {wanted.name} without “@…”.")
    return wanted


async def _own(registry: Registry, viewer: Viewer, wanted: Reference) -> Preset | None:
    """The viewer's own preset of this name."""
    for preset in await registry.presets.mine(viewer):
        if preset.name == wanted.name and wanted.owner in {None, preset.handle}:
            return preset
    return None


def _versions(revisions: Sequence[Revision]) -> tuple[Version, ...]:
    earlier = (*revisions[1:], None)
    return tuple(
        Version(new, () if old is None else differences(old.body, new.body))
        for new, old in zip(revisions, earlier, strict=True)
    )


async def _parent(registry: Registry, viewer: Viewer, revision: Revision) -> str | None:
    preset = revision.preset
    if preset.forked_from is None or preset.forked_rev is None:
        return None
    try:
        parent = await registry.presets.revision(viewer, preset.forked_from, preset.forked_rev)
    except RegistryError:
        return None
    return parent.reference


async def _audience(registry: Registry, viewer: Viewer, revision: Revision) -> PlaceKind:
    """Asks for people who are nobody in particular, so that the answer is the rules' own."""
    anybody = Viewer("", "", nsfw_ceiling=viewer.nsfw_ceiling)
    if (await registry.resolver.explain(anybody, revision.reference)).allowed:
        return PlaceKind.PUBLIC
    neighbour = Viewer(viewer.community, "", nsfw_ceiling=viewer.nsfw_ceiling)
    if (await registry.resolver.explain(neighbour, revision.reference)).allowed:
        return PlaceKind.COMMUNITY
    return PlaceKind.PERSON


def _used(lora: PresetLora, record: LoraRecord | None) -> UsedLora:
    if record is None:
        return UsedLora(lora, (), known=False)
    sets = {NO_TRIGGERS, *(one.name for one in record.triggers)}
    words = record.words(lora.triggers) if lora.triggers in {None, *sets} else ()
    return UsedLora(lora, words, known=True)


def _lora_differences(old: Sequence[PresetLora], new: Sequence[PresetLora]) -> list[str]:
    before, after = ({lora.sha256: lora for lora in loras} for loras in (old, new))
    found = [f"without {lora.name}" for lora in old if lora.sha256 not in after]
    for lora in new:
        earlier = before.get(lora.sha256)
        if earlier is None:
            found.append(f"with {lora.name}:{lora.scale:g}")
        elif earlier.scale != lora.scale:
            found.append(f"{lora.name} {earlier.scale:g} → {lora.scale:g}")
        elif earlier != lora:
            found.append(f"trigger words of {lora.name}")
    if not found and old != new:
        found.append("order of LoRAs")
    return found


def _own_entry(revision: Revision, levels: Mapping[str, int]) -> Entry:
    preset, body = revision.preset, revision.body
    return Entry(
        id=preset.id,
        name=preset.name,
        title=body.title,
        model=body.model,
        owner=preset.handle,
        place=PlaceKind.PERSON,
        rev=revision.rev,
        nsfw=max(body.nsfw, *(levels.get(lora.sha256, 0) for lora in body.loras), 0),
        uses=preset.uses,
        likes=preset.likes,
    )


def _entry(hit: Hit) -> Entry:
    return Entry(
        id=hit.preset,
        name=hit.name,
        title=hit.title,
        model=hit.model,
        owner=hit.owner,
        place=hit.place,
        rev=hit.rev,
        nsfw=hit.nsfw,
        uses=hit.uses,
        likes=hit.likes,
        pinned=hit.pinned,
    )
