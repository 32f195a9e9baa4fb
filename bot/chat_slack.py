"""Slack, where it is configured, for `bot/service.py`. Its library is imported only there."""

from typing import TYPE_CHECKING, Final

from bot.app import App, CommunityRules
from bot.chat import privacy
from bot.commands.defaults import MyDefaults
from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.commands.moderation import Moderation
from bot.commands.quota import Quotas
from bot.commands.settings import Administration
from bot.commands.trying import examples
from bot.fetchers import guarded_fetcher
from bot.jobs.reports import ReportStore
from bot.jobs.supervisor import Supervisor
from bot.once import Once
from bot.settings import Settings
from bot.signing import Signer

if TYPE_CHECKING:
    from bot.surfaces.slack.bot import SlackBot
    from bot.surfaces.slack.desk import Desk
    from bot.surfaces.slack.recipes import Recipes

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


def recipes(settings: Settings) -> "Recipes":
    """Reads pictures of messages; the bot's token goes where Slack keeps them."""
    from bot.surfaces.slack.recipes import FILES_HOST, Recipes, file_origins

    origins = file_origins(settings.slack_api_url)
    tokens = dict.fromkeys(origins.values(), settings.slack_bot_token)
    hosts = frozenset(origins)
    return Recipes(guarded_fetcher(settings, tokens, only=hosts, own=hosts - {FILES_HOST}), hosts)


def slack_desk(app: App, supervisor: Supervisor, bot: "SlackBot") -> "Desk":
    """What people at Slack can do with this instance."""
    from bot.surfaces.slack.desk import Desk
    from bot.surfaces.slack.ledger import Ledger

    return Desk(
        surface=bot.surface,
        people=bot.people,
        ledger=Ledger(bot.surface.posts, app.communities.effective),
        draw=Draw(app.imagine, supervisor),
        jobs=Jobs(
            store=app.jobs,
            pictures=app.pictures,
            canceller=supervisor,
            treat=CommunityRules(app.communities).treatment,
            surface=bot.surface.name,
        ),
        moderation=Moderation(
            jobs=app.jobs,
            reports=ReportStore(app.database),
            communities=app.communities,
            surface=bot.surface.name,
        ),
        settings=Administration(app.communities, app.registry),
        registry=app.registry,
        community=app.communities.effective,
        waiting=supervisor.waiting,
        standing=supervisor.standing,
        defaults=MyDefaults(app.communities, app.registry, app.backends),
        privacy=privacy(app, supervisor, bot.surface.name, bot.surface.forget),
        quotas=Quotas(app.communities, app.jobs),
        homes=bot.homes,
        examples=examples(next(iter(app.backends.by_name), None)),
        first=Once(app.database).first,
        me=lambda: bot.me,
        revoked=bot.revoked,
        recipes=recipes(app.settings),
    )
