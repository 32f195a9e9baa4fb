"""The chat platforms that are configured, for `bot/service.py`.

Their libraries are imported here only where there is a token for them.
"""

from typing import TYPE_CHECKING

from bot.app import App, CommunityRules
from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.jobs.supervisor import Supervisor
from bot.sealing import Vault
from bot.settings import Settings
from bot.signing import Signer

if TYPE_CHECKING:
    from bot.surfaces.discord.bot import DiscordBot
    from bot.surfaces.discord.desk import Desk
    from bot.surfaces.discord.surface import DiscordSurface


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
        await bot.start(discord_desk(app, supervisor, bot.surface))
    except DiscordRefused as error:
        return str(error)
    return None


def discord_desk(app: App, supervisor: Supervisor, surface: "DiscordSurface") -> "Desk":
    """What people on Discord can do with this instance."""
    from bot.surfaces.discord.desk import Desk

    jobs = Jobs(
        store=app.jobs,
        pictures=app.pictures,
        canceller=supervisor,
        treat=CommunityRules(app.communities).treatment,
        surface=surface.name,
    )
    return Desk(
        surface=surface,
        draw=Draw(app.imagine, supervisor),
        jobs=jobs,
        registry=app.registry,
        community=app.communities.effective,
        waiting=supervisor.waiting,
    )
