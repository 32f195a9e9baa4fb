"""What makes Discord take a message once. Custom ids are those of every chat."""

import base64
import hashlib

from bot.surfaces.ids import EDITED as EDITED
from bot.surfaces.ids import MOST as MOST
from bot.surfaces.ids import TEMPLATE as TEMPLATE
from bot.surfaces.ids import VARIATION as VARIATION
from bot.surfaces.ids import CustomId as CustomId
from bot.surfaces.ids import read as read


def nonce(job_id: str, what: str = "result") -> str:
    """What makes Discord take a post about a job once only: 24 of at most 25 characters."""
    digest = hashlib.sha256(f"{what} {job_id}".encode()).digest()[:18]
    return base64.urlsafe_b64encode(digest).decode()
