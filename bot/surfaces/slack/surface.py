"""Slack as a port: a message with progress, then a new one with the picture.

The result is a message of its own because Slack shows members a broken picture where one is edited
into a message (notes of the vendor's issues: java-slack-sdk 1441, bolt-python 1295).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

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
from bot.surfaces.slack.pace import Limits, Sleep, pause
from bot.surfaces.slack.posts import MessageGone, Posts, Unreadable
from bot.surfaces.slack.receipts import Message, Where
from bot.surfaces.slack.redrawing import CARD_GONE, Redrawing, delete_file
from bot.surfaces.slack.tidying import Tidying

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
FILES_NOT_TAKEN: Final = (
    "Slack takes no more files in this workspace, or none from apps. Once it does, `/queue` has "
    "the pictures."
)
ALONE: Final = "alone"
"""The part of a job that its requester has had sent to them."""
_LOGIN_S: Final = 20.0
_UNCHANGED_S: Final = 1.0
_MOST_WAIT_S: Final = 5.0
"""A channel in which posts wait longer is spared the messages that tell of progress."""
_FILE_TRIES: Final = 12
_FILE_PAUSE_S: Final = 1.0
"""A file is shown only after Slack has looked at it, which takes a second or two."""

Card = Callable[[Sequence[cards.Piece]], tuple[str, cards.Blocks]]
"""What is posted about pictures: words for notifications, and blocks."""

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
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`http` uploads files and carries no credentials; `notes` outlive a crash."""
        self._limits = Limits(sleep)
        self.posts = Posts(client, self._limits, sleep)
        self._client = client
        self._http = http
        self._notes = notes
        self._online = online
        self._link = link
        self._sleep = sleep
        self.ended: Callable[[Job], None] = lambda job: None
        """Told of every job whose end people have been shown, or cannot be."""
        self._asked: dict[str, tuple[Where, Callable[[], Awaitable[None]]]] = {}
        self._faces: dict[str, str] = {}
        self._redrawing = Redrawing(client, self.posts, notes, self.deliver)
        self._tidying = Tidying(self.posts, notes, self._limits.tidying, sleep)

    @property
    def name(self) -> str:
        return NAME

    @contextmanager
    def expecting(
        self, job_id: str, where: Where, stored: Callable[[], Awaitable[None]]
    ) -> Iterator[None]:
        """Show a job that starts meanwhile there. `stored` is told first: from then on the job
        cannot be lost.
        """
        self._asked[job_id] = where, stored
        try:
            yield
        finally:
            self._asked.pop(job_id, None)

    # --- The port -----------------------------------------------------------------------------

    async def start(self, job: Job) -> Receipt:
        """Post the job's message, or find it again after a crash. In a crowded channel there is
        none before its end.
        """
        if (asked := self._asked.get(job.id)) is not None:
            await asked[1]()
        await self._login()
        try:
            message = await self._started(job)
        except Closed as error:
            raise SurfaceGone(error.error, error.sentence) from error
        return message.receipt()

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | NotYet | None:
        message, text = receipts.read(receipt), cards.face(state)
        if not message.ts:
            return None
        if self._faces.get(job.id) == text:
            return _UNCHANGED_S
        if (wait := self._limits.edits.turn(job.id)) > 0:
            return NotYet(wait)
        try:
            await self.posts.try_update(message, text, cards.progress(job, message.where, text))
        except (MessageGone, Closed):
            return None
        except Busy as error:
            return NotYet(error.retry_after)
        self._faces[job.id] = text
        return pause()

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        await self._login()
        self._faces.pop(job.id, None)
        self._limits.edits.ended(job.id)
        message = receipts.read(receipt)
        try:
            match outcome:
                case Done(pictures=pictures):
                    await self.deliver(job, message.where, pictures)
                    if message.ts:
                        await self._tidying.take_away(job.id, message)
                    if not (await self._notes.read(f"{job.id}-result")).whole:
                        raise SurfaceGone("files not taken", FILES_NOT_TAKEN)
                case NotDone(sentence=sentence, cancelled=cancelled):
                    blocks = cards.not_done(job, message.where, sentence, cancelled=cancelled)
                    if message.ts:
                        await self.posts.update(message, sentence, blocks)
                    else:
                        await self._say(job, message.where, sentence, blocks)
        except MessageGone as error:
            raise SurfaceGone(str(error)) from error
        except Closed as error:
            raise SurfaceGone(error.error, error.sentence) from error
        finally:
            self.ended(job)

    # --- The result ---------------------------------------------------------------------------

    async def deliver(
        self,
        job: Job,
        where: Where,
        pictures: Sequence[DeliveredPicture],
        part: str = "result",
        card: Card | None = None,
    ) -> str:
        """Post the result, once however often this is called; returns the message's `ts`.

        `part` tells several posts of one job apart, such as one for everybody and one for a person.
        `card` makes something else of the pictures than a result.

        Raises:
            SurfaceGone: nobody can tell whether it is there already, or Slack does not take the
                files of what is for its requester `alone`, who can try again.
            Closed, CallFailed
        """
        name = f"{job.id}-{part}"
        note = await self._notes.read(name)
        if note.posted is not None:
            return note.posted
        known = await self._known(job, where, note, part) if note.posting else None
        if known is None:
            pieces = await self._pieces(job, pictures, name)
            whole = not any(piece.lost for piece in pieces)
            if part == ALONE and not whole:
                raise SurfaceGone("files not taken", FILES_NOT_TAKEN)
            note = await self._notes.read(name)
            changed = {"posting": True, "whole": whole, "begun": note.begun or time.time()}
            note = note.model_copy(update=changed)
            await self._notes.write(name, note)
            try:
                known = await self._post(job, where, pieces, part, card, note.begun)
            except CallFailed as error:
                if error.certain:
                    await self._notes.write(name, note.model_copy(update={"posting": False}))
                raise
        note = await self._notes.read(name)
        await self._notes.write(name, note.model_copy(update={"posted": known}))
        return known

    async def redraw(self, job: Job, ts: str, pictures: Sequence[DeliveredPicture]) -> str:
        """Show a job as moderators have said, in the place of its message `ts` or of what has
        taken its place since; returns the `ts` of the message that shows it now.

        Doing it again changes nothing, and goes on where a crash has broken it off. A message that
        somebody has deleted stays away.

        Raises:
            SurfaceGone: its message is gone or out of reach; the sentence says which.
            CallFailed
        """
        await self._login()
        if job.receipt is None:
            raise SurfaceGone("never shown", CARD_GONE)
        where = receipts.read(job.receipt).where
        if job.place.private:  # what people see of it was shared where it was asked for
            where = Where(channel=job.place.channel or "", user=where.user, name=where.name)
        try:
            return await self._redrawing.redraw(job, where, ts, pictures)
        except Closed as error:
            raise SurfaceGone(error.error, error.sentence) from error

    async def withdraw(self, name: str) -> None:
        """Take the files of one post of a job away, by the name of its note: `<job>-<part>`.

        Raises:
            CallFailed: trying again may help.
        """
        for file in (await self._notes.read(name)).files.values():
            await delete_file(self._client, file)

    async def remove(self, job_id: str, where: Where, ts: str) -> bool:
        """Take a message of a job away, or what has taken its place, and all its files from Slack;
        what is gone already is fine. Whether the message is gone.
        """
        gone = True
        notes = (await self._notes.of(job_id)).values()
        files = {one for note in notes for one in (*note.files.values(), *note.old_files)}
        if not files:  # nothing is noted any more
            with contextlib.suppress(CallFailed):
                files = await self.posts.files(Message(where=where, ts=ts))
        for file in files:
            with contextlib.suppress(CallFailed):
                await delete_file(self._client, file)
        for link in await self._redrawing.chain(job_id, ts) if where.channel and ts else ():
            try:
                await self.posts.delete(Message(where=where, ts=link.ts))
            except MessageGone:
                continue
            except CallFailed as error:
                log.info("message not deleted", job=job_id, error=error.error)
                gone = False
        return gone

    async def asked_by(self, where: Where, ts: str) -> str | None:
        """Who has asked for a message, where nothing but the message is left of a job."""
        try:
            return await self.posts.asked_by(Message(where=where, ts=ts))
        except CallFailed:
            return None

    async def link(self, job: Job) -> str | None:
        """The address of the message with a job's result; for some days, as long as it is noted."""
        posted = (await self._notes.read(f"{job.id}-result")).posted
        if posted is None or job.receipt is None:
            return None
        shown = (await self._redrawing.chain(job.id, posted))[-1].ts
        return self.posts.link(receipts.read(job.receipt).where, shown)

    async def send_file(self, user: str, name: str, data: bytes, words: str) -> None:
        """Send somebody a file as a direct message.

        Raises:
            Closed, CallFailed
        """
        channel = await self.posts.direct(user)
        await uploads.upload(self._client, self._http, data, name, channel=channel, words=words)

    async def forget(self, job_id: str) -> None:
        """Forget what was noted of a job that is over."""
        for name in (job_id, *await self._notes.of(job_id)):
            await self._notes.forget(name)

    async def tidy(self) -> None:
        """Take away, for ever, what could not go at once."""
        await self._online.wait()
        await self._tidying.keep()

    # --- Steps --------------------------------------------------------------------------------

    async def _login(self) -> None:
        async with asyncio.timeout(_LOGIN_S):
            await self._online.wait()

    async def _started(self, job: Job) -> Message:
        text, key = cards.face(None), f"{job.id} progress"
        where = (await self._notes.read(job.id)).asked
        if where is not None:  # an earlier try, or an earlier process, may have posted it
            try:
                found = await self.posts.find(where, key, job.created_at)
            except Unreadable as error:
                raise SurfaceGone(str(error)) from error
            if found is not None:
                return Message(where=where, ts=found)
        else:
            where = await self._destination(job)
            await self._notes.write(job.id, Note(asked=where))
        if self._limits.posts(where.channel).wait() > _MOST_WAIT_S:
            return Message(where=where, ts="")
        blocks = cards.progress(job, where, text)
        ts = await self.posts.post_once(where, key, text, blocks, job.created_at)
        return Message(where=where, ts=ts)

    async def _say(self, job: Job, where: Where, text: str, blocks: cards.Blocks) -> None:
        """Tell of an end without a picture where no message tells of the job yet, once."""
        name, key = f"{job.id}-end", f"{job.id} end"
        note = await self._notes.read(name)
        if note.posted is not None:
            return
        known = await self._known(job, where, note, "end") if note.posting else None
        if known is None:
            await self._notes.write(name, Note(posting=True))
            known = await self.posts.post_once(where, key, text, blocks, job.created_at)
        await self._notes.write(name, Note(posted=known))

    async def _destination(self, job: Job) -> Where:
        if (asked := self._asked.get(job.id)) is None:
            raise SurfaceGone("nobody waits for an answer any more")
        where, _ = asked
        if not job.place.private:
            return where
        direct = await self.posts.direct(where.user)
        return Where(channel=direct, user=where.user, name=where.name)

    async def _known(self, job: Job, where: Where, note: Note, part: str) -> str | None:
        """The result that an earlier try may have posted."""
        try:
            since = note.begun or job.created_at
            return await self.posts.find(where, f"{job.id} {part}", since)
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
                file = await self._uploaded(shaped.data, f"{called_it}.{shaped.suffix}")
            except CallFailed as error:
                if error.error not in NOT_TAKEN:
                    raise
                log.info("picture not taken by Slack", job=job.id, error=error.error)
                return cards.Piece(stored, treatment, None, shaped.change, link)
            await self._notes.write(
                name, note.model_copy(update={"files": {**note.files, index: file}})
            )
        return cards.Piece(stored, treatment, file, shaped.change, link)

    async def _uploaded(self, data: bytes, name: str) -> str:
        await self._limits.uploads.turn()
        try:
            return await uploads.upload(self._client, self._http, data, name)
        except Busy as error:
            self._limits.uploads.hold(error.retry_after)
            raise

    async def _post(
        self,
        job: Job,
        where: Where,
        pieces: Sequence[cards.Piece],
        part: str,
        card: Card | None,
        begun: float | None,
    ) -> str:
        """Post as soon as Slack has looked at the files; without them where it never does."""

        def result(shown: Sequence[cards.Piece]) -> tuple[str, cards.Blocks]:
            return cards.spoken(job, shown), cards.done(job, where, shown)

        key, card, since = f"{job.id} {part}", card or result, begun or job.created_at
        text, blocks = card(pieces)
        fresh = any(piece.file is not None for piece in pieces)
        for _ in range(_FILE_TRIES):
            if fresh:
                await self._sleep(_FILE_PAUSE_S)
            try:
                return await self.posts.post_once(where, key, text, blocks, since)
            except CallFailed as error:
                if not _unready(error):
                    raise
        log.warning("pictures never became ready at Slack", job=job.id)
        note = await self._notes.read(f"{job.id}-{part}")
        await self._notes.write(f"{job.id}-{part}", note.model_copy(update={"whole": False}))
        _, blocks = card([replace(piece, file=None) for piece in pieces])
        return await self.posts.post_once(where, key, text, blocks, since)


def _unready(error: CallFailed) -> bool:
    """Whether Slack has not yet looked at a file of a message."""
    return error.error == "invalid_blocks" and any(
        "slack file" in detail.lower() for detail in error.details
    )
