"""LoRAs by an address of the request's own: looked at first, fetched once, remembered by a hash."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.database import Database, load_migrations
from lora_registry import address_book
from lora_registry.address_book import AddressBook, KnownAddress
from lora_registry.addresses import file_name, without_query
from lora_registry.fetch import AddressRefused, FetchRules, NotFetched
from lora_registry.library import Library, StillUsed
from lora_registry.lora_store import LoraStore
from lora_registry.models import HttpsSource, HuggingFaceSource, Source
from lora_registry.sources.candidate import NotUsable
from lora_registry.sources.places import Places
from lora_registry.tables import MIGRATIONS
from lora_registry.web_loras import WebLora, WebLoras
from lora_registry.weights import LoraInfo, WeightsError, WrongModel
from tests.lora_registry import loras
from tests.lora_registry.sites import File, Internet, lora_bytes, sha256
from tests.lora_registry.web import Page, Request, page

URL = "https://files.example/ink.safetensors"
INK = lora_bytes("ink")
OPEN = FetchRules(min_free_bytes=0, connect_timeout=5, read_timeout=5, deadline=60)


def flux_1(info: LoraInfo) -> None:
    info.require_model("flux-1")


def nobody(_saved: int, _total: int | None) -> None:
    """A listener without interest."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "registry.db", load_migrations(MIGRATIONS))
    yield database
    await database.close()


@pytest.fixture
def make(web: Internet, database: Database, tmp_path: Path) -> Callable[[], WebLoras]:
    """Builds what a process has; the database and the folder stay."""

    def make() -> WebLoras:
        fetcher = web.fetcher(OPEN, {"https://huggingface.co": "hf_secret"})
        library = Library(
            tmp_path / "library", fetcher, Places(fetcher, []), LoraStore(database), min_free=0
        )
        return WebLoras(library, fetcher, web.fetcher(OPEN), AddressBook(database))

    return make


@pytest.fixture
def web_loras(make: Callable[[], WebLoras]) -> WebLoras:
    return make()


async def get(web_loras: WebLoras, url: str = URL) -> WebLora:
    return await web_loras.get(url, flux_1, nobody)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def whole(web: Internet, path: str = "/ink.safetensors") -> int:
    """How often the whole file was asked for."""
    return sum("range" not in one.headers for one in web.asked(path))


async def test_an_address_is_fetched_once_also_after_a_restart(
    web: Internet, make: Callable[[], WebLoras]
) -> None:
    web.serve("/ink.safetensors", File(INK))
    first = await get(make())
    assert (first.loan.sha256, first.loan.path.read_bytes()) == (sha256(INK), INK)
    asked = len(web.site.requests)
    again = await get(make())
    assert (again.loan.sha256, again.public) == (first.loan.sha256, True)
    assert len(web.site.requests) == asked


async def test_jobs_that_need_it_at_once_fetch_it_once(web: Internet, web_loras: WebLoras) -> None:
    web.serve("/ink.safetensors", File(INK))
    one, two = await asyncio.gather(get(web_loras), get(web_loras))
    assert one.loan.path == two.loan.path
    assert whole(web) == 1


async def test_a_file_that_somebody_has_tidied_away_is_fetched_again(
    web: Internet, web_loras: WebLoras
) -> None:
    web.serve("/ink.safetensors", File(INK))
    (await get(web_loras)).loan.path.unlink()
    assert (await get(web_loras)).loan.path.read_bytes() == INK
    assert whole(web) == 2


async def test_the_file_stays_while_it_is_held(web: Internet, web_loras: WebLoras) -> None:
    web.serve("/ink.safetensors", File(INK))
    got = await get(web_loras)
    with pytest.raises(StillUsed):
        await web_loras._library.remove(got.loan.sha256)
    got.loan.release()
    await web_loras._library.remove(got.loan.sha256)


# --- Refusals ---------------------------------------------------------------------------------


async def test_a_lora_for_another_model_is_refused_by_its_header_alone(
    web: Internet, web_loras: WebLoras
) -> None:
    flux_2 = loras.only(loras.flux2(), "transformer_blocks.0.attn.to_q", "linear_in")
    web.serve("/ink.safetensors", File(lora_bytes(layers=flux_2)))
    with pytest.raises(WrongModel):
        await get(web_loras)
    assert whole(web) == 0


async def test_a_lora_that_is_here_is_refused_for_another_model_and_let_go(
    web: Internet, web_loras: WebLoras
) -> None:
    web.serve("/ink.safetensors", File(INK))
    digest = (await get(web_loras)).loan.sha256
    with pytest.raises(WrongModel):
        await web_loras.get(URL, lambda info: info.require_model("flux-2"), nobody)
    await web_loras._library.remove(digest)


async def test_a_lora_for_no_model_of_ours_is_refused_before_the_download(
    web: Internet, web_loras: WebLoras
) -> None:
    other = {"down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k": (2048, 640)}
    web.serve("/ink.safetensors", File(lora_bytes(layers=other)))
    with pytest.raises(NotUsable, match="Stable Diffusion XL"):
        await get(web_loras)
    assert whole(web) == 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [(page(status=404), NotFetched), (page(b"<!DOCTYPE html>"), WeightsError)],
)
async def test_what_cannot_be_had_leaves_nothing(
    web: Internet, web_loras: WebLoras, tmp_path: Path, answer: Page, error: type[Exception]
) -> None:
    web.serve("/ink.safetensors", answer)
    with pytest.raises(error):
        await get(web_loras)
    assert not files(tmp_path / "library")


async def test_a_file_that_differs_from_its_header_is_thrown_away(
    web: Internet, web_loras: WebLoras, tmp_path: Path
) -> None:
    async def two_faced(request: Request, writer: asyncio.StreamWriter) -> None:
        good = "range" in request.headers
        await page(INK if good else bytes(len(INK)))(request, writer)

    web.serve("/ink.safetensors", two_faced)
    with pytest.raises(WeightsError):
        await get(web_loras)
    assert not files(tmp_path / "library")


@pytest.mark.parametrize(
    "url", ["http://files.example/x", "https://127.0.0.1/x", "https://user:pass@files.example/x"]
)
def test_an_address_that_may_not_be_fetched_is_refused_before_anybody_is_asked(
    web: Internet, web_loras: WebLoras, url: str
) -> None:
    with pytest.raises(AddressRefused):
        web_loras.check(url)
    assert not web.site.requests


# --- Public or not ----------------------------------------------------------------------------


async def test_a_file_that_needs_our_token_is_fetched_but_not_public(
    web: Internet, web_loras: WebLoras
) -> None:
    async def gated(request: Request, writer: asyncio.StreamWriter) -> None:
        shown = request.headers.get("authorization") == "Bearer hf_secret"
        await (File(INK) if shown else page(status=401))(request, writer)

    web.serve("/gated.safetensors", gated)
    assert not (await get(web_loras, "https://huggingface.co/gated.safetensors")).public


@pytest.mark.parametrize(
    ("query", "public"),
    [
        ("type=Model&format=SafeTensor", True),
        ("token=x", False),
        ("X-Amz-Signature=x", False),
        ("access_token", False),
    ],
)
async def test_an_address_with_what_may_be_a_secret_is_not_public(
    web: Internet, web_loras: WebLoras, query: str, public: bool
) -> None:
    web.serve("/ink.safetensors", File(INK))
    assert (await get(web_loras, f"{URL}?{query}")).public is public


async def test_an_address_that_did_not_answer_anonymously_is_asked_again_the_next_time(
    web: Internet, web_loras: WebLoras
) -> None:
    down = True

    async def overloaded(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers.get("range") == "bytes=0-0" and down:
            writer.close()
        await File(INK)(request, writer)

    web.serve("/ink.safetensors", overloaded)
    assert not (await get(web_loras)).public
    down = False
    assert (await get(web_loras)).public


async def test_a_known_lora_has_a_public_address_only_where_a_commit_pins_its_bytes(
    web: Internet, web_loras: WebLoras
) -> None:
    shown, hidden = (
        HuggingFaceSource(repo=f"ada/{name}", commit="0" * 40, file="ink.safetensors")
        for name in ("shown", "hidden")
    )
    path = f"/ada/shown/resolve/{'0' * 40}/ink.safetensors"
    web.serve(path, File(INK))
    web.serve("/ink.safetensors", File(INK))
    sources: list[Source] = [HttpsSource(url=URL), hidden, shown]
    for _ in range(2):
        found = await web_loras.public_url(sha256(INK), sources)
        assert found == f"https://huggingface.co{path}"
    assert await web_loras.public_url(sha256(INK), sources[:2]) is None
    assert not any("authorization" in one.headers for one in web.site.requests)
    assert len(web.site.requests) == 2


# --- Remembering ------------------------------------------------------------------------------


async def test_no_address_is_written_down_since_it_may_hold_a_token(
    web: Internet, web_loras: WebLoras, tmp_path: Path
) -> None:
    web.serve("/ink.safetensors", File(INK))
    url = f"{URL}?token=do-not-keep-me"
    await get(web_loras, url)
    written = [path.read_bytes() for path in files(tmp_path)]
    assert any(hashlib.sha256(url.encode()).hexdigest().encode() in data for data in written)
    assert not any(b"do-not-keep-me" in data for data in written)


async def test_what_an_address_led_to_is_forgotten_after_half_a_year(database: Database) -> None:
    now = 1_800_000_000.0
    book = AddressBook(database, lambda: now)
    await book.put("a", KnownAddress("0" * 64, public=True))
    assert await book.find("a") == KnownAddress("0" * 64, public=True)
    now += address_book.KEPT_S + 1
    await book.put("b", KnownAddress("1" * 64))
    assert await book.find("a") is None
    assert await book.find("b") == KnownAddress("1" * 64, None)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"{URL}?token=x", "ink.safetensors"),
        ("https://files.example/a%20b.safetensors", "a b.safetensors"),
        ("https://files.example/x\u202ey.safetensors", "xy.safetensors"),
        ("https://files.example/", "files.example"),
    ],
)
def test_people_read_the_name_of_the_file(url: str, name: str) -> None:
    assert file_name(url) == name
    assert without_query(url) == url.removesuffix("?token=x")
