"""Everything that the fake Slack holds, and how a test sets its scene."""

from collections import deque
from collections.abc import Callable
from typing import Any

from tests.fakes.discord.clock import Changes, Clock
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.limits import Limits
from tests.fakes.slack.state import (
    DM,
    GROUP,
    PRIVATE,
    PUBLIC,
    Channel,
    File,
    Json,
    Message,
    Team,
    User,
    View,
)

_VERBS = ("read", "history")

ALL_SCOPES = frozenset(
    {"app_mentions:read", "chat:write", "chat:write.public", "commands", "files:read"}
    | {"files:write", "im:write", "mpim:write", "team:read", "usergroups:read", "users:read"}
    | {f"{kind}:{verb}" for kind in ("channels", "groups", "im", "mpim") for verb in _VERBS}
)
"""What the bot token may do where no manifest says otherwise."""

EVENTS = frozenset({"app_mention", "message.im", "app_home_opened", "tokens_revoked"})
"""What the app is told where no manifest says otherwise."""


class World:
    """State, and the test's hands to shape it. Events go to `announce`."""

    def __init__(self) -> None:
        self._count = 0
        self._last_ts = 0
        self.changes = Changes()
        self.clock = Clock(self.changes)
        self.limits = Limits(self.clock)
        self.announce: Callable[[Team, str, Json], None] = lambda team, kind, event: None
        self.violations: deque[str] = deque(maxlen=200)
        """What broke Slack's rules, in sentences. A test ends with none."""
        self.teams: dict[str, Team] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[User, View] = {}
        self.processing = 0.3
        """Seconds that a fresh file takes until blocks may name it. Slack's own takes 1 to 2."""
        self.address = ""
        self.app_id = self.new_id("A")
        self.subscriptions = set(EVENTS)
        self.commands: dict[str, bool] | None = None
        """The app's slash commands, and whether Slack escapes their text; None: any, unescaped."""
        self.shortcuts: dict[str, str] | None = None
        """Callback ids of the app's shortcuts with `message` or `global`; None: any."""
        self.team = self.workspace("Home")

    def new_id(self, letter: str) -> str:
        """An id as Slack makes them: a letter for the kind, then capitals and digits."""
        self._count += 1
        return f"{letter}0{self._count:08X}"

    def new_ts(self) -> str:
        """The time of a new message, which is its name in its channel."""
        now = round(self.clock.now() * 1_000_000)
        self._last_ts = max(now, self._last_ts + 1)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06}"

    # --- Setting the scene ----------------------------------------------------------------------

    def workspace(self, name: str) -> Team:
        """A further workspace that has installed the app. The first one is `team`."""
        identity = self.new_id("T")
        token = f"xoxb-fake-{identity}"
        bot_id = self.new_id("B")
        team = Team(identity, name, name.lower(), token, set(ALL_SCOPES), bot_id)
        self.teams[identity] = team
        team.bot = self.user("atelier", team=team, bot=True)
        return team

    def user(
        self,
        name: str,
        *,
        team: Team | None = None,
        admin: bool = False,
        owner: bool = False,
        guest: bool = False,
        bot: bool = False,
    ) -> User:
        """A new member of a workspace."""
        user = User(self.new_id("U"), name, team or self.team, admin, owner, guest, bot)
        self.users[user.id] = user
        return user

    def channel(
        self, name: str, *members: User, private: bool = False, has_bot: bool = True
    ) -> Channel:
        """A new channel with these members. Without `has_bot` the app has not been invited."""
        team = members[0].team if members else self.team
        kind = PRIVATE if private else PUBLIC
        channel = Channel(self.new_id("C"), kind, name, team, set(members))
        if has_bot:
            channel.members.add(team.bot)
        self.channels[channel.id] = channel
        return channel

    def conversation(self, *people: User) -> Channel:
        """The conversation of one person with the bot, or of several people without it."""
        bot = people[0].team.bot
        among = {*people, bot} if len(people) == 1 else set(people)
        kind = DM if len(among) == 2 else GROUP
        for channel in self.channels.values():
            if channel.kind == kind and channel.members == among:
                return channel
        name = "directmessage" if kind == DM else "mpdm"
        identity = self.new_id("D" if kind == DM else "G")
        channel = Channel(identity, kind, name, people[0].team, among)
        self.channels[channel.id] = channel
        return channel

    def invite(self, channel: Channel, user: User | None = None) -> None:
        """Somebody enters a channel; the app's bot, without a name."""
        channel.members.add(user or channel.team.bot)

    def expel(self, channel: Channel, user: User | None = None) -> None:
        """Somebody leaves a channel; the app's bot, without a name."""
        channel.members.discard(user or channel.team.bot)

    def usergroup(self, handle: str, *people: User) -> str:
        """A new user group; returns its id."""
        team = people[0].team if people else self.team
        group = {"id": self.new_id("S"), "team_id": team.id, "handle": handle, "name": handle}
        team.usergroups.append(group | {"users": [p.id for p in people]})
        return group["id"]

    def revoke(self, team: Team | None = None) -> None:
        """The bot token of a workspace dies, and the app is told so."""
        team = team or self.team
        team.token_error = "token_revoked"
        gone = {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [team.bot.id]}}
        self.announce(team, "tokens_revoked", gone)

    def install(self, manifest: Json) -> None:
        """Take scopes, commands, shortcuts and events from the app's manifest."""
        features = manifest.get("features", {})
        settings = manifest.get("settings", {})
        for team in self.teams.values():
            team.scopes = set(manifest.get("oauth_config", {}).get("scopes", {}).get("bot", []))
        self.commands = {
            c["command"]: bool(c.get("should_escape")) for c in features.get("slash_commands", [])
        }
        self.shortcuts = {s["callback_id"]: s["type"] for s in features.get("shortcuts", [])}
        self.subscriptions = set(settings.get("event_subscriptions", {}).get("bot_events", []))

    def delete_file(self, file: File) -> None:
        """A file is gone, from every message that showed it."""
        file.state = "deleted"
        for channel, all_ts in file.shares.items():
            for ts in all_ts:
                self.changes.tell(self.channels[channel].messages.get(ts))

    def violate(self, where: str, problems: list[str]) -> None:
        """Keep sentences about what the app did wrong."""
        self.violations.extend(f"{where}: {p}" for p in problems)

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait for anything to be true; fails after so many real seconds."""
        assert await self.changes.until(condition, seconds), f"not true within {seconds} s"

    async def posted(
        self, channel: Channel, condition: Callable[[Message], Any], seconds: float = 20.0
    ) -> Message:
        """The first message that everybody sees in the channel and that is so, waited for."""
        found: list[Message] = []

        def look() -> bool:
            found[:] = [m for m in channel.posted if condition(m)]
            return bool(found)

        if not await self.changes.until(look, seconds):
            raise AssertionError(f"no such message in {seconds} s; there are {channel.posted}")
        return found[0]

    # --- Looking up for the app -----------------------------------------------------------------

    def channel_for_bot(self, team: Team, identity: object) -> Channel:
        """The channel if the bot knows that it exists: a public one, or one that it is in."""
        channel = self.channels.get(str(identity))
        if channel is None or channel.team is not team:
            raise SlackError("channel_not_found")
        if not channel.public and team.bot not in channel.members:
            raise SlackError("channel_not_found")
        return channel

    def file_url(self, file: File) -> str:
        """Where members' clients, and the app with its token, get the bytes."""
        return f"{self.address}/files-pri/{file.team.id}-{file.id}/{file.name}"

    def file_named(self, slack_file: Json) -> File | None:
        """The file that an image block means by its id or its address."""
        if "id" in slack_file:
            return self.files.get(slack_file["id"])
        url = slack_file.get("url")
        return next((f for f in self.files.values() if self.file_url(f) == url), None)

    def user_for_bot(self, team: Team, identity: object) -> User:
        user = self.users.get(str(identity))
        if user is None or user.team is not team:
            raise SlackError("user_not_found")
        return user
