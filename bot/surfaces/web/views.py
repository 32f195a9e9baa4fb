"""What the page is told: jobs, pictures and suggestions as JSON."""

import base64
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from bot import wording
from bot.commands.again import wish_of
from bot.commands.jobs import Shown
from bot.commands.prompt import render
from bot.jobs.job import Job, JobState
from bot.policy import Treatment
from bot.signing import Signer
from bot.surfaces.base import Drawing, Preparing, Progress, Waiting

_DONE = {JobState.RENDERED, JobState.DELIVERED, JobState.UNDELIVERABLE}


class LoraView(BaseModel):
    name: str
    scale: float


class SettingsView(BaseModel):
    size: str
    steps: int
    guidance: float
    seed: int | None
    images: int
    loras: list[LoraView]
    format: str


class PictureView(BaseModel):
    """`url` is None where the picture is withheld."""

    url: str | None
    download: str | None
    width: int
    height: int
    seed: int
    treatment: Treatment
    verdict: str
    alt: str
    format: str


class JobView(BaseModel):
    """A job with everything that its card shows. `price` was expected, `cost` paid, in dollars."""

    id: str
    number: int
    command: str
    prompt: str
    model: str
    created_at: float
    settings: SettingsView
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: dict[str, Any] | None
    pictures: list[PictureView]
    error: str | None
    hint: str | None
    notes: list[str]
    seconds: float | None
    price: float
    cost: float | None
    recipe: dict[str, Any] | None


def job_view(
    job: Job,
    shown: Sequence[Shown],
    progress: Progress | None,
    notes: Sequence[str],
    signer: Signer,
) -> JobView:
    """`shown` are the job's pictures, `progress` its newest state while it has not ended."""
    request, result = job.request, job.result
    running = job.state in {JobState.QUEUED, JobState.RUNNING}
    return JobView(
        id=job.id,
        number=job.number,
        command=render(wish_of(job)),
        prompt=request.prompt,
        model=request.model,
        created_at=job.created_at,
        settings=SettingsView(
            size=str(request.image_size),
            steps=request.num_inference_steps,
            guidance=request.guidance_scale,
            seed=request.seed,
            images=request.num_images,
            loras=[LoraView(name=lora.path, scale=lora.scale) for lora in request.loras],
            format=request.output_format,
        ),
        state=_state(job.state),
        progress=_progress(progress) if running and progress is not None else None,
        pictures=[_picture(job, index, one, signer) for index, one in enumerate(shown)],
        error=_error(job),
        hint=result.hint if result else None,
        notes=list(notes),
        seconds=result.seconds if result else None,
        price=job.price,
        cost=result.cost if result else None,
        recipe=result.pictures[0].recipe.model_dump(mode="json") if result else None,
    )


def _state(state: JobState) -> Literal["queued", "running", "done", "failed", "cancelled"]:
    if state in _DONE:
        return "done"
    match state:
        case JobState.QUEUED:
            return "queued"
        case JobState.RUNNING:
            return "running"
        case JobState.CANCELLED:
            return "cancelled"
        case _:
            return "failed"


def _error(job: Job) -> str | None:
    if job.state is JobState.CANCELLED:
        return wording.CANCELLED
    return job.fault.sentence if job.fault else None


def _picture(job: Job, index: int, one: Shown, signer: Signer) -> PictureView:
    picture = one.picture
    url = None
    if one.treatment is not Treatment.WITHHOLD:
        url = f"/files/{signer.link(job.id, index)}"
    return PictureView(
        url=url,
        download=f"{url}?download=1" if url else None,
        width=picture.width,
        height=picture.height,
        seed=picture.seed,
        treatment=one.treatment,
        verdict=picture.verdict.value,
        alt=job.request.prompt,
        format=picture.format,
    )


def _progress(state: Progress) -> dict[str, Any]:
    match state:
        case Waiting(ahead=ahead, eta=eta):
            return {"kind": "waiting", "ahead": ahead, "eta": eta}
        case Preparing(what=what, fraction=fraction):
            return {"kind": "preparing", "what": what, "fraction": fraction}
        case Drawing():
            preview = None
            if state.preview is not None:
                preview = f"data:image/jpeg;base64,{base64.b64encode(state.preview).decode()}"
            return {
                "kind": "drawing",
                "step": state.step,
                "steps": state.steps,
                "rate": state.rate,
                "eta": state.eta,
                "preview": preview,
                "treatment": state.preview_treatment.value,
            }
