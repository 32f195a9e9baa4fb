"""People on SimCord, and what they do there."""

from collections.abc import Mapping
from typing import Any, Final

from simcord import ChannelHandle, InteractionResult, MemberActor, UserHandle

from tests.scenarios.discord.seen import Card

_TEXT_INPUT: Final = 4


class Answer:
    """What came of a command, a click, a choice or a form, for who did it."""

    def __init__(self, who: "Person", result: InteractionResult) -> None:
        self.who = who
        self.result = result

    @property
    def card(self) -> Card:
        """The first answer that is still there; a private one after a withdrawn public one, too."""
        found = self.cards
        assert found, f"no message came of it: {self.result}"
        return found[0]

    @property
    def cards(self) -> list[Card]:
        messages = [self.result.response, *self.result.followups]
        return [
            Card(self.who.actor, message.id, self.who.channel)
            for message in messages
            if message is not None
        ]

    @property
    def text(self) -> str:
        return self.card.text

    @property
    def private(self) -> bool:
        return self.card.private

    @property
    def told(self) -> str:
        """What this person alone was told, beside a message that was changed."""
        return "\n".join(card.text for card in self.cards if card.private)

    @property
    def form(self) -> dict[str, str]:
        """The fields of the form that has opened, by their labels, with what stands in them."""
        return {label: field.get("value") or "" for label, field in self.fields.items()}

    async def fill(self, fields: Mapping[str, str]) -> "Answer":
        """Send the form with these fields changed; fields and options by what can be read there.

        The rest stays as it is.
        """
        known = self.fields
        assert fields.keys() <= known.keys(), f"the form has {list(known)}"
        values = {
            field["custom_id"]: _filled(field, fields[label])
            if label in fields
            else _prefilled(field)
            for label, field in known.items()
        }
        return Answer(self.who, await self.who.actor.submit_modal(self.result, values))

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The same as Discord has it."""
        modal = self.result.modal
        assert modal is not None, f"no form has opened: {self.result}"
        return {row["label"]: row["component"] for row in modal["components"] if "label" in row}


class Person:
    """Somebody in a channel of the server, or in a conversation with the bot."""

    def __init__(self, actor: MemberActor | UserHandle, channel: ChannelHandle) -> None:
        self.actor = actor
        self.channel = channel

    @property
    def id(self) -> int:
        return self.actor.id

    def at(self, channel: ChannelHandle) -> "Person":
        """The same person in another channel."""
        return Person(self.actor, channel)

    @property
    def in_private(self) -> "Person":
        """The same person in their conversation with the bot."""
        user = self.actor.user if isinstance(self.actor, MemberActor) else self.actor
        return Person(user, user.dm_channel)

    async def slash(self, name: str, /, **options: Any) -> Answer:
        """Send a command; a subcommand is named with a space."""
        if isinstance(self.actor, MemberActor):
            return Answer(self, await self.actor.slash(self.channel, name, **options))
        return Answer(self, await self.actor.slash(name, **options))

    async def types(self, name: str, /, **option: str) -> dict[str, str]:
        """What is offered while the last of these options is typed: value to what is read."""
        *filled, (focus, typed) = option.items()
        if isinstance(self.actor, MemberActor):
            found = await self.actor.autocomplete(self.channel, name, focus, typed, **dict(filled))
        else:
            found = await self.actor.autocomplete(name, focus, typed, **dict(filled))
        return {choice["value"]: choice["name"] for choice in found}

    async def menu(self, name: str, card: Card) -> Answer:
        """Choose an entry in the menu of a message."""
        assert isinstance(self.actor, MemberActor)
        message = self.sees(card).message
        assert message is not None
        return Answer(self, await self.actor.context_menu(self.channel, name, message))

    async def click(self, card: Card, label: str, *, beside: str | None = None) -> Answer:
        """Press a button; of several with this label the one beside a text that holds `beside`."""
        message = self.sees(card).message
        assert message is not None, "there is nothing to click any more"
        if beside is None:
            return Answer(self, await self.actor.click(message, label=label))
        [custom_id] = [
            button.custom_id
            for texts, button in self.sees(card).sided
            if button.label == label and any(beside in text for text in texts)
        ]
        return Answer(self, await self.actor.click(message, custom_id=custom_id))

    async def choose(self, card: Card, *labels: str) -> Answer:
        """Choose in the first menu that offers all these, by what can be read there."""
        seen = self.sees(card)
        assert seen.message is not None
        for menu in seen.menus:
            offered = {option.label: option.value for option in menu.options}
            if offered.keys() >= set(labels):
                values = [offered[label] for label in labels]
                break
        else:
            raise AssertionError(f"{labels} are not among {seen.offered}")
        return Answer(self, await self.actor.select(seen.message, values, custom_id=menu.custom_id))

    async def pick(self, card: Card, menu: str, *whom: Any) -> Answer:
        """Choose people, roles or channels in the menu whose placeholder or custom id has this."""
        seen = self.sees(card)
        assert seen.message is not None
        [custom_id] = [
            one.custom_id
            for one in seen.menus
            if menu in (one.placeholder or "") or menu in (one.custom_id or "")
        ]
        return Answer(self, await self.actor.select(seen.message, whom, custom_id=custom_id))

    async def says(self, text: str) -> Card:
        """Write a message."""
        assert isinstance(self.actor, MemberActor)
        return Card(self.actor, (await self.actor.send(self.channel, text)).id, self.channel)

    async def delete(self, card: Card) -> None:
        """Delete a message as people do, past the bot."""
        message = self.sees(card).message
        assert message is not None
        await self.actor.delete(message)

    def sees(self, card: Card) -> Card:
        """The same message with this person's eyes."""
        return Card(self.actor, card.id, self.channel)

    @property
    def reads(self) -> list[Card]:
        """Every message of the channel that this person sees, oldest first."""
        history = self.channel.history(viewer=self.actor)
        return [Card(self.actor, message.id, self.channel) for message in history]


def _filled(field: Mapping[str, Any], said: str) -> str | list[str]:
    """What is sent for what a person writes or chooses."""
    if field["type"] == _TEXT_INPUT:
        return said
    return [option["value"] for option in field["options"] if option["label"] == said]


def _prefilled(field: Mapping[str, Any]) -> str | list[str]:
    """What a field of a form holds before anybody touches it."""
    if field["type"] == _TEXT_INPUT:
        return str(field.get("value") or "")
    return [option["value"] for option in field.get("options", ()) if option.get("default")]
