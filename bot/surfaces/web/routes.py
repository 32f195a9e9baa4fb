"""The playground's routes. Everything that has a meaning is decided in `bot.commands`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from bot import wording
from bot.commands import again
from bot.commands.again import Variation, vary, wish_of_recipe
from bot.commands.imagine import Ask, Draw, Refused
from bot.commands.jobs import Jobs, NoSuchJob, PictureGone, PictureUnreadable
from bot.commands.prompt import FLAGS, PromptError, Wish, parse, render
from bot.jobs.job import Job, Place
from bot.owner import OWNER
from bot.recipe import Recipe, RecipeError, read
from bot.signing import BadLink, Signer
from bot.surfaces.web.access import COOKIE, Access
from bot.surfaces.web.surface import NAME, TooManyPages, WebSurface
from bot.surfaces.web.views import JobView, job_view

ASSETS: Final = Path(__file__).with_name("assets")
MAX_UPLOAD: Final = 20 * 2**20
PLACE: Final = Place(private=True)
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE: Final = 30
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SESSION_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Status:
    """What is running, for the page's first words. `about` tells a LoRA's model."""

    version: str
    backend: str | None
    sentence: str
    next_steps: Sequence[tuple[str, str]]
    examples: Sequence[str]
    models: Sequence[str]


class Hint(BaseModel):
    """A name that may be typed, and what it stands for."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Playground:
    """Everything that the routes use."""

    surface: WebSurface
    draw: Draw
    jobs: Jobs
    signer: Signer
    access: Access
    status: Callable[[], Status]
    loras: Callable[[], Awaitable[Sequence[Hint]]]
    presets: Callable[[str], Awaitable[Sequence[Hint]]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImagineBody(_Body):
    text: str = Field(max_length=20_000)
    id: UUID


class AgainHow(_Body):
    kind: Literal["again"]


class RetryHow(_Body):
    kind: Literal["retry"]


class DraftHow(_Body):
    kind: Literal["draft"]


class GuidanceHow(_Body):
    kind: Literal["guidance"]
    by: float = Field(ge=-5, le=5, allow_inf_nan=False)


class LoraHow(_Body):
    kind: Literal["lora"]
    name: str = Field(max_length=500)
    by: float = Field(ge=-4, le=4, allow_inf_nan=False)


How = Annotated[AgainHow | RetryHow | DraftHow | GuidanceHow | LoraHow, Field(discriminator="kind")]


class AgainBody(_Body):
    how: How
    id: UUID


class SessionBody(_Body):
    token: str = Field(max_length=200)


class History(BaseModel):
    jobs: list[JobView]
    more: bool


def create_router(playground: Playground) -> APIRouter:
    """The page, its API and the pictures."""
    router = APIRouter()
    api = APIRouter(prefix="/api", dependencies=[Depends(playground.access.check)])
    _add_page(router, playground)
    _add_jobs(api, playground)
    _add_events(api, playground)
    router.include_router(api)
    return router


def _add_page(router: APIRouter, playground: Playground) -> None:
    named = [Depends(playground.access.check_origin)]

    @router.get("/", dependencies=named)
    async def page() -> FileResponse:
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return FileResponse(ASSETS / "index.html", headers=headers)

    @router.get("/assets/{name}", dependencies=named)
    async def asset(name: str) -> FileResponse:
        path = ASSETS / name
        if path.parent != ASSETS or path.suffix not in _TYPES or not path.is_file():
            raise HTTPException(404, "There is no such file.")
        # A script that runs as a worker is bound by its own policy, not by the page's.
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)

    @router.post("/api/session", dependencies=named, status_code=204)
    async def open_session(body: SessionBody, request: Request) -> Response:
        if not playground.signer.is_web_token(body.token.strip()):
            await asyncio.sleep(0.5)
            raise HTTPException(401, "That is not the token. Atelier shows it when it starts.")
        answer = Response(status_code=204)
        answer.set_cookie(
            COOKIE,
            playground.signer.session(),
            max_age=_SESSION_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.get("/files/{link}", dependencies=named)
    async def picture(link: str, download: bool = False) -> Response:
        try:
            job_id, index = playground.signer.read_link(link)
            found, data = await playground.jobs.bytes_of(job_id, index)
        except BadLink as error:
            raise HTTPException(404, str(error)) from error
        except PictureGone as error:
            raise HTTPException(404, wording.PICTURE_GONE) from error
        except PictureUnreadable as error:
            raise HTTPException(503, wording.PICTURE_UNREADABLE) from error
        headers = {"Cache-Control": "private, max-age=86400, immutable"}
        headers["X-Robots-Tag"] = "noindex"
        if download:
            suffix = "jpg" if found.format == "jpeg" else found.format
            name = f"atelier-{found.seed}.{suffix}"
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return Response(data, media_type=f"image/{found.format}", headers=headers)


def _add_jobs(api: APIRouter, playground: Playground) -> None:
    jobs = playground.jobs

    async def own(job_id: UUID) -> Job:
        try:
            return await jobs.get(OWNER.id, str(job_id))
        except NoSuchJob as error:
            raise HTTPException(404, wording.NO_SUCH_JOB) from error

    Own = Annotated[Job, Depends(own)]  # noqa: N806 - it is a type

    @api.get("/status")
    async def status() -> dict[str, Any]:
        now = playground.status()
        known = await playground.loras()
        return {
            **asdict(now),
            "next_steps": [{"title": title, "text": text} for title, text in now.next_steps],
            "loras": [hint.model_dump() for hint in known],
            "flags": [asdict(flag) for flag in FLAGS],
        }

    @api.get("/presets")
    async def presets(q: Annotated[str, Query(max_length=200)] = "") -> list[Hint]:
        return list(await playground.presets(q))

    @api.post("/imagine", status_code=201)
    async def imagine(body: ImagineBody) -> JobView:
        try:
            wish = parse(body.text)
        except PromptError as error:
            raise Refused(str(error), error.corrected) from error
        return await _draw(playground, wish, body.id)

    @api.get("/jobs")
    async def history(before: int | None = None, limit: int = _PAGE) -> History:
        limit = min(max(limit, 1), 100)
        found = await jobs.history(OWNER.id, before=before, limit=limit + 1)
        return History(
            jobs=[await _view(playground, job) for job in found[:limit]], more=len(found) > limit
        )

    @api.get("/jobs/{job_id}")
    async def one(job: Own) -> JobView:
        return await _view(playground, job)

    @api.post("/jobs/{job_id}/cancel")
    async def cancel(job: Own) -> JobView:
        return await _view(playground, await jobs.cancel(OWNER.id, job.id))

    @api.delete("/jobs/{job_id}", status_code=204)
    async def delete(job: Own) -> None:
        await jobs.delete(OWNER.id, job.id)
        playground.surface.tell(job.id)

    @api.post("/jobs/{job_id}/again", status_code=201)
    async def repeat(job: Own, body: AgainBody) -> JobView:
        return await _draw(playground, vary(job, _variation(body.how)), body.id)

    @api.post("/recipe")
    async def recipe(request: Request) -> JSONResponse:
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_UPLOAD:
                raise HTTPException(413, f"Pictures of up to {MAX_UPLOAD >> 20} MB are read.")
        try:
            found = await asyncio.to_thread(read, bytes(data))
        except RecipeError as error:
            raise HTTPException(422, str(error)) from error
        if found is None:
            raise HTTPException(422, wording.NO_RECIPE)
        source = "atelier" if isinstance(found, Recipe) else found.source
        return JSONResponse({"command": render(wish_of_recipe(found)), "source": source})


def _add_events(api: APIRouter, playground: Playground) -> None:
    @api.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        try:
            with playground.surface.listening() as listener:
                newest = await playground.jobs.history(OWNER.id, before=None, limit=_PAGE)
                unfinished = await playground.jobs.unfinished(OWNER.id)
                jobs = {job.id: job for job in [*newest, *unfinished]}.values()
                views = [await _view(playground, job) for job in jobs]
                yield ServerSentEvent(
                    event="hello", data={"jobs": [view.model_dump() for view in views]}, retry=1000
                )
                async for job_id in listener.changes():
                    try:
                        job = await playground.jobs.get(OWNER.id, job_id)
                    except NoSuchJob:
                        yield ServerSentEvent(event="gone", data={"id": job_id})
                        continue
                    view = await _view(playground, job)
                    yield ServerSentEvent(event="job", data=view.model_dump())
        except TooManyPages as error:
            yield ServerSentEvent(event="refused", data={"error": str(error)}, retry=30_000)


async def _draw(playground: Playground, wish: Wish, job_id: UUID) -> JobView:
    ask = Ask(wish, OWNER, PLACE, NAME, str(job_id))
    taken = await playground.draw(ask)
    playground.surface.keep_notes(taken.job.id, taken.notes)
    return await _view(playground, taken.job)


async def _view(playground: Playground, job: Job) -> JobView:
    return job_view(
        job,
        await playground.jobs.shown(job),
        playground.surface.progress_of(job.id),
        playground.surface.notes_of(job.id),
        playground.signer,
    )


def _variation(how: How) -> Variation:
    match how:
        case AgainHow():
            return again.Again()
        case RetryHow():
            return again.Retry()
        case DraftHow():
            return again.Draft()
        case GuidanceHow(by=by):
            return again.Guidance(by)
        case LoraHow(name=name, by=by):
            return again.LoraScale(name, by)
