"""Permissions add up as Discord documents it."""

import pytest

from tests.fakes.discord import Channel, FakeDiscord, May, User
from tests.fakes.discord.permissions import EVERYTHING, in_channel, of_app


@pytest.fixture
def discord() -> FakeDiscord:
    return FakeDiscord()


def test_a_members_own_overwrite_beats_roles_and_roles_beat_everyone(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    assert place.guild is not None
    quiet, loud = discord.role(place.guild, "quiet"), discord.role(place.guild, "loud")
    discord.join(place.guild, ana, quiet, loud)
    discord.allow(place, place.guild.everyone, deny=May.SEND_MESSAGES)
    assert not in_channel(ana, place) & May.SEND_MESSAGES
    discord.allow(place, quiet, deny=May.SEND_MESSAGES)
    discord.allow(place, loud, allow=May.SEND_MESSAGES)
    assert in_channel(ana, place) & May.SEND_MESSAGES
    discord.allow(place, ana, deny=May.SEND_MESSAGES)
    granted = in_channel(ana, place)
    assert not granted & May.SEND_MESSAGES
    assert not granted & May.ATTACH_FILES


def test_who_does_not_see_a_channel_may_do_nothing_in_it_or_its_threads(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    thread = discord.thread(place, "cats")
    assert in_channel(ana, thread) & May.SEND_MESSAGES_IN_THREADS
    discord.allow(place, ana, deny=May.VIEW_CHANNEL)
    assert in_channel(ana, place) == in_channel(ana, thread) == 0


def test_owners_and_administrators_may_everything(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    assert place.guild is not None
    discord.allow(place, place.guild.everyone, deny=May.VIEW_CHANNEL)
    assert in_channel(discord.owner, place) == EVERYTHING
    discord.join(place.guild, ana, discord.role(place.guild, "admin", May.ADMINISTRATOR))
    assert in_channel(ana, place) == EVERYTHING


def test_who_is_timed_out_may_only_read(discord: FakeDiscord, ana: User, place: Channel) -> None:
    assert place.guild is not None
    place.guild.members[ana.id].timed_out = True
    assert in_channel(ana, place) == May.VIEW_CHANNEL | May.READ_MESSAGE_HISTORY


def test_strangers_may_nothing_and_an_app_of_a_person_what_everyone_may(
    discord: FakeDiscord, ana: User
) -> None:
    away = discord.guild("Away", has_bot=False).channel("general")
    assert in_channel(ana, away) == 0
    assert of_app(discord.bot, away) & May.SEND_MESSAGES
    assert in_channel(discord.bot, discord.dm(ana, discord.user("Ben"))) == 0
