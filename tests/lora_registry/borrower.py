"""A process that fetches a file into a library, or holds one that is there, until it is killed.

python -m tests.lora_registry.borrower FOLDER URL SIZE
python -m tests.lora_registry.borrower FOLDER SHA256
"""

import asyncio
import sys
from pathlib import Path

from lora_registry.fetch import FetchRules, GuardedFetcher
from lora_registry.library import Library
from lora_registry.models import Source
from lora_registry.sources.places import Places


class NoLedger:
    async def mark(self, sha256: str, source: Source, failure: str | None = None) -> None:
        raise AssertionError


async def main(folder: str, what: str, size: str = "0") -> None:
    rules = FetchRules(min_free_bytes=0, trusted_hosts=frozenset({"127.0.0.1"}))
    async with GuardedFetcher(rules) as fetcher:
        library = Library(Path(folder), fetcher, Places(fetcher, []), NoLedger(), min_free=0)
        if what.startswith("http"):
            await library.add_address(what, int(size), lambda *_: None)
        else:
            loan = await library.borrow(what)
            assert loan is not None
            print("held", flush=True)
            await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
