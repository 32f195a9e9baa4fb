"""`/imagine`: from what somebody wishes to a job that is ready to be submitted.

Every surface asks here. Whatever cannot be honoured is refused with the reason before anything is
queued; nothing is dropped silently.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from backends.base import Backend, GenerationRequest, ModelName, parse_request
from backends.errors import BadRequest
from bot import wording
from bot.commands.again import new_seed
from bot.commands.prompt import Wish, heavy_loras, render
from bot.communities import MemberSettings, SettingsDamaged, member_defaults
from bot.community_store import CommunityStore
from bot.jobs.job import Job, JobDraft, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, QuotaExceeded
from bot.jobs.supervisor import LoraUnavailable, NotStarted
from bot.permissions import Requester, limits, may

_LEAST_PRICE: Final = 0.000_001
"""US dollars that a billed job costs at least. No backend says its price beforehand yet, so the
day's budget is kept by refusing jobs once it is spent."""


class Refused(Exception):
    """The wish cannot be granted; str() is for the requester, `corrected` a command to copy."""

    def __init__(self, sentence: str, corrected: str | None = None) -> None:
        super().__init__(sentence)
        self.corrected = corrected


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody wishes something somewhere."""

    wish: Wish
    requester: Requester
    place: Place
    surface: str
    job_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that may be submitted; `notes` are sentences to tell the requester beside it."""

    draft: JobDraft
    limits: Limits
    notes: tuple[str, ...] = ()


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
    """Turns an `Ask` into a `Plan`."""

    def __init__(
        self,
        *,
        communities: CommunityStore,
        jobs: JobStore,
        backends: Chooser,
        loras: LoraNames,
    ) -> None:
        self._communities = communities
        self._jobs = jobs
        self._backends = backends
        self._loras = loras

    async def plan(self, ask: Ask) -> Plan:
        """Merge the wish with the defaults of the place and check all that can be known now.

        Raises:
            Refused: says why, for the requester.
        """
        community = ask.place.community
        try:
            here = await self._communities.effective(community)
            member = await self._communities.member(community, ask.requester.id)
        except SettingsDamaged as error:
            raise Refused(str(error)) from error
        mine = member_defaults(here, member).settings
        if (preset := ask.wish.preset or mine.preset) is not None:
            raise Refused(wording.no_such_preset(preset))
        request = _request(ask.wish, mine)
        backend = self._backends.choose(request.model)
        capabilities = backend.capabilities
        if found := capabilities.refusals(request):
            raise Refused(wording.problems(found))
        spent, price = 0.0, 0.0
        if capabilities.billed:
            spent, price = await self._jobs.spent_today(community), _LEAST_PRICE
        refusal = may(here, ask.requester, request, price=price, spent_today=spent)
        if refusal is not None:
            raise Refused(wording.refusal(refusal))
        try:
            for lora in request.loras:
                await self._loras.check(lora.path, capabilities.architecture(request.model))
        except LoraUnavailable as error:
            raise Refused(str(error)) from error
        return Plan(
            JobDraft(
                id=ask.job_id,
                surface=ask.surface,
                requester=ask.requester.id,
                place=_place(ask, mine),
                request=request,
                backend=backend.name,
                ping=mine.ping,
            ),
            limits(here, ask.requester),
            _notes(ask.wish),
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
        plan = await self._imagine.plan(ask)
        try:
            job = await self._submitter.submit(plan.draft, plan.limits)
        except QuotaExceeded as error:
            raise Refused(wording.quota(error.quota, error.limit, error.resets_at)) from error
        except NotStarted as error:
            raise Refused(wording.NOT_SHOWN) from error
        return Taken(job, plan.notes)


def _request(wish: Wish, mine: MemberSettings) -> GenerationRequest:
    size = wish.size or mine.size
    chosen: Mapping[str, object | None] = {
        "model": wish.model or mine.model,
        "prompt": wish.prompt,
        "image_size": size.model_dump() if size else None,
        "num_inference_steps": wish.steps,
        "guidance_scale": wish.guidance,
        "seed": wish.seed if wish.seed is not None else new_seed(),
        "num_images": mine.images if wish.images is None else wish.images,
        "loras": [
            {"path": lora.name} if lora.scale is None else {"path": lora.name, "scale": lora.scale}
            for lora in wish.loras
        ],
        "acceleration": wish.speed,
        "enable_prompt_expansion": wish.expand,
        "output_format": wish.format,
    }
    try:
        return parse_request({name: value for name, value in chosen.items() if value is not None})
    except BadRequest as error:
        raise Refused(wording.problems(error.problems)) from error


def _place(ask: Ask, mine: MemberSettings) -> Place:
    private = mine.private if ask.wish.private is None else ask.wish.private
    return ask.place.model_copy(update={"private": ask.place.private or private})


def _notes(wish: Wish) -> tuple[str, ...]:
    if (lowered := heavy_loras(wish.loras)) is None:
        return ()
    return (wording.heavy_loras(lowered, render(replace(wish, loras=lowered.loras))),)
