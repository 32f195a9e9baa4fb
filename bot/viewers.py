"""Who somebody is to the registry: which role, and how much they may see where they are."""

from typing import Final

from bot.communities import CommunitySettings, Effective
from bot.jobs.job import Place
from bot.permissions import Requester, is_moderator
from lora_registry.models import MAX_NSFW, Role, Viewer

_OPEN_CEILING: Final = 1
"""The highest NSFW level where nothing says that everybody is grown up. Whoever gives a key to a
program answers for that."""

_MEMBER: Final = frozenset({Role.MEMBER})


def viewer(here: Effective[CommunitySettings], requester: Requester, place: Place) -> Viewer:
    """The viewer that a requester is at a place."""
    grown_up = place.age_restricted or requester.owner or requester.program
    return Viewer(
        community=place.community,
        requester=requester.id,
        roles=_MEMBER | {_role(here, requester)},
        nsfw_ceiling=MAX_NSFW if grown_up else _OPEN_CEILING,
    )


def _role(here: Effective[CommunitySettings], requester: Requester) -> Role:
    if requester.owner:
        return Role.OPERATOR
    if requester.manager:
        return Role.MANAGER
    return Role.CURATOR if is_moderator(here, requester) else Role.MEMBER
