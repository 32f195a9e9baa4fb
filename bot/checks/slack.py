"""Slack: does it accept the tokens, may the bot do its work, and how do events arrive?"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
from pydantic import SecretStr

from bot.checks.finding import Finding, broken, ok, warning
from bot.settings import Settings

_PATIENCE_S: Final = 5.0
_NEEDED: Final = frozenset({"chat:write", "commands", "files:write"})
"""Without these nothing is drawn at all."""
_APPS: Final = "api.slack.com/apps, your app"
_ANEW: Final = (
    f"Paste docs/slack-manifest.json anew ({_APPS}, page App Manifest), then page Install App, "
    "Reinstall to Workspace."
)


def application(settings: Settings) -> Iterator[Finding]:
    """Ask Slack who we are and what we may; nothing is changed there."""
    if settings.slack_bot_token is None:
        if settings.slack_app_token is not None or settings.slack_signing_secret is not None:
            yield broken(
                "SLACK_BOT_TOKEN is not set, so the bot is in no workspace.",
                f"Copy it from {_APPS}, page OAuth & Permissions: Bot User OAuth Token (xoxb-…).",
            )
        return
    try:
        with httpx.Client(
            base_url=settings.slack_api_url, timeout=_PATIENCE_S, trust_env=False
        ) as slack:
            yield from _bot(slack, settings.slack_bot_token, settings.slack_app_token)
            if settings.slack_app_token is not None:
                yield from _socket_mode(slack, settings.slack_app_token)
    except (httpx.HTTPError, ValueError) as error:
        yield broken(
            f"Slack cannot be asked ({type(error).__name__}).",
            "See that this machine has a network, and correct SLACK_API_URL if it is set.",
        )
        return
    if settings.slack_app_token is None:
        yield from _requests(settings)


def _bot(slack: httpx.Client, token: SecretStr, app_token: SecretStr | None) -> Iterator[Finding]:
    from bot.surfaces.slack.manifest import scopes

    told, headers = _asked(slack, "auth.test", token)
    if not told.get("ok"):
        yield broken(
            f"Slack does not accept SLACK_BOT_TOKEN ({_word(told)}).",
            f"Copy it anew: {_APPS}, page OAuth & Permissions, Bot User OAuth Token (xoxb-…). If "
            "there is none, page Install App first.",
        )
        return
    if not told.get("bot_id"):
        yield broken(
            "SLACK_BOT_TOKEN is a person's token, not a bot's.",
            f"Use the one that begins with xoxb-: {_APPS}, page OAuth & Permissions.",
        )
        return
    yield ok(f"Slack knows the bot {told.get('user')} in the workspace {told.get('team')}.")
    granted = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",")}
    missing = [scope for scope in scopes() if scope not in granted]
    if missing:
        say = broken if _NEEDED & set(missing) else warning
        yield say(f"The bot lacks these scopes: {', '.join(missing)}.", _ANEW)
    if app_token is not None:
        yield from _one_app(slack, token, app_token, str(told["bot_id"]))


def _one_app(
    slack: httpx.Client, token: SecretStr, app_token: SecretStr, bot_id: str
) -> Iterator[Finding]:
    """With tokens of two apps everything connects, and no command ever arrives."""
    named = re.match(r"xapp-\d+-(A[A-Z0-9]+)-", app_token.get_secret_value())
    told, _ = _asked(slack, "bots.info", token, bot=bot_id)
    app = (told.get("bot") or {}).get("app_id")
    if named is not None and app and named[1] != app:
        yield broken(
            f"SLACK_BOT_TOKEN is of the app {app}, SLACK_APP_TOKEN of the app {named[1]}.",
            "Copy both from the same app at api.slack.com/apps.",
        )


def _socket_mode(slack: httpx.Client, token: SecretStr) -> Iterator[Finding]:
    told, _ = _asked(slack, "apps.connections.open", token)
    if told.get("ok"):
        yield ok("Socket Mode works: Slack tells this machine what happens.")
        return
    yield broken(
        f"Socket Mode does not work: Slack does not accept SLACK_APP_TOKEN ({_word(told)}).",
        f"Make one (xapp-…): {_APPS}, page Basic Information, App-Level Tokens, with the scope "
        "connections:write. Page Socket Mode must say that it is enabled.",
    )


def _requests(settings: Settings) -> Iterator[Finding]:
    from bot.surfaces.slack.http import PATH

    if settings.slack_signing_secret is None:
        yield broken(
            "Slack has no way to tell this machine what happens: neither SLACK_APP_TOKEN nor "
            "SLACK_SIGNING_SECRET is set.",
            f"Make an app-level token: {_APPS}, page Basic Information, App-Level Tokens, with the "
            "scope connections:write.",
        )
        return
    if settings.public_url is None:
        yield warning(
            f"Nothing says where Slack reaches {PATH} of this machine.",
            "Set ATELIER_PUBLIC_URL, or use Socket Mode with SLACK_APP_TOKEN.",
        )
        return
    url = settings.public_url + PATH
    if not url.startswith("https:"):
        yield broken(
            f"Slack sends events to https addresses only, not to {url}.",
            "Put a proxy with a certificate in front, or use Socket Mode with SLACK_APP_TOKEN.",
        )
    try:
        status = httpx.post(url, content=b"{}", timeout=_PATIENCE_S, trust_env=False).status_code
    except httpx.HTTPError as error:
        yield warning(
            f"{url} does not answer from here ({type(error).__name__}).",
            "Start Atelier, and see that your proxy passes this address on to it.",
        )
        return
    if status == httpx.codes.UNAUTHORIZED:
        yield ok(f"{url} answers, and refuses what Slack has not signed.")
    else:
        yield warning(
            f"{url} answers {status} where Atelier would answer 401.",
            "Restart Atelier after changing .env, and see that your proxy passes this address on.",
        )


def _asked(
    slack: httpx.Client, method: str, token: SecretStr, **arguments: str
) -> tuple[Mapping[str, Any], httpx.Headers]:
    bearer = {"Authorization": f"Bearer {token.get_secret_value()}"}
    answer = slack.post(f"/{method}", headers=bearer, data=arguments)
    answer.raise_for_status()
    told = answer.json()
    return (told if isinstance(told, dict) else {}), answer.headers


def _word(told: Mapping[str, Any]) -> str:
    """Slack's own word for what is wrong."""
    word = str(told.get("error", ""))
    return word if re.fullmatch(r"[a-z_]{1,60}", word) else "no reason given"
