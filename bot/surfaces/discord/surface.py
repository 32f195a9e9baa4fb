"""Discord as a port: one message a job, from “taken” to the picture."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import discord
import structlog
from discord.ui import LayoutView

from bot.jobs.job import Job, Receipt
from bot.policy import Treatment
from bot.sealing import Vault
from bot.surfaces.base import DeliveredPicture, Done, NotDone, Outcome, Progress, SurfaceGone
from bot.surfaces.discord import cards, files, ids, receipts
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.messages import (
    AUTOMOD,
    EXPLICIT,
    TOO_LARGE,
    MessageGone,
    Messages,
    OutOfReach,
    Upload,
)
from bot.surfaces.discord.receipts import Message
from bot.surfaces.discord.starts import Starts

NAME: Final = "discord"
FILTERED: Final = (
    "The picture was drawn, but this server's filter for explicit pictures does not let it pass. "
    "Whoever asked for it finds it with /queue."
)
TOO_LARGE_FOR_HERE: Final = (
    "The picture was drawn, but it is too large for this place, however much it is compressed. "
    "Whoever asked for it finds it with /queue."
)
READY: Final = "your picture is ready."
_LOGIN_S: Final = 20.0
_UNCHANGED_S: Final = 1.0
_OLD_PAUSE_S: Final = 180.0
_TRIES: Final = 5

Link = Callable[[str, int], str]
"""The address of the picture with this index of this job."""

log = structlog.get_logger()


class DiscordSurface:
    """The messages of jobs. `online` is set once the client has logged in."""

    def __init__(
        self,
        messages: Messages,
        starts: Starts,
        online: asyncio.Event,
        vault: Vault,
        link: Link | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._messages = messages
        self._starts = starts
        self._online = online
        self._vault = vault
        self._link = link
        self._clock = clock
        self._answers: dict[str, Answer] = {}
        self._faces: dict[str, cards.Face] = {}

    def sealed(self, message: Message) -> Receipt:
        """The receipt that stands for a message."""
        return message.receipt(self._vault)

    @property
    def name(self) -> str:
        return NAME

    @contextmanager
    def expecting(self, job_id: str, answer: Answer) -> Iterator[None]:
        """Show a job that starts meanwhile as the answer to an interaction."""
        self._answers[job_id] = answer
        try:
            yield
        finally:
            self._answers.pop(job_id, None)

    # --- The port -----------------------------------------------------------------------------

    async def start(self, job: Job) -> Receipt:
        """Answer the interaction with the job's message, or find it again after a crash."""
        await self._login()
        private, shown = job.place.private, cards.face(None, self._clock())
        if (answer := self._answers.get(job.id)) is None:
            return await self._resume(job, shown)
        message = answer.message
        if private:
            message = message.model_copy(update={"lasting": False})
        await self._starts.note(job.id, message)

        def view(*, prompt: bool) -> LayoutView:
            return cards.progress(job, shown, lasting=message.lasting, prompt=prompt)

        try:
            number = await answer.show(view(prompt=True), private=private)
        except discord.HTTPException as error:
            if error.code not in AUTOMOD:
                raise SurfaceGone(str(error.code)) from error
            number = await answer.show(view(prompt=False), private=private)
        return message.model_copy(update={"message": number}).receipt(self._vault)

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | None:
        message = receipts.read(receipt, self._vault)
        lane = self._messages.lane(message)
        if lane is None:
            return None
        if (wait := self._messages.pace.wait(lane)) > 0:
            return wait
        shown = cards.face(state, self._clock())
        known = self._faces.get(job.id)
        if shown == known:
            return _UNCHANGED_S
        if known is None:
            await self._starts.forget(job.id)
        self._faces[job.id] = shown
        try:
            await self._messages.edit(
                message, cards.progress(job, shown, lasting=message.lasting), shown.uploads
            )
        except (MessageGone, OutOfReach):
            return None
        except discord.HTTPException as error:
            if error.code in AUTOMOD:
                return None
            raise
        finally:
            pause = self._messages.pace.sent(lane)
        return max(pause, _OLD_PAUSE_S) if message.old(self._clock()) else pause

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        await self._login()
        self._faces.pop(job.id, None)
        await self._starts.forget(job.id)
        message = receipts.read(receipt, self._vault)
        try:
            match outcome:
                case Done(pictures=pictures):
                    await self._deliver(job, message, pictures)
                    if job.ping:
                        await self._ping(job, message)
                case NotDone(sentence=sentence, cancelled=cancelled):
                    await self._say(job, message, sentence, cancelled=cancelled)
        except (MessageGone, OutOfReach) as error:
            raise SurfaceGone(f"{type(error).__name__} {error}") from error

    # --- How ----------------------------------------------------------------------------------

    async def _login(self) -> None:
        async with asyncio.timeout(_LOGIN_S):
            await self._online.wait()

    async def _resume(self, job: Job, shown: cards.Face) -> Receipt:
        """Find the message that an earlier process may have shown."""
        if (noted := await self._starts.find(job.id)) is None:
            raise SurfaceGone("nobody waits for an answer any more")
        try:
            message = noted.model_copy(update={"message": await self._messages.original(noted)})
            await self._messages.edit(message, cards.progress(job, shown, lasting=message.lasting))
        except (MessageGone, OutOfReach) as error:
            raise SurfaceGone(str(error)) from error
        return message.receipt(self._vault)

    async def _say(self, job: Job, message: Message, sentence: str, *, cancelled: bool) -> None:
        try:
            view = cards.not_done(job, sentence, cancelled=cancelled)
            await self._messages.edit(message, view)
        except discord.HTTPException as error:
            if error.code not in AUTOMOD:
                raise
            view = cards.not_done(job, sentence, cancelled=cancelled, prompt=False)
            await self._messages.edit(message, view)

    async def _ping(self, job: Job, message: Message) -> None:
        """Call who asked for it; a changed message calls nobody."""
        nonce = ids.nonce(job.id, "ping")
        await self._messages.ping(message, int(job.requester), READY, nonce)

    async def _deliver(
        self, job: Job, message: Message, pictures: Sequence[DeliveredPicture]
    ) -> None:
        """Show the pictures, giving way where Discord refuses their size or the words."""
        limit, prompt, why = message.limit, True, TOO_LARGE_FOR_HERE
        for _ in range(_TRIES):
            try:
                pieces = await self._pieces(job, pictures, limit)
                await self._put(job, message, pieces, prompt=prompt)
            except discord.HTTPException as error:
                if error.code == TOO_LARGE or error.status == 413:
                    sizes = [len(piece.upload.data) for piece in pieces if piece.upload]
                    limit = min(limit, max(sizes, default=limit)) // 2
                elif error.code in AUTOMOD and prompt:
                    prompt = False
                elif error.code == EXPLICIT:
                    why = FILTERED
                    break
                else:
                    raise
            except files.TooLarge:
                break
            else:
                return
        log.info("pictures refused by Discord", job=job.id)
        await self._messages.edit(message, cards.refused(job, why))
        raise SurfaceGone("the pictures are refused here")

    async def _put(
        self, job: Job, message: Message, pieces: Sequence[cards.Piece], *, prompt: bool
    ) -> None:
        view = cards.done(job, pieces, prompt=prompt)
        uploads = [piece.upload for piece in pieces if piece.upload is not None]
        try:
            await self._messages.edit(message, view, uploads)
        except MessageGone:
            await self._messages.post(message, view, uploads, ids.nonce(job.id))

    async def _pieces(
        self, job: Job, pictures: Sequence[DeliveredPicture], limit: int
    ) -> list[cards.Piece]:
        return [
            await self._piece(job, index, picture, limit) for index, picture in enumerate(pictures)
        ]

    async def _piece(
        self, job: Job, index: int, picture: DeliveredPicture, limit: int
    ) -> cards.Piece:
        stored, treatment = picture.stored, picture.treatment
        if treatment is Treatment.WITHHOLD:
            return cards.Piece(stored, treatment, None)
        fitted = await asyncio.to_thread(
            files.fit, picture.data, stored.format, stored.recipe, limit
        )
        name = f"atelier-{stored.seed}-{index + 1}.{fitted.suffix}"
        link = None
        if fitted.change and self._link and treatment is Treatment.SHOW:
            link = self._link(job.id, index)
        return cards.Piece(stored, treatment, Upload(name, fitted.data), fitted.change, link)
