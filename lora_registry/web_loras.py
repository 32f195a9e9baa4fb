"""LoRAs that a request names by an address of its own, without anybody having added them.

Which address led to which file is remembered, so that nothing is fetched twice. An address may hold
a token: only its hash is written down.
"""

import asyncio
import hashlib
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_registry._shelf import Loan
from lora_registry.address_book import AddressBook, KnownAddress
from lora_registry.addresses import may_hold_a_secret
from lora_registry.fetch import (
    AddressRefused,
    FetchError,
    GuardedFetcher,
    NotFetched,
    Progress,
)
from lora_registry.library import Library
from lora_registry.models import HuggingFaceSource, Source
from lora_registry.sources._asking import read_info
from lora_registry.sources.candidate import require_usable
from lora_registry.sources.places import remote_url
from lora_registry.weights import LoraInfo, inspect


@dataclass(frozen=True, slots=True)
class WebLora:
    """A file that is held; `public` where anybody may fetch the same address, without a token."""

    loan: Loan
    info: LoraInfo
    public: bool


class WebLoras:
    """`fetcher` may have tokens and trust private hosts. `anonymous` must do neither: what it
    reaches, a service such as fal can fetch by itself.
    """

    def __init__(
        self,
        library: Library,
        fetcher: GuardedFetcher,
        anonymous: GuardedFetcher,
        book: AddressBook,
    ) -> None:
        self._library = library
        self._fetcher = fetcher
        self._anonymous = anonymous
        self._book = book

    def check(self, url: str) -> None:
        """Look at the address alone, without asking anybody.

        Raises:
            AddressRefused
        """
        self._fetcher.check(url)

    async def get(
        self, url: str, require: Callable[[LoraInfo], None], on_progress: Progress
    ) -> WebLora:
        """Hold the file behind `url`, after `require` has let pass what it is.

        What `require` raises comes before the download and as it is.

        Raises:
            FetchError: it cannot be had.
            XX: it cannot be kept.
        """
        address = _hashed(url)
        loan, known = await self._kept(address) or await self._bring(
            url, address, require, on_progress
        )
        try:
            info = await asyncio.to_thread(inspect, loan.path)
            require(info)
            return WebLora(loan, info, await self._is_public(url, address, known))
        except BaseException:
            loan.release()
            raise

    async def public_url(self, sha256: str, sources: Sequence[Source]) -> str | None:
        """An address of a known LoRA that anybody may fetch and that always leads to its bytes.

        Only one of a Hugging Face commit does; what is at another may change unseen.
        """
        for source in sources:
            if isinstance(source, HuggingFaceSource):
                url = remote_url(source)
                address = _hashed(url)
                known = await self._book.find(address) or KnownAddress(sha256)
                if await self._is_public(url, address, known):
                    return url
        return None

    async def _kept(self, address: str) -> tuple[Loan, KnownAddress] | None:
        known = await self._book.find(address)
        loan = await self._library.borrow(known.sha256) if known else None
        return (loan, known) if loan and known else None

    async def _bring(
        self, url: str, address: str, require: Callable[[LoraInfo], None], on_progress: Progress
    ) -> tuple[Loan, KnownAddress]:
        info = await read_info(self._fetcher, url)
        require_usable(info)
        require(info)
        loan = await self._library.add_address(url, info.size, on_progress)
        known = KnownAddress(loan.sha256)
        await self._book.put(address, known)
        return loan, known

    async def _is_public(self, url: str, address: str, known: KnownAddress) -> bool:
        """Whether anybody may fetch the address, noted where that can be told now."""
        if known.public is not None:
            return known.public
        public = urllib.parse.urlsplit(url).scheme.lower() == "https" and not may_hold_a_secret(url)
        try:
            if public:
                await self._anonymous.read_start(url, 1)
        except (NotFetched, AddressRefused):
            public = False
        except FetchError:
            return False  # it may answer the next time
        await self._book.put(address, KnownAddress(known.sha256, public))
        return public


def _hashed(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
