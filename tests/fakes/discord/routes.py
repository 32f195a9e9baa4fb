"""The routes of the API that the fake knows, and the method of `Endpoints` that serves each."""

_MESSAGES = "/channels/{channel_id}/messages"
_WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
_COMMANDS = "/applications/{application_id}/commands"
_GUILD_COMMANDS = "/applications/{application_id}/guilds/{guild_id}/commands"

ROUTES = {
    "GET /users/@me": "me",
    "GET /users/@me/guilds": "my_guilds",
    "POST /users/@me/channels": "open_dm",
    "GET /users/{user_id}": "user",
    "GET /oauth2/applications/@me": "application",
    "GET /applications/@me": "application",
    "GET /gateway/bot": "gateway_bot",
    "GET /guilds/{guild_id}": "guild",
    "GET /guilds/{guild_id}/channels": "guild_channels",
    "GET /guilds/{guild_id}/roles": "guild_roles",
    "GET /guilds/{guild_id}/members/{user_id}": "member",
    "GET /channels/{channel_id}": "channel",
    f"GET {_MESSAGES}": "history",
    f"POST {_MESSAGES}": "post",
    f"GET {_MESSAGES}/{{message_id}}": "message",
    f"PATCH {_MESSAGES}/{{message_id}}": "edit",
    f"DELETE {_MESSAGES}/{{message_id}}": "delete",
    "POST /channels/{channel_id}/typing": "typing",
    f"GET {_COMMANDS}": "commands",
    f"PUT {_COMMANDS}": "put_commands",
    f"GET {_GUILD_COMMANDS}": "commands",
    f"PUT {_GUILD_COMMANDS}": "put_commands",
    "POST /interactions/{interaction_id}/{interaction_token}/callback": "call_back",
    f"POST {_WEBHOOK}": "follow_up",
    f"GET {_WEBHOOK}/messages/@original": "answer",
    f"PATCH {_WEBHOOK}/messages/@original": "edit_answer",
    f"DELETE {_WEBHOOK}/messages/@original": "delete_answer",
    f"GET {_WEBHOOK}/messages/{{message_id}}": "answer",
    f"PATCH {_WEBHOOK}/messages/{{message_id}}": "edit_answer",
    f"DELETE {_WEBHOOK}/messages/{{message_id}}": "delete_answer",
}
