"""Discord as a port: one message a job, from “taken” to the picture."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import discord
import structlog
from discord.ui import LayoutView

from bot.jobs.job import Job, Receipt
from bot.policy import Treatment
from bot.sealing import Vault
from bot.surfaces.base import (
    DeliveredPicture,
    Done,
    NotDone,
    NotYet,
    Outcome,
    Progress,
    SurfaceGone,
)
from bot.surfaces.discord import cards, files, ids, receipts
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.journal import Journal
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
CARD_GONE: Final = "The message that showed it is not there any more."
CARD_OUT_OF_REACH: Final = (
    "Its message is out of my reach: I may not see the channel. Give me the permission “View "
    "Channel” there and click again, or delete the message."
)
READY: Final = "your picture is ready."
_LOGIN_S: Final = 20.0
_UNCHANGED_S: Final = 1.0
_OLD_PAUSE_S: Final = 180.0
_TRIES: Final = 5
_NONCE_S: Final = 120.0
"""So long a nonce is counted on; Discord says “a few minutes”."""
_SKEW_S: Final = 60.0
"""Between Discord's clock and ours, at most."""

T = TypeVar("T")
Link = Callable[[str, int], str]
"""The address of the picture with this index of this job."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a message shows while its job goes on, and whether its prompt's words may be on it."""

    face: cards.Face
    words: bool


class DiscordSurface:
    """The messages of jobs. `online` is set once the client has logged in."""

    def __init__(
        self,
        messages: Messages,
        starts: Starts,
        posts: Journal,
        online: asyncio.Event,
        vault: Vault,
        link: Link | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._messages = messages
        self._starts = starts
        self._posts = posts
        self._online = online
        self._vault = vault
        self._link = link
        self._clock = clock
        self._answers: dict[str, Answer] = {}
        self._seen: dict[str, _Seen] = {}

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

        async def show(words: bool) -> Message:
            view = cards.progress(job, shown, lasting=message.lasting, prompt=words)
            number = await answer.show(view, private=private)
            return message.model_copy(update={"message": number, "words": words})

        try:
            message = await _worded(show, words=True)
        except discord.HTTPException as error:
            await self._starts.forget(job.id)
            raise SurfaceGone(str(error.code)) from error
        if answer.replaced:  # no other way leads to this message
            await self._starts.note(job.id, message)
        return message.receipt(self._vault)

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | NotYet | None:
        message, pace = receipts.read(receipt, self._vault), self._messages.pace
        lane = self._messages.lane(message)
        if lane is None:
            return None
        shown, seen = cards.face(state, self._clock()), self._seen.get(job.id)
        if seen is None:
            await self._starts.forget(job.id)
            seen = self._seen[job.id] = _Seen(cards.face(None, 0), message.words)
        if shown == seen.face:
            return _UNCHANGED_S
        if (wait := pace.turn(lane, job.id)) > 0:
            return NotYet(wait)

        async def show(words: bool) -> bool:
            view = cards.progress(job, shown, lasting=message.lasting, prompt=words)
            await self._messages.edit(message, view, shown.uploads)
            return words

        try:
            self._seen[job.id] = _Seen(shown, await _worded(show, words=seen.words))
        except (MessageGone, OutOfReach):
            return None
        except discord.HTTPException as error:
            if error.code in AUTOMOD:
                return None
            raise
        finally:
            pause = pace.sent(lane)
        return max(pause, _OLD_PAUSE_S) if message.old(self._clock()) else pause

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        await self._login()
        self._messages.pace.leave(job.id)
        message = receipts.read(receipt, self._vault)
        if (seen := self._seen.pop(job.id, None)) is not None:
            message = message.model_copy(update={"words": seen.words})
        await self._starts.forget(job.id)
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

    async def redraw(self, job: Job, number: int, pictures: Sequence[DeliveredPicture]) -> None:
        """Show a finished job in message `number` of its channel as it is to be seen now.

        Nothing is posted anew: a message that somebody has deleted stays away.

        Raises:
            SurfaceGone: the message is gone or out of reach; the sentence says which.
            discord.HTTPException: anything else.
        """
        await self._login()
        if job.receipt is None:
            raise SurfaceGone("never shown", CARD_GONE)
        message = receipts.read(job.receipt, self._vault)
        if number != message.message:  # only the bot's own token reaches every message of its own
            message = message.model_copy(update={"message": number, "token_until": 0.0})
        try:
            await self._deliver(job, message, pictures, anew=False)
        except MessageGone as error:
            raise SurfaceGone(str(error), CARD_GONE) from error
        except OutOfReach as error:
            raise SurfaceGone(str(error), CARD_OUT_OF_REACH) from error

    # --- How ----------------------------------------------------------------------------------

    async def _login(self) -> None:
        async with asyncio.timeout(_LOGIN_S):
            await self._online.wait()

    async def _resume(self, job: Job, shown: cards.Face) -> Receipt:
        """Find the message that an earlier process may have shown."""
        if (noted := await self._starts.find(job.id)) is None:
            raise SurfaceGone("nobody waits for an answer any more")
        try:
            return (await self._shown_again(job, noted, shown)).receipt(self._vault)
        except (MessageGone, OutOfReach) as error:
            raise SurfaceGone(str(error)) from error

    async def _shown_again(self, job: Job, noted: Message, shown: cards.Face) -> Message:
        if job.place.private:
            noted = noted.model_copy(update={"lasting": False})

        async def show(words: bool) -> Message:
            view = cards.progress(job, shown, lasting=noted.lasting, prompt=words)
            try:
                number = noted.message or await self._messages.original(noted)
                message = noted.model_copy(update={"message": number, "words": words})
                await self._messages.edit(message, view)
            except MessageGone:
                # A public “thinking …” was taken away and the private answer in its place was cut
                # off: nobody can find out whether it arrived, so there is another one.
                number = await self._messages.follow_up(noted, view, private=job.place.private)
                message = noted.model_copy(update={"message": number, "words": words})
                await self._starts.note(job.id, message)
            return message

        return await _worded(show, words=noted.words)

    async def _say(self, job: Job, message: Message, sentence: str, *, cancelled: bool) -> None:
        async def show(words: bool) -> None:
            view = cards.not_done(job, sentence, cancelled=cancelled, prompt=words)
            await self._messages.edit(message, view)

        await _worded(show, words=message.words)

    async def _ping(self, job: Job, message: Message) -> None:
        """Call who asked for it; a changed message calls nobody.

        After a crash that came long ago it stays silent: two calls annoy more than none.
        """
        nonce = ids.nonce(job.id, "ping")
        begun = await self._posts.find(nonce)
        if begun is None:
            await self._posts.write(nonce)
        elif self._clock() - begun > _NONCE_S:
            return
        await self._messages.ping(message, int(job.requester), READY, nonce)

    async def _deliver(
        self,
        job: Job,
        message: Message,
        pictures: Sequence[DeliveredPicture],
        *,
        anew: bool = True,
    ) -> None:
        """Show the pictures, giving way where Discord refuses their size or the words.

        `anew` posts another message where this one is gone.
        """
        limit, prompt, why = message.limit, message.words, TOO_LARGE_FOR_HERE
        for _ in range(_TRIES):
            try:
                pieces = await self.pieces(job, pictures, limit)
                await self._put(job, message, pieces, prompt=prompt, anew=anew)
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
        raise SurfaceGone("the pictures are refused here", why)

    async def _put(
        self,
        job: Job,
        message: Message,
        pieces: Sequence[cards.Piece],
        *,
        prompt: bool,
        anew: bool,
    ) -> None:
        view = cards.done(job, pieces, prompt=prompt)
        uploads = [piece.upload for piece in pieces if piece.upload is not None]
        try:
            await self._messages.edit(message, view, uploads)
        except MessageGone:
            if not anew:
                raise
            await self._post(job, message, view, uploads)

    async def _post(
        self, job: Job, message: Message, view: LayoutView, uploads: Sequence[Upload]
    ) -> None:
        """Show the result as a message of its own, once.

        Discord itself refuses to repeat a post for some minutes only. When a crash and a longer
        outage lie between a post and the note that the job is delivered, we look for it.
        """
        nonce = ids.nonce(job.id)
        begun = await self._posts.find(nonce)
        if begun is not None and self._clock() - begun > _NONCE_S:
            if await self._messages.posted(message, job.id, since=begun - _SKEW_S):
                return
            begun = None
        if begun is None:
            await self._posts.write(nonce)
        await self._messages.post(message, view, uploads, nonce)

    async def pieces(
        self, job: Job, pictures: Sequence[DeliveredPicture], limit: int
    ) -> list[cards.Piece]:
        """Pictures as a message holds them, each of at most `limit` bytes.

        Raises:
            files.TooLarge: one does not fit.
        """
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


async def _worded(show: Callable[[bool], Awaitable[T]], *, words: bool) -> T:
    """Show something with the prompt's words, or without them where AutoMod refuses them."""
    if words:
        try:
            return await show(True)
        except discord.HTTPException as error:
            if error.code not in AUTOMOD:
                raise
    return await show(False)
