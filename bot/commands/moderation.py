"""What members tell a community's moderators, and what those do with the pictures of others."""

from dataclasses import replace
from typing import Final

from backends.base import Verdict
from bot import wording
from bot.commands.jobs import JobErased, NoSuchJob
from bot.communities import Change, SettingsConflict
from bot.community_store import CommunityStore
from bot.jobs.job import Job, Place
from bot.jobs.reports import ReportStore
from bot.jobs.store import JobStore
from bot.permissions import Requester, is_moderator

MOST_REPORTS: Final = 10
"""Pictures that one person may report within `REPORTS_S`."""
REPORTS_S: Final = 3600.0
_TRIES: Final = 3


class NotAllowed(Exception):
    """str(error) is a sentence for who tried."""


class Moderation:
    """What happens to others' pictures of one surface. Every method checks anew who asks."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        reports: ReportStore,
        communities: CommunityStore,
        surface: str,
    ) -> None:
        self._jobs = jobs
        self._reports = reports
        self._communities = communities
        self._surface = surface

    # --- Moderators ---------------------------------------------------------------------------

    async def job(self, by: Requester, community: str, job_id: str) -> Job:
        """A job of this community, wherever it was asked for.

        Raises:
            NotAllowed: `by` is no moderator of it.
            NoSuchJob: there is none here with this id, or (JobErased) its content was deleted.
            SettingsDamaged
        """
        here = await self._communities.effective(community)
        if not is_moderator(here, by):
            raise NotAllowed(wording.MODERATORS_ONLY)
        job = await self._jobs.get(job_id)
        if job is None or (job.surface, job.place.community) != (self._surface, community):
            raise NoSuchJob(job_id)
        if job.erased:
            raise JobErased(job)
        return job

    async def judge(self, by: Requester, community: str, job_id: str, verdict: Verdict) -> Job:
        """Veil (`FLAGGED`) or reveal (`CLEAR`) a job's pictures, whatever the checker said.

        The job has the new verdict; showing it so is the surface's.

        Raises:
            NotAllowed, NoSuchJob, SettingsDamaged: as for `job`.
        """
        await self.job(by, community, job_id)
        if (job := await self._jobs.moderate(job_id, verdict)) is None:
            raise NoSuchJob(job_id)
        return job

    async def block(self, by: Requester, community: str, member: str) -> bool:
        """Take generating away from a member; False where somebody already has.

        Raises:
            NotAllowed: `by` is no moderator, or the member is one.
            SettingsRefused, SettingsConflict, SettingsDamaged
        """
        for tries in range(1, _TRIES + 1):
            here = await self._communities.effective(community)
            if not is_moderator(here, by):
                raise NotAllowed(wording.MODERATORS_ONLY)
            if member == by.id or member in here.settings.moderators:
                raise NotAllowed(wording.NOT_BLOCKED)
            if member in here.settings.blocked_members:
                return False
            own = await self._communities.load(community)
            change = Change({"blocked_members": own.layer.blocked_members | {member}})
            try:
                # Moderators may not change settings, except for this one through this one door.
                await self._communities.change(
                    community, change, base=own.version, by=replace(by, manager=True)
                )
            except SettingsConflict:
                if tries == _TRIES:
                    raise
            else:
                break
        return True

    # --- Members ------------------------------------------------------------------------------

    async def visible(self, place: Place, job_id: str) -> Job:
        """A job of which the surface knows that a message stands here, for everybody to see.

        A private one was shared here by who asked for it, and is given as a public one.

        Raises:
            NoSuchJob: as for `job`.
        """
        job = await self._jobs.get(job_id)
        here = self._surface, place.community, place.channel
        if job is None or (job.surface, job.place.community, job.place.channel) != here:
            raise NoSuchJob(job_id)
        if job.erased:
            raise JobErased(job)
        return replace(job, place=job.place.model_copy(update={"private": False}))

    async def may_report(self, reporter: str, job: Job) -> None:
        """Look whether this person can report this job now.

        Raises:
            NotAllowed: there is no picture, nobody else sees it, they already have, or have
                reported too many.
        """
        if job.result is None:
            raise NotAllowed(wording.NOTHING_TO_REPORT)
        if job.place.private:
            raise NotAllowed(wording.NOBODY_ELSE_SEES_IT)
        if await self._reports.has(job.id, reporter):
            raise NotAllowed(wording.REPORTED_ALREADY)
        if await self._reports.count(reporter, REPORTS_S) >= MOST_REPORTS:
            raise NotAllowed(wording.too_many_reports(MOST_REPORTS))

    async def reported(self, reporter: str, job: Job) -> None:
        """Note that the moderators have this report."""
        await self._reports.note(job.id, reporter)

    async def report_channels(self, community: str) -> tuple[str, ...]:
        """Where reports go: the channel for them, and the log where that one cannot be reached.

        Raises:
            SettingsDamaged
        """
        settings = (await self._communities.effective(community)).settings
        named = (settings.report_channel, settings.log_channel)
        return tuple(dict.fromkeys(filter(None, named)))
