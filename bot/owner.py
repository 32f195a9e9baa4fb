"""Who sits at the command line: the owner of this instance."""

from typing import Final

from bot.permissions import Requester
from lora_registry.models import MAX_NSFW, Role, Viewer

HANDLE: Final = "local"
"""What comes before the slash in the names of presets that are made at the command line."""

OWNER: Final = Requester("owner", owner=True)
"""The owner to everything that is not the registry."""


def owner_viewer() -> Viewer:
    """The owner, who may do everything that an owner may and see everything that is here."""
    roles = frozenset({Role.MEMBER, Role.CURATOR, Role.MANAGER, Role.OPERATOR})
    return Viewer("local", "owner", roles, MAX_NSFW)
