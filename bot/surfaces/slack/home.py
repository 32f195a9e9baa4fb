"""The Home tab: presets to try, one's own jobs and quota, and the way to everything else.

At most 100 blocks. It is made anew from what is stored whenever it is shown.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, DividerBlock, HeaderBlock
from slack_sdk.models.views import View

from bot.commands import presets
from bot.commands.presets import Entry
from bot.communities import SettingsDamaged
from bot.jobs.job import Job, JobState, Place
from bot.permissions import Requester
from bot.surfaces.slack import atelier, cards
from bot.surfaces.slack.answers import press
from bot.surfaces.slack.desk import Desk
from bot.surfaces.slack.help import WRITE, try_preset, try_prompt
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.mine import cancel, doing
from bot.surfaces.slack.text import bold, moment, safe
from bot.viewers import viewer
from lora_registry.errors import RegistryError

MOST_JOBS: Final = 8
MOST_PRESETS: Final = 10
NO_JOBS: Final = "You have not asked for anything yet."
DIRECTLY: Final = "What you ask for here comes as a direct message, for you alone."
_WINDOWS: Final[Mapping[str, str]] = MappingProxyType(
    {atelier.HELP: "Help", "defaults": "My defaults", "privacy": "Privacy"}
)


async def opened(desk: Desk, interaction: Interaction) -> None:
    """Somebody looks at their Home tab."""
    await interaction.ack()
    if interaction.event.get("tab") != "home":
        return
    desk.homes.looked_at(interaction.user, interaction.team)
    await desk.homes.show(interaction.user, partial(home, desk))


async def home(desk: Desk, user: str, team: str) -> View:
    """The Home tab of somebody in a workspace."""
    who = await desk.who(user)
    blocks = [ActionsBlock(elements=list(_doors(who))), cards.small([DIRECTLY])]
    try:
        today = (await desk.quotas.today(team, who)).told()
        blocks += [HeaderBlock(text="Today"), cards.section("\n".join(today))]
        blocks += [HeaderBlock(text="Your latest"), *await _jobs(desk, user)]
        blocks += [HeaderBlock(text="Try one"), *await _tries(desk, who, team)]
    except (SettingsDamaged, RegistryError) as error:
        blocks += [DividerBlock(), cards.section(safe(str(error), 1000))]
    return View(type="home", blocks=blocks)


def _doors(who: Requester) -> Iterator[ButtonElement]:
    yield press(WRITE, "Imagine", style="primary")
    for name, label in _WINDOWS.items():
        yield press(atelier.VERB, label, name)
    if who.manager:
        yield press(atelier.VERB, "Settings", "settings")


# --- One's own jobs ---------------------------------------------------------------------------


async def _jobs(desk: Desk, user: str) -> list[Block]:
    found = await desk.jobs.history(user, before=None, limit=MOST_JOBS)
    if not found:
        return [cards.section(NO_JOBS)]
    return [_job(desk, job, await desk.surface.link(job)) for job in found]


def _job(desk: Desk, job: Job, link: str | None) -> Block:
    about, accessory = _state(desk, job, link)
    return cards.section(f"{bold(job.request.prompt, 100)}\n{about}", accessory)


def _state(desk: Desk, job: Job, link: str | None) -> tuple[str, ButtonElement | None]:
    """How far it is, in words, and what can be done with it."""
    ended = moment(job.ended_at or job.created_at)
    fetch = cards.button("fetch", job.id, "Send to me")
    match job.state:
        case JobState.QUEUED | JobState.RUNNING | JobState.RENDERED:
            return doing(desk, job), cancel(job)
        case JobState.DELIVERED if link is not None:
            return f"drawn {ended} · <{link}|look at it>", cards.button("again", job.id, "Again")
        case JobState.DELIVERED:
            return f"drawn {ended}", fetch
        case JobState.UNDELIVERABLE:
            return f"drawn {ended}, but it could not be shown where you asked", fetch
        case JobState.CANCELLED:
            return f"cancelled {ended}", cards.button("retry", job.id, "Draw it after all")
        case JobState.FAILED:
            why = "" if job.fault is None else f": {safe(job.fault.sentence, 300)}"
            return f"failed {ended}{why}", cards.button("retry", job.id, "Try again")


# --- To try -----------------------------------------------------------------------------------


async def _tries(desk: Desk, who: Requester, team: str) -> list[Block]:
    here = await desk.community(team)
    seen = viewer(here, who, Place(community=team))
    found = await presets.list_presets(desk.registry, seen)
    return [
        *(cards.section(_preset(one), try_preset(one.name)) for one in found[:MOST_PRESETS]),
        *(cards.section(safe(one, 100), try_prompt(one)) for one in desk.examples),
    ]


def _preset(entry: Entry) -> str:
    title = f": {safe(entry.title, 60)}" if entry.title else ""
    return f"{bold(entry.name, 60)}{title}\n{entry.model}, used {entry.uses:,}×"
