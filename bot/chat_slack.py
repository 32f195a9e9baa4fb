"""Slack, where it is configured, for `bot/service.py`. Its library is imported only there."""

from typing import TYPE_CHECKING, Final

from bot.app import App, CommunityRules
from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.jobs.supervisor import Supervisor
from bot.once import Once
from bot.settings import Settings
from bot.signing import Signer

if TYPE_CHECKING:
    from bot.surfaces.slack.bot import SlackBot
    from bot.surfaces.slack.desk import Desk

NO_WAY_IN: Final = (
    "SLACK_BOT_TOKEN is set, but neither SLACK_APP_TOKEN (Socket Mode) nor SLACK_SIGNING_SECRET "
    "(events at /slack/events) is, so Slack cannot reach this bot; docs/slack.md shows where "
    "they are."
)


def slack_bot(settings: Settings, signer: Signer) -> "SlackBot | None":
    """The Slack side, where there is a token. It is opened by `open_slack`."""
    if settings.slack_bot_token is None:
        return None
    from bot.surfaces.slack.bot import SlackBot, Tokens

    public = settings.public_url

    def link(job_id: str, index: int) -> str:
        return f"{public}/files/{signer.link(job_id, index)}"

    return SlackBot(
        Tokens(settings.slack_bot_token, settings.slack_app_token, settings.slack_signing_secret),
        settings.data_dir / "slack",
        api_url=f"{settings.slack_api_url}/",
        link=None if public is None else link,
    )


async def open_slack(bot: "SlackBot", app: App, supervisor: Supervisor) -> str | None:
    """Log in; why not, where a token is not accepted. A network that is away is waited for."""
    from bot.surfaces.slack.bot import SlackRefused

    settings = app.settings
    if settings.slack_app_token is None and settings.slack_signing_secret is None:
        return NO_WAY_IN
    try:
        await bot.start(slack_desk(app, supervisor, bot))
    except SlackRefused as error:
        return str(error)
    return None


def slack_desk(app: App, supervisor: Supervisor, bot: "SlackBot") -> "Desk":
    """What people at Slack can do with this instance."""
    from bot.surfaces.slack.desk import Desk

    return Desk(
        surface=bot.surface,
        people=bot.people,
        draw=Draw(app.imagine, supervisor),
        jobs=Jobs(
            store=app.jobs,
            pictures=app.pictures,
            canceller=supervisor,
            treat=CommunityRules(app.communities).treatment,
            surface=bot.surface.name,
        ),
        registry=app.registry,
        community=app.communities.effective,
        waiting=supervisor.waiting,
        first=Once(app.database).first,
        me=lambda: bot.me,
    )
