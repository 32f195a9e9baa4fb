"""A result shown anew where moderators have hidden or revealed it, exactly once.

An edit cannot add a picture to a message, so a new message takes the place of the old one: first
the old one loses its pictures, then the new one is posted, then the old one goes with its files.
Each step is noted before the next, and doing it all again goes on where it broke off.
"""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol
from weakref import WeakValueDictionary

from slack_sdk.web.async_client import AsyncWebClient

from backends.base import Verdict
from bot.jobs.job import Job
from bot.surfaces.base import DeliveredPicture, SurfaceGone
from bot.surfaces.slack import cards
from bot.surfaces.slack.calls import Busy, CallFailed, Closed, called
from bot.surfaces.slack.notes import Notes
from bot.surfaces.slack.posts import MessageGone, Posts
from bot.surfaces.slack.receipts import Message, Where

CARD_GONE: Final = "Its message is not there any more, so nothing is shown."
_WORDS: Final = {Verdict.FLAGGED: "veiled", Verdict.CLEAR: "revealed"}


@dataclass(frozen=True, slots=True)
class Link:
    """A message of a result, and how it came to be: as moderators said, or first of all."""

    ts: str
    word: str = ""
    note: str = ""


class Deliver(Protocol):
    """Posts a result as another part, once."""

    async def __call__(
        self, job: Job, where: Where, pictures: Sequence[DeliveredPicture], part: str
    ) -> str: ...


class Redrawing:
    """Knows which message shows a result now."""

    def __init__(
        self, client: AsyncWebClient, posts: Posts, notes: Notes, deliver: Deliver
    ) -> None:
        self._client = client
        self._posts = posts
        self._notes = notes
        self._deliver = deliver
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def chain(self, job_id: str, ts: str) -> list[Link]:
        """The messages that have shown what `ts` shows or showed, the present one last."""
        before: dict[str, tuple[str, Link]] = {}
        for name, note in (await self._notes.of(job_id)).items():
            for word in _WORDS.values():
                prefix = f"{job_id}-{word}-"
                if name.startswith(prefix) and note.posted is not None:
                    before[note.posted] = name.removeprefix(prefix), Link(note.posted, word, name)
        after = dict(before.values())
        while ts in before:
            ts = before[ts][0]
        chain = [Link(ts)]
        while chain[-1].ts in after:
            chain.append(after[chain[-1].ts])
        return chain

    async def redraw(
        self, job: Job, where: Where, ts: str, pictures: Sequence[DeliveredPicture]
    ) -> str:
        """Show a job in the place of message `ts` as moderators have said; returns the new `ts`.

        Raises:
            SurfaceGone: the message is gone, or nobody can tell whether the new one is there.
            Closed, CallFailed
        """
        word = _WORDS[job.moderated or Verdict.FLAGGED]
        async with self._turns.setdefault(job.id, asyncio.Lock()):
            chain = await self.chain(job.id, ts)
            if chain[-1].word != word:
                part = f"{word}-{chain[-1].ts}"
                await self._empty(job, Message(where=where, ts=chain[-1].ts), part)
                new = await self._deliver(replace(job, ping=False), where, pictures, part)
                chain.append(Link(new, word, f"{job.id}-{part}"))
            for old, new_one in itertools.pairwise(chain):
                await self._clear(Message(where=where, ts=old.ts), new_one.note)
            return chain[-1].ts

    # --- Steps --------------------------------------------------------------------------------

    async def _empty(self, job: Job, old: Message, part: str) -> None:
        """Take the pictures off a message, and note which files they were."""
        name = f"{job.id}-{part}"
        note = await self._notes.read(name)
        if not (note.old_files or note.posting):
            files = tuple(await self._files(job, old))
            await self._notes.write(name, note.model_copy(update={"old_files": files}))
        try:
            await self._posts.update(old, cards.SHOWN_ANEW, cards.replaced(job, old.where))
        except MessageGone as error:
            raise SurfaceGone(str(error), CARD_GONE) from error

    async def _files(self, job: Job, old: Message) -> set[str]:
        """The files of a message: as noted when it was posted, else as Slack still knows it."""
        for note in (await self._notes.of(job.id)).values():
            if note.posted == old.ts:
                return set(note.files.values())
        try:
            return await self._posts.files(old)
        except CallFailed:
            return set()

    async def _clear(self, old: Message, name: str) -> None:
        """Take an old message away with its files, now that the new one is there."""
        note = await self._notes.read(name)
        if note.cleared:
            return
        for file in note.old_files:
            await delete_file(self._client, file)
        try:
            await self._posts.delete(old)
        except MessageGone:
            pass
        except Closed:
            return
        await self._notes.write(name, note.model_copy(update={"cleared": True}))


async def delete_file(client: AsyncWebClient, file: str) -> None:
    """Take a file away from everybody; one that Slack does not give up, or no longer has, is left.

    Raises:
        CallFailed: trying again may help.
    """
    try:
        await called("files.delete", client.files_delete(file=file))
    except CallFailed as error:
        if isinstance(error, Busy) or not error.certain:
            raise
