"""auth.*, users.*, usergroups.*, team.*, bots.*: who is here."""

from tests.fakes.slack.asking import Asked, Method
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.state import Json, User
from tests.fakes.slack.world import World


class People:
    """The methods that tell about people and the workspace."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.methods = {
            "auth.test": Method(self.test, 0),
            "users.info": Method(self.info, 4, ("users:read",)),
            "users.list": Method(self.list, 2, ("users:read",)),
            "usergroups.list": Method(self.groups, 2, ("usergroups:read",)),
            "team.info": Method(self.team, 3, ("team:read",)),
            "bots.info": Method(self.bot, 3, ("users:read",)),
        }

    def test(self, asked: Asked) -> Json:
        team = asked.team
        return {
            "url": f"https://{team.domain}.slack.com/",
            "team": team.name,
            "user": team.bot.name,
            "team_id": team.id,
            "user_id": team.bot.id,
            "bot_id": team.bot_id,
            "is_enterprise_install": False,
        }

    def info(self, asked: Asked) -> Json:
        user = self._world.user_for_bot(asked.team, asked.text("user"))
        locale = {"locale": user.locale} if asked.flag("include_locale") else {}
        return {"user": shown(user) | locale}

    def list(self, asked: Asked) -> Json:
        everybody = [u for u in self._world.users.values() if u.team is asked.team]
        start, limit = int(asked.args.get("cursor") or 0), asked.number("limit", 200)
        more = str(start + limit) if start + limit < len(everybody) else ""
        page = everybody[start : start + limit]
        return {
            "members": [shown(u) for u in page],
            "response_metadata": {"next_cursor": more},
        }

    def groups(self, asked: Asked) -> Json:
        with_users = asked.flag("include_users")
        hidden = set() if with_users else {"users"}
        return {
            "usergroups": [
                {k: v for k, v in g.items() if k not in hidden} for g in asked.team.usergroups
            ]
        }

    def team(self, asked: Asked) -> Json:
        team = asked.team
        return {"team": {"id": team.id, "name": team.name, "domain": team.domain}}

    def bot(self, asked: Asked) -> Json:
        if asked.args.get("bot") != asked.team.bot_id:
            raise SlackError("bot_not_found")
        return {
            "bot": {
                "id": asked.team.bot_id,
                "app_id": self._world.app_id,
                "user_id": asked.team.bot.id,
                "name": asked.team.bot.name,
                "deleted": False,
            }
        }


def shown(user: User) -> Json:
    """A person as users.info tells."""
    return {
        "id": user.id,
        "team_id": user.team.id,
        "name": user.name.lower(),
        "real_name": user.name,
        "deleted": user.deactivated,
        "is_admin": user.admin or user.owner,
        "is_owner": user.owner,
        "is_primary_owner": False,
        "is_restricted": user.guest,
        "is_ultra_restricted": False,
        "is_bot": user.bot,
        "is_app_user": False,
        "profile": {"real_name": user.name, "display_name": user.name},
    }
