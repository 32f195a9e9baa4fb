"""Everything that the endpoint's routes use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.multipart import MultipartUploads
from bot.signing import Signer
from bot.surfaces.fal_api.access import Access
from bot.surfaces.fal_api.surface import FalApiSurface
from bot.uploads import Uploads
from bot.webhooks_out import Webhooks

KEEP_ALIVE_S: Final = 10.0
"""A stream that has nothing to say says so this often; fal promises 15 s."""
LINGER_S: Final = 0.1
"""A stream stays open so long after its last event: the older JavaScript client looks for events
every 16 ms, and forgets those that it has not handed out when the stream closes."""
RUN_LIMIT_S: Final = 3600.0
"""A synchronous request that takes longer is called off."""


@dataclass(frozen=True, slots=True)
class FalApi:
    """`jwks` is the public part of the key that signs webhooks. `allow_unchecked` says whether a
    request may turn the safety checker off.
    """

    surface: FalApiSurface
    draw: Draw
    jobs: Jobs
    signer: Signer
    access: Access
    uploads: Uploads
    multipart: MultipartUploads
    webhooks: Webhooks
    jwks: Mapping[str, object]
    public_url: str | None = None
    allow_unchecked: bool = False
    keep_alive: float = KEEP_ALIVE_S
    run_limit: float = RUN_LIMIT_S
