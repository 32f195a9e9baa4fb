"""The chat platforms that are configured, for `bot/service.py`.

Their libraries are imported here only where there is a token for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot.app import App, CommunityRules
from bot.commands.defaults import MyDefaults
from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.commands.moderation import Moderation
from bot.commands.privacy import Keeps, Privacy
from bot.commands.settings import Administration
from bot.commands.trying import examples
from bot.fetchers import guarded_fetcher
from bot.jobs.reports import ReportStore
from bot.jobs.supervisor import Supervisor
from bot.sealing import Vault
from bot.settings import Settings
from bot.signing import Signer

if TYPE_CHECKING:
    from bot.surfaces.discord.bot import DiscordBot
    from bot.surfaces.discord.desk import Desk


def discord_bot(settings: Settings, signer: Signer, vault: Vault) -> "DiscordBot | None":
    """The Discord side, where there is a token. It is opened by `open_discord`."""
    if settings.discord_token is None:
        return None
    from bot.surfaces.discord.bot import DiscordBot

    public = settings.public_url

    def link(job_id: str, index: int) -> str:
        return f"{public}/files/{signer.link(job_id, index)}"

    return DiscordBot(
        settings.discord_token,
        settings.data_dir / "discord",
        vault,
        api_url=settings.discord_api_url,
        gateway_url=settings.discord_gateway_url,
        link=None if public is None else link,
    )


async def open_discord(bot: "DiscordBot", app: App, supervisor: Supervisor) -> str | None:
    """Log in; why not, where the token is not accepted. A network that is away is waited for."""
    from bot.surfaces.discord.bot import DiscordRefused

    try:
        await bot.start(discord_desk(app, supervisor, bot))
    except DiscordRefused as error:
        return str(error)
    return None


def discord_desk(app: App, supervisor: Supervisor, bot: "DiscordBot") -> "Desk":
    """What people on Discord can do with this instance."""
    from bot.surfaces.discord.desk import Desk
    from bot.surfaces.discord.ledger import Ledger
    from bot.surfaces.discord.recipes import HOSTS, Recipes

    jobs = Jobs(
        store=app.jobs,
        pictures=app.pictures,
        canceller=supervisor,
        treat=CommunityRules(app.communities).treatment,
        surface=bot.surface.name,
    )
    return Desk(
        surface=bot.surface,
        messages=bot.messages,
        ledger=Ledger(bot.messages, app.communities.effective),
        draw=Draw(app.imagine, supervisor),
        jobs=jobs,
        moderation=Moderation(
            jobs=app.jobs,
            reports=ReportStore(app.database),
            communities=app.communities,
            surface=bot.surface.name,
        ),
        settings=Administration(app.communities, app.registry),
        recipes=Recipes(guarded_fetcher(app.settings, only=HOSTS)),
        registry=app.registry,
        community=app.communities.effective,
        waiting=supervisor.waiting,
        standing=supervisor.standing,
        defaults=MyDefaults(app.communities, app.registry, app.backends),
        privacy=privacy(app, supervisor, bot.surface.name, bot.forget),
        examples=examples(next(iter(app.backends.by_name), None)),
        lora_files=partial(asyncio.to_thread, app.lora_folder.files),
    )


def privacy(
    app: App,
    supervisor: Supervisor,
    surface: str,
    forget_start: Callable[[str], Awaitable[None]],
) -> Privacy:
    """What people at a surface may do with what is kept about them."""
    settings = app.settings
    fal = urlsplit(settings.fal_queue_url).hostname if "fal" in app.backends.by_name else None
    return Privacy(
        jobs=app.jobs,
        reports=ReportStore(app.database),
        communities=app.communities,
        people=app.registry.people,
        pictures=app.pictures,
        canceller=supervisor,
        forget_start=forget_start,
        surface=surface,
        keeps=Keeps(settings.keep_jobs_days, settings.keep_pictures_days, (fal,) if fal else ()),
        folder=settings.data_dir,
    )
