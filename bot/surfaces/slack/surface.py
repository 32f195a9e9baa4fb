"""Slack as a port: a message with progress, then a new one with the picture.

The result is a message of its own because Slack shows members a broken picture where one is edited
into a message (notes of the vendor's issues: java-slack-sdk 1441, bolt-python 1295).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import httpx
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.jobs.job import Job, Receipt
from bot.policy import Treatment
from bot.surfaces.base import (
    DeliveredPicture,
    Done,
    NotDone,
    NotYet,
    Outcome,
    Progress,
    SurfaceGone,
)
from bot.surfaces.slack import cards, receipts, uploads
from bot.surfaces.slack.calls import Busy, CallFailed, Closed, called
from bot.surfaces.slack.notes import Note, Notes
from bot.surfaces.slack.pace import Pace
from bot.surfaces.slack.posts import MessageGone, Posts, Unreadable
from bot.surfaces.slack.receipts import Message, Where

NAME: Final = "slack"
NOT_TAKEN: Final = frozenset(
    {
        "file_upload_size_restricted",
        "file_uploads_disabled",
        "file_uploads_except_images_disabled",
        "posting_to_channel_denied",
        "storage_limit_reached",
    }
)
"""Slack's words for files that this workspace does not take, however often they are sent."""
PARTS: Final = ("result", "alone", "shared")
"""The posts of a job: its result, one for its requester alone, one for everybody."""
_LOGIN_S: Final = 20.0
_UNCHANGED_S: Final = 1.0
_FILE_TRIES: Final = 12
_FILE_PAUSE_S: Final = 1.0
"""A file is shown only after Slack has looked at it, which takes a second or two."""

Link = Callable[[str, int], str]
"""The address of the picture with this index of this job."""

log = structlog.get_logger()


class SlackSurface:
    """The messages of jobs. `online` is set once Slack has said who we are."""

    def __init__(
        self,
        client: AsyncWebClient,
        http: httpx.AsyncClient,
        notes: Notes,
        online: asyncio.Event,
        link: Link | None = None,
        *,
        pace: Pace | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        """`http` uploads files and carries no credentials; `notes` outlive a crash."""
        self.pace = pace or Pace()
        self.posts = Posts(client, self.pace.hold, sleep)
        self._client = client
        self._http = http
        self._notes = notes
        self._online = online
        self._link = link
        self._sleep = sleep
        self._asked: dict[str, Where] = {}
        self._faces: dict[str, str] = {}

    @property
    def name(self) -> str:
        return NAME

    @contextmanager
    def expecting(self, job_id: str, where: Where) -> Iterator[None]:
        """Show a job that starts meanwhile there."""
        self._asked[job_id] = where
        try:
            yield
        finally:
            self._asked.pop(job_id, None)

    # --- The port -----------------------------------------------------------------------------

    async def start(self, job: Job) -> Receipt:
        """Post the job's message, or find it again after a crash."""
        await self._login()
        try:
            message = await self._started(job)
        except Closed as error:
            raise SurfaceGone(error.error, error.sentence) from error
        return message.receipt()

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | NotYet | None:
        if (wait := self.pace.wait()) > 0:
            return NotYet(wait)
        text = cards.face(state)
        if self._faces.get(job.id) == text:
            return _UNCHANGED_S
        message = receipts.read(receipt)
        try:
            await self.posts.try_update(message, text, cards.progress(job, message.where, text))
        except (MessageGone, Closed):
            return None
        except Busy as error:
            return NotYet(error.retry_after)
        self._faces[job.id] = text
        return self.pace.sent(job.id)

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        await self._login()
        self._faces.pop(job.id, None)
        self.pace.ended(job.id)
        message = receipts.read(receipt)
        try:
            match outcome:
                case Done(pictures=pictures):
                    await self.deliver(job, message.where, pictures)
                    await self._take_away(message)
                case NotDone(sentence=sentence, cancelled=cancelled):
                    blocks = cards.not_done(job, message.where, sentence, cancelled=cancelled)
                    await self.posts.update(message, sentence, blocks)
        except MessageGone as error:
            raise SurfaceGone(str(error)) from error
        except Closed as error:
            raise SurfaceGone(error.error, error.sentence) from error

    # --- The result ---------------------------------------------------------------------------

    async def deliver(
        self, job: Job, where: Where, pictures: Sequence[DeliveredPicture], part: str = "result"
    ) -> str:
        """Post the result, once however often this is called; returns the message's `ts`.

        `part` tells several posts of one job apart, such as one for everybody and one for a person.

        Raises:
            SurfaceGone: nobody can tell whether it is there already.
            Closed, CallFailed
        """
        name = f"{job.id}-{part}"
        note = await self._notes.read(name)
        if note.posted is not None:
            return note.posted
        known = await self._known(job, where, note, part) if note.posting else None
        if known is None:
            pieces = await self._pieces(job, pictures, name)
            note = (await self._notes.read(name)).model_copy(update={"posting": True})
            await self._notes.write(name, note)
            known = await self._post(job, where, pieces, part)
        await self._notes.write(name, note.model_copy(update={"posted": known}))
        return known

    async def remove(self, job: Job, channel: str, ts: str) -> None:
        """Take a message of a job away, and its files from Slack; what is gone already is fine."""
        for part in PARTS:
            for file in (await self._notes.read(f"{job.id}-{part}")).files.values():
                with contextlib.suppress(CallFailed):
                    await called("files.delete", self._client.files_delete(file=file))
        if not (channel and ts):
            return
        with contextlib.suppress(MessageGone, CallFailed):
            await self.posts.delete(
                Message(where=Where(channel=channel, user=job.requester), ts=ts)
            )

    # --- Steps --------------------------------------------------------------------------------

    async def _login(self) -> None:
        async with asyncio.timeout(_LOGIN_S):
            await self._online.wait()

    async def _started(self, job: Job) -> Message:
        text, key = cards.face(None), f"{job.id} progress"
        where = self._asked.get(job.id)
        if where is None:
            noted = (await self._notes.read(job.id)).asked
            if noted is None:
                raise SurfaceGone("nobody waits for an answer any more")
            try:
                found = await self.posts.find(noted, key, job.created_at)
            except Unreadable as error:
                raise SurfaceGone(str(error)) from error
            if found is not None:
                return Message(where=noted, ts=found)
            where = noted
        elif job.place.private:
            where = Where(
                channel=await self.posts.direct(where.user), user=where.user, name=where.name
            )
        await self._notes.write(job.id, Note(asked=where))
        blocks = cards.progress(job, where, text)
        ts = await self.posts.post_once(where, key, text, blocks, job.created_at)
        return Message(where=where, ts=ts)

    async def _known(self, job: Job, where: Where, note: Note, part: str) -> str | None:
        """The result that an earlier try may have posted."""
        try:
            return await self.posts.find(where, f"{job.id} {part}", job.created_at)
        except Unreadable as error:
            for file in note.files.values():
                return await self._shared(file, where.channel)
            raise SurfaceGone(f"it may have been posted: {error}") from error

    async def _shared(self, file: str, channel: str) -> str | None:
        """The `ts` of the message that shows a file in a channel; a file is shared by a post."""
        answer = await called("files.info", self._client.files_info(file=file))
        for places in (answer.get("file", {}).get("shares") or {}).values():
            for share in places.get(channel, ()):
                return str(share["ts"])
        return None

    async def _take_away(self, message: Message) -> None:
        """The progress message has done its work; where it cannot go it says so."""
        try:
            await self.posts.delete(message)
        except MessageGone:
            return
        except CallFailed as error:
            if isinstance(error, Busy) or not error.certain:
                raise
            log.info("progress message stays", error=error.error)

    async def _pieces(
        self, job: Job, pictures: Sequence[DeliveredPicture], name: str
    ) -> list[cards.Piece]:
        return [
            await self._piece(job, index, picture, name) for index, picture in enumerate(pictures)
        ]

    async def _piece(
        self, job: Job, index: int, picture: DeliveredPicture, name: str
    ) -> cards.Piece:
        stored, treatment = picture.stored, picture.treatment
        if treatment is Treatment.WITHHOLD:
            return cards.Piece(stored, treatment, None, offered=picture.offered)
        shaped = await uploads.shaped(picture)
        link = None
        if self._link is not None and treatment is Treatment.SHOW:
            link = self._link(job.id, index)
        note = await self._notes.read(name)
        file = note.files.get(index)
        if file is None:
            clear = treatment is Treatment.SHOW
            called_it = f"atelier-{stored.seed}-{index + 1}" if clear else f"sensitive-{index + 1}"
            try:
                file = await uploads.upload(
                    self._client, self._http, shaped.data, f"{called_it}.{shaped.suffix}"
                )
            except CallFailed as error:
                if error.error not in NOT_TAKEN:
                    raise
                log.info("picture not taken by Slack", job=job.id, error=error.error)
                return cards.Piece(stored, treatment, None, shaped.change, link)
            await self._notes.write(
                name, note.model_copy(update={"files": {**note.files, index: file}})
            )
        return cards.Piece(stored, treatment, file, shaped.change, link)

    async def _post(self, job: Job, where: Where, pieces: Sequence[cards.Piece], part: str) -> str:
        """Post as soon as Slack has looked at the files; without them where it never does."""
        key, text = f"{job.id} {part}", cards.spoken(job, pieces)
        for _ in range(_FILE_TRIES):
            try:
                blocks = cards.done(job, where, pieces)
                return await self.posts.post_once(where, key, text, blocks, job.created_at)
            except CallFailed as error:
                if not _unready(error):
                    raise
            await self._sleep(_FILE_PAUSE_S)
        log.warning("pictures never became ready at Slack", job=job.id)
        bare = [replace(piece, file=None) for piece in pieces]
        blocks = cards.done(job, where, bare)
        return await self.posts.post_once(where, key, text, blocks, job.created_at)


def _unready(error: CallFailed) -> bool:
    """Whether Slack has not yet looked at a file of a message."""
    return error.error == "invalid_blocks" and any(
        "slack file" in detail.lower() for detail in error.details
    )
