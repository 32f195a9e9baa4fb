"""Guarded fetchers with this instance's rules: which private hosts, which tokens to whom."""

import functools
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from bot.settings import Settings
from lora_registry.fetch import FetchRules, GuardedFetcher

Tokens = Mapping[str, SecretStr | None]


def guarded_fetcher(
    settings: Settings,
    tokens: Tokens | None = None,
    *,
    only: frozenset[str] | None = None,
    own: frozenset[str] = frozenset(),
) -> GuardedFetcher:
    """Reaches public hosts, or `only` these; of private ones those that the owner names or draws
    with, and those in `own`, which stand in the settings too. `tokens` go to their own origins
    only.
    """
    drawing = urlsplit(settings.fal_queue_url).hostname or ""
    hosts = frozenset({*settings.trusted_hosts, drawing, *own})
    return GuardedFetcher(
        FetchRules(trusted_hosts=hosts, allowed_hosts=only),
        tokens={origin: t.get_secret_value() for origin, t in (tokens or {}).items() if t},
        ssl_context=_tls(),
    )


def anonymous_fetcher() -> GuardedFetcher:
    """Reaches what anybody can reach, fal for example."""
    return GuardedFetcher(FetchRules(), ssl_context=_tls())


def with_tokens(settings: Settings) -> Tokens:
    """The owner's tokens for the places that LoRAs come from."""
    return {
        "https://huggingface.co": settings.hf_token,
        "https://civitai.com": settings.civitai_token,
    }


@functools.cache
def _tls() -> ssl.SSLContext:
    """One set of certificate authorities for every fetcher: reading them takes a while."""
    return httpx.create_ssl_context()
