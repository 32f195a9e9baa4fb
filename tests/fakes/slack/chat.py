"""chat.*: what the app says. And where it may say it."""

from tests.fakes.slack.asking import Asked, Method
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.state import DM, PUBLIC, Channel, Json, Message, Team
from tests.fakes.slack.world import World


class Chat:
    """The methods of chat.*"""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages
        write = ("chat:write",)
        self.methods = {
            "chat.postMessage": Method(self.post, 0, write),
            "chat.update": Method(self.update, 3, write),
            "chat.delete": Method(self.delete, 3, write),
            "chat.postEphemeral": Method(self.post_ephemeral, 4, write),
            "chat.getPermalink": Method(self.permalink, 0),
        }

    def post(self, asked: Asked) -> Json:
        channel = self._place(asked)
        self._may_post(channel, asked.team)
        message = self._messages.create(channel, asked.team.bot, asked.args, where=asked.method)
        shown = self._messages.show(message, metadata=True)
        return {"channel": channel.id, "ts": message.ts, "message": shown}

    def update(self, asked: Asked) -> Json:
        message = self._own(asked, "cant_update_message")
        if message.channel.archived:
            raise SlackError("is_archived")
        if not {"text", "blocks", "attachments", "metadata"} & asked.args.keys():
            raise SlackError("no_text")
        self._messages.edit(message, asked.args)
        shown = self._messages.show(message)
        return {
            "channel": message.channel.id,
            "ts": message.ts,
            "text": message.text,
            "message": shown,
        }

    def delete(self, asked: Asked) -> Json:
        message = self._own(asked, "cant_delete_message")
        self._messages.delete(message)
        return {"channel": message.channel.id, "ts": message.ts}

    def post_ephemeral(self, asked: Asked) -> Json:
        channel = self._world.channel_for_bot(asked.team, asked.text("channel"))
        self._may_post(channel, asked.team)
        user = self._world.user_for_bot(asked.team, asked.text("user"))
        if user not in channel.members:
            raise SlackError("user_not_in_channel")
        bot = asked.team.bot
        message = self._messages.create(channel, bot, asked.args, only_for=user, where=asked.method)
        return {"message_ts": message.ts}

    def permalink(self, asked: Asked) -> Json:
        channel = self._world.channel_for_bot(asked.team, asked.text("channel"))
        message = channel.messages.get(asked.text("message_ts"))
        if message is None or message.deleted:
            raise SlackError("message_not_found")
        link = f"https://{asked.team.domain}.slack.com/archives/{channel.id}/p"
        link += message.ts.replace(".", "")
        if message.thread_ts:
            link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
        return {"channel": channel.id, "permalink": link}

    def _place(self, asked: Asked) -> Channel:
        """Where to post: a channel, or the conversation with a person."""
        wanted = asked.text("channel")
        if wanted in self._world.users:
            user = self._world.user_for_bot(asked.team, wanted)
            if user.bot:
                raise SlackError("channel_not_found")
            return self._world.conversation(user)
        return self._world.channel_for_bot(asked.team, wanted)

    def _may_post(self, channel: Channel, team: Team) -> None:
        if channel.archived:
            raise SlackError("is_archived")
        if channel.kind == DM and any(m.deactivated for m in channel.members):
            raise SlackError("user_disabled")
        if channel.refusal is not None:
            raise SlackError(channel.refusal)
        anywhere = channel.kind == PUBLIC and "chat:write.public" in team.scopes
        if team.bot not in channel.members and not anywhere:
            raise SlackError("not_in_channel")

    def _own(self, asked: Asked, strange: str) -> Message:
        """The app's own message by `channel` and `ts`; a person's id is no channel here."""
        channel = self._world.channel_for_bot(asked.team, asked.text("channel"))
        message = channel.messages.get(asked.text("ts"))
        if message is None or message.deleted or message.ephemeral:
            raise SlackError("message_not_found")
        if message.user is not asked.team.bot:
            raise SlackError(strange)
        return message
