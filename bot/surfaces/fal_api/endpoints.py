"""Which of fal's endpoints there are here, and the addresses that belong to a request."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from backends.base import MODELS, GenerationRequest, ModelName
from bot.surfaces.fal_api.errors import account

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`id` is `fal-ai/flux-2/lora`, say; requests are asked for at owner and app alone."""

    id: str
    model: ModelName

    @property
    def app(self) -> str:
        return app_of(self.id)


ENDPOINTS: Final = {
    request.endpoint: Endpoint(request.endpoint, model) for model, request in MODELS.items()
}


def app_of(endpoint: str) -> str:
    """Owner and app of an endpoint's id, without what follows."""
    return "/".join(endpoint.split("/")[:2])


def endpoint_of(request: Request) -> Endpoint:
    """The endpoint that a path names; a dependency.

    Raises:
        ApiError: 404, naming those that exist.
    """
    given = request.path_params
    name = "/".join(given[part] for part in ("owner", "app", "sub") if part in given)
    if (found := ENDPOINTS.get(name)) is None:
        known = " and ".join(ENDPOINTS)
        raise account(404, f"Application {name[:100]} not found; this server has {known}.")
    return found


def endpoint_id(request: GenerationRequest) -> str:
    """The endpoint that takes requests of this model."""
    return MODELS[request.model].endpoint


def base_of(request: Request, public_url: str | None) -> str:
    """Scheme and host under which we were called, for the addresses in our answers.

    No forwarding header is believed. Behind a proxy that ends TLS, only `public_url` tells that
    the outside says https: it counts where its host is the one that was used.

    Raises:
        ApiError: 400, for a Host that is none.
    """
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise account(400, "The Host header names no host.")
    if public_url is not None and urlsplit(public_url).netloc.lower() == host.lower():
        return f"{urlsplit(public_url).scheme}://{host}"
    return f"{request.url.scheme}://{host}"
