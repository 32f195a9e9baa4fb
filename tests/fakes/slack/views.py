"""views.*: modals on people's screens, stacked three high at most, and their Home tabs."""

import copy

from tests.fakes.slack import rules
from tests.fakes.slack.asking import Asked, Method
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.interactions import Act, Interactions
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.state import Json, Team, User, View
from tests.fakes.slack.world import World

_MOST_STACKED = 3


class Views:
    """The methods of views.*, and what the acknowledgement of a submit does."""

    def __init__(self, world: World, messages: Messages, interactions: Interactions) -> None:
        self._world = world
        self._messages = messages
        self._interactions = interactions
        self.methods = {
            "views.open": Method(self.open, 4),
            "views.push": Method(self.push, 4),
            "views.update": Method(self.update, 4),
            "views.publish": Method(self.publish, 4),
        }

    # --- Methods --------------------------------------------------------------------------------

    def open(self, asked: Asked) -> Json:
        data = self._checked(asked, "modal")
        act = self._interactions.exchange(asked.text("trigger_id"))
        return self._opened(act, data, None)

    def push(self, asked: Asked) -> Json:
        data = self._checked(asked, "modal")
        act = self._interactions.exchange(asked.text("trigger_id"))
        if act.view is None or act.view.data["type"] != "modal":
            raise SlackError("not_found")
        return self._opened(act, data, act.view)

    def update(self, asked: Asked) -> Json:
        data = self._checked(asked, "modal")
        wanted = asked.args.get("view_id")
        external = asked.args.get("external_id")
        for view in self._world.views.values():
            named = external and view.data.get("external_id") == external
            if view.is_open and (view.id == wanted or named) and view.user.team is asked.team:
                break
        else:
            raise SlackError("not_found")
        if asked.args.get("hash") not in (None, view.hash):
            raise SlackError("hash_conflict")
        self._replace(view, data)
        return {"view": self.show(view)}

    def publish(self, asked: Asked) -> Json:
        data = self._checked(asked, "home")
        user = self._world.user_for_bot(asked.team, asked.text("user_id"))
        home = self._world.homes.get(user)
        if home is not None and asked.args.get("hash") not in (None, home.hash):
            raise SlackError("hash_conflict")
        if home is None:
            home = self._world.homes[user] = self._new(user, data, None)
        else:
            self._replace(home, data)
        return {"view": self.show(home)}

    # --- What people's acts do ------------------------------------------------------------------

    def settle(self, act: Act, answer: Json) -> None:
        """Do what the app has answered to a submit."""
        view = act.view
        assert view is not None
        action = answer.get("response_action")
        if action == "errors":
            view.errors = dict(answer.get("errors") or {})
            inputs = {b["block_id"] for b in view.blocks if b["type"] == "input"}
            strange = [f"errors: {b} is no input block" for b in view.errors if b not in inputs]
            self._world.violate("view_submission", strange)
        elif action in ("update", "push"):
            data = self._valid(answer.get("view"), "modal", "view_submission", act.user.team)
            if action == "update":
                self._replace(view, data)
            else:
                self._opened(act, data, view)
        elif action == "clear":
            above: View | None = view
            while above is not None:
                above.is_open, above = False, above.previous
        elif action is None:
            view.is_open = False
        else:
            self._world.violate("view_submission", [f"response_action {action!r} is unknown"])
        self._world.changes.tell(view)

    def top(self, view: View) -> View:
        """The view that lies on top of the stack of this one."""
        same = [v for v in self._world.views.values() if v.root is view.root and v.is_open]
        return same[-1] if same else view

    def show(self, view: View) -> Json:
        """A view as Slack gives it back, with all that is filled in."""
        values: Json = {}
        for block in view.blocks:
            parts = [block.get("element"), block.get("accessory"), *block.get("elements", [])]
            for part in parts:
                key = (block["block_id"], (part or {}).get("action_id", ""))
                if key in view.chosen:
                    values.setdefault(key[0], {})[key[1]] = view.chosen[key]
        team = view.user.team
        return {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "title": None,
            "submit": None,
            "close": None,
            "clear_on_close": False,
            "notify_on_close": False,
            **copy.deepcopy(view.data),
            "id": view.id,
            "team_id": team.id,
            "app_id": self._world.app_id,
            "bot_id": team.bot_id,
            "hash": view.hash,
            "root_view_id": view.root.id if view.root else view.id,
            "previous_view_id": view.previous.id if view.previous else None,
            "state": {"values": values},
        }

    # --- Inside ---------------------------------------------------------------------------------

    def _checked(self, asked: Asked, kind: str) -> Json:
        return self._valid(asked.json("view"), kind, asked.method, asked.team)

    def _valid(self, data: object, kind: str, where: str, team: Team) -> Json:
        problems = rules.of_view(data)
        if not problems and isinstance(data, dict) and data["type"] != kind:
            problems = [f"a {data['type']} where a {kind} belongs [json-pointer:/view/type]"]
        if problems:
            self._world.violate(where, problems)
            raise SlackError("invalid_arguments", problems)
        assert isinstance(data, dict)
        try:
            self._messages.check_files(data["blocks"], team, where)
        except SlackError as error:
            raise SlackError("invalid_arguments", error.details) from error
        external = data.get("external_id")
        if external and where != "views.update":
            used = [v for v in self._world.views.values() if v.data.get("external_id") == external]
            if any(v.is_open for v in used):
                raise SlackError("duplicate_external_id")
        copied = copy.deepcopy(data)
        for block in copied["blocks"]:
            block.setdefault("block_id", self._world.new_id("b"))
        return copied

    def _opened(self, act: Act, data: Json, below: View | None) -> Json:
        depth, under = 1, below
        while under is not None:
            depth, under = depth + 1, under.previous
        if depth > _MOST_STACKED:
            raise SlackError("push_limit_reached")
        act.modal = self._new(act.user, data, below)
        self._world.changes.tell(act)
        return {"view": self.show(act.modal)}

    def _new(self, user: User, data: Json, below: View | None) -> View:
        identity = self._world.new_id("V")
        view = View(identity, user, data, self._hash(), self._world.changes, previous=below)
        view.root = below.root if below is not None else view
        self._world.views[identity] = view
        self._world.changes.tell(view)
        return view

    def _replace(self, view: View, data: Json) -> None:
        """What is filled in stays in fields that keep their block and action ids."""
        stay = {
            (b["block_id"], part.get("action_id"))
            for b in data["blocks"]
            for part in (b.get("element") or {}, b.get("accessory") or {}, *b.get("elements", []))
        }
        view.chosen = {key: v for key, v in view.chosen.items() if key in stay}
        view.data, view.hash, view.errors = data, self._hash(), {}
        self._world.changes.tell(view)

    def _hash(self) -> str:
        return f"{self._world.new_ts()}.{self._world.new_id('h')}"
