"""`/imagine`: from what somebody wishes to a job that is ready to be submitted.

Every surface asks here. Whatever cannot be honoured is refused with the reason before anything is
queued; nothing is dropped silently.
"""

import uuid
from dataclasses import dataclass, field, replace
from typing import Protocol

from backends.base import Backend, GenerationRequest, ModelName, parse_request
from backends.errors import BadRequest, Problem
from bot import wording
from bot.commands.again import new_seed
from bot.commands.composing import Composed, Composer
from bot.commands.prompt import NamedLora, Wish, heavy_loras, render
from bot.communities import (
    CommunitySettings,
    Effective,
    MemberSettings,
    SettingsDamaged,
    member_defaults,
)
from bot.community_store import CommunityStore
from bot.jobs.job import Job, JobDraft, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, QuotaExceeded
from bot.jobs.supervisor import LoraUnavailable, NotStarted
from bot.permissions import Refusal, Requester, limits, may
from bot.viewers import viewer
from lora_registry.errors import RegistryError


@dataclass(frozen=True, slots=True)
class LoraRefusal:
    """The LoRA at `index` of the request, called `path`, is not there or does not fit."""

    index: int
    path: str


@dataclass(frozen=True, slots=True)
class QuotaUsedUp:
    """`quota` names a field of `Limits`; `resets_at` is None where a place is soon free again."""

    quota: str
    resets_at: float | None


Why = tuple[Problem, ...] | Refusal | LoraRefusal | QuotaUsedUp
"""What a refusal is about, for programs."""


class Refused(Exception):
    """The wish cannot be granted; str() is for the requester, `corrected` a command to copy.

    `why` tells programs what it is about, where there is more to say than the sentence.
    """

    def __init__(
        self, sentence: str, corrected: str | None = None, *, why: Why | None = None
    ) -> None:
        super().__init__(sentence)
        self.corrected = corrected
        self.why = why


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody wishes something somewhere."""

    wish: Wish
    requester: Requester
    place: Place
    surface: str
    job_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody orders a request that is complete already, as programs do."""

    request: GenerationRequest
    requester: Requester
    place: Place
    surface: str
    job_id: str
    ping: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that may be submitted; `notes` are sentences to tell the requester beside it.

    `uses` are the ids of the presets in it, to be counted once it was taken.
    """

    draft: JobDraft
    limits: Limits
    notes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that was taken; `notes` are sentences to tell the requester beside it."""

    job: Job
    notes: tuple[str, ...] = ()


class Chooser(Protocol):
    """Knows which backend draws which model."""

    def choose(self, model: ModelName) -> Backend: ...


class Submitter(Protocol):
    """Takes jobs."""

    async def submit(self, draft: JobDraft, limits: Limits) -> Job: ...


class LoraNames(Protocol):
    """Knows which LoRAs there are."""

    async def check(self, name: str, architecture: ModelName) -> None:
        """Raises:
        LoraUnavailable: there is none of this name, or it does not fit.
        """
        ...


class Imagine:
    """Turns an `Ask` or an `Order` into a `Plan`."""

    def __init__(
        self,
        *,
        communities: CommunityStore,
        jobs: JobStore,
        backends: Chooser,
        loras: LoraNames,
        composer: Composer,
    ) -> None:
        self._communities = communities
        self._jobs = jobs
        self._backends = backends
        self._loras = loras
        self._composer = composer

    async def plan(self, ask: Ask) -> Plan:
        """Merge the wish with the defaults of the place and check all that can be known now.

        Raises:
            Refused: says why, for the requester.
        """
        here = await self._here(ask.place)
        try:
            member = await self._communities.member(ask.place.community, ask.requester.id)
        except SettingsDamaged as error:
            raise Refused(str(error)) from error
        mine = member_defaults(here, member).settings
        try:
            composed = await self._composer.compose(
                ask.wish, mine, viewer(here, ask.requester, ask.place), self._architecture
            )
        except RegistryError as error:
            by_default = None if ask.wish.preset else mine.preset
            raise Refused(wording.not_composed(error, by_default)) from error
        order = Order(
            request=_request(composed),
            requester=ask.requester,
            place=_place(ask, mine),
            surface=ask.surface,
            job_id=ask.job_id,
            ping=mine.ping,
        )
        plan = await self._admit(order, here)
        return replace(
            plan,
            draft=replace(plan.draft, preset=composed.preset, asked=composed.asked),
            notes=(*composed.notes, *_notes(ask.wish, plan.draft.request)),
            uses=composed.uses,
        )

    async def admit(self, order: Order) -> Plan:
        """Check all that can be known now of a request that is complete.

        Raises:
            Refused: says why, for the requester.
        """
        return await self._admit(order, await self._here(order.place))

    def _architecture(self, model: ModelName) -> ModelName:
        return self._backends.choose(model).capabilities.architecture(model)

    async def count(self, plan: Plan) -> None:
        """Count the presets of a plan that was taken; a failure costs nothing but the count."""
        await self._composer.count(plan.uses)

    async def _here(self, place: Place) -> Effective[CommunitySettings]:
        try:
            return await self._communities.effective(place.community)
        except SettingsDamaged as error:
            raise Refused(str(error)) from error

    async def _admit(self, order: Order, here: Effective[CommunitySettings]) -> Plan:
        request = order.request
        backend = self._backends.choose(request.model)
        capabilities = backend.capabilities
        if found := capabilities.refusals(request):
            raise Refused(wording.problems(found), why=found)
        price, spent = capabilities.price(request), 0.0
        if price > 0:
            spent = await self._jobs.spent_today(order.place.community)
        refusal = may(here, order.requester, request, price=price, spent_today=spent)
        if refusal is not None:
            raise Refused(wording.refusal(refusal), why=refusal)
        who = viewer(here, order.requester, order.place)
        for index, lora in enumerate(request.loras):
            try:
                await self._loras.check(lora.path, capabilities.architecture(request.model))
                await self._composer.require_usable(who, lora.path)
            except (LoraUnavailable, RegistryError) as error:
                raise Refused(str(error), why=LoraRefusal(index, lora.path)) from error
        return Plan(
            JobDraft(
                id=order.job_id,
                surface=order.surface,
                requester=order.requester.id,
                place=order.place,
                request=request,
                backend=backend.name,
                ping=order.ping,
                price=price,
            ),
            limits(here, order.requester),
        )


class Draw:
    """Plans and hands over: the whole of `/imagine` for a surface that runs in this process."""

    def __init__(self, imagine: Imagine, submitter: Submitter) -> None:
        self._imagine = imagine
        self._submitter = submitter

    async def __call__(self, ask: Ask) -> Taken:
        """Submit the job, which shows it at its surface.

        Raises:
            Refused: says why, for the requester; nothing is left behind.
        """
        return await self._submit(await self._imagine.plan(ask))

    async def order(self, order: Order) -> Taken:
        """The same for a request that is complete already.

        Raises:
            Refused: says why, for the requester; nothing is left behind.
        """
        return await self._submit(await self._imagine.admit(order))

    async def _submit(self, plan: Plan) -> Taken:
        try:
            job = await self._submitter.submit(plan.draft, plan.limits)
        except QuotaExceeded as error:
            sentence = wording.quota(error.quota, error.limit, error.resets_at)
            raise Refused(sentence, why=QuotaUsedUp(error.quota, error.resets_at)) from error
        except NotStarted as error:
            raise Refused(error.sentence or wording.NOT_SHOWN) from error
        await self._imagine.count(plan)
        return Taken(job, plan.notes)


def _request(composed: Composed) -> GenerationRequest:
    try:
        return parse_request({"seed": new_seed(), **composed.fields})
    except BadRequest as error:
        raise Refused(wording.problems(error.problems), why=error.problems) from error


def _place(ask: Ask, mine: MemberSettings) -> Place:
    private = mine.private if ask.wish.private is None else ask.wish.private
    return ask.place.model_copy(update={"private": ask.place.private or private})


def _notes(wish: Wish, request: GenerationRequest) -> tuple[str, ...]:
    """An offer to lower LoRAs that spoil each other, those of presets included."""
    applied = tuple(NamedLora(lora.path, lora.scale) for lora in request.loras)
    if (lowered := heavy_loras(applied)) is None:
        return ()
    return (wording.heavy_loras(lowered, render(replace(wish, loras=lowered.loras))),)
