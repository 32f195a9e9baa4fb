"""LoRAs from the web, against real servers: looked at first, fetched once, thrown away in order."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backends.base import LoraRef
from bot.database import Database
from bot.jobs.store import migrations
from bot.jobs.supervisor import LoraUnavailable
from bot.lora_downloads import IN_USE_S, LoraDownloads, file_name, without_query
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.uploads import Uploads
from lora_registry.fetch import FetchRules, GuardedFetcher
from tests.lora_registry.loras import Layers, factors, flux1, flux2, only, write
from tests.lora_registry.web import PUBLIC, Authority, Page, Request, Resolver, Site, Wires, page

FLUX_1 = only(flux1(), "transformer_blocks.0.attn.to_q")
FLUX_2 = only(flux2(), "transformer_blocks.0.attn.to_q")
URL = "https://files.example/ghibli.safetensors"
RULES = FetchRules(min_free_bytes=0, connect_timeout=2, read_timeout=2, deadline=10)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Reports:
    """What is said while a file is fetched."""

    said: list[tuple[str, float | None]] = field(default_factory=list)

    def __call__(self, what: str, fraction: float | None) -> None:
        self.said.append((what, fraction))


def lora(folder: Path, layers: Layers = FLUX_1, rank: int = 4) -> bytes:
    return write(folder / "made.safetensors", factors(layers, rank=rank)).read_bytes()


def token_wanted(body: bytes, token: str) -> Page:
    """A page for whoever shows the token."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        shown = request.headers.get("authorization") == f"Bearer {token}"
        await (page(body) if shown else page(status=401))(request, writer)

    return answer


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def site(authority: Authority, tmp_path: Path) -> AsyncIterator[Site]:
    """An https server whose names are files.example and gated.example."""
    site = Site({"/ghibli.safetensors": page(lora(tmp_path))})
    async with site.serving(authority.server("files.example", "gated.example")):
        yield site


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    yield database
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lora-cache"


Make = Callable[..., LoraDownloads]


@pytest.fixture
async def make(
    authority: Authority, site: Site, database: Database, folder: Path, clock: Clock
) -> AsyncIterator[Make]:
    """Builds what a process of Atelier has; the database and the folder stay."""
    async with contextlib.AsyncExitStack() as stack:
        resolver = Resolver({"files.example": [[PUBLIC]], "gated.example": [[PUBLIC]]})

        async def fetcher(**tokens: str) -> GuardedFetcher:
            return await stack.enter_async_context(
                GuardedFetcher(
                    RULES,
                    tokens={f"https://{name}.example": token for name, token in tokens.items()},
                    resolve=resolver,
                    network=Wires(lambda: site.port),
                    ssl_context=authority.trusted(),
                )
            )

        fetchers = await fetcher(gated="secret"), await fetcher()

        def make(quota: int = 2**30) -> LoraDownloads:
            return LoraDownloads(database, folder, *fetchers, quota=quota, clock=clock)

        yield make


@pytest.fixture
def downloads(make: Make) -> LoraDownloads:
    return make()


def whole(site: Site, path: str = "/ghibli.safetensors") -> int:
    """How often the whole file was asked for."""
    return sum(r.path.partition("?")[0] == path and "range" not in r.headers for r in site.requests)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- Fetching ---------------------------------------------------------------------------------


async def test_a_lora_is_fetched_with_its_progress_told(
    downloads: LoraDownloads, folder: Path, tmp_path: Path
) -> None:
    reports = Reports()
    got = await downloads.get(URL, "flux-1", reports)
    sha256 = hashlib.sha256((tmp_path / "made.safetensors").read_bytes()).hexdigest()
    assert (got.sha256, got.path) == (sha256, folder / f"{sha256}.safetensors")
    assert got.path.read_bytes() == (tmp_path / "made.safetensors").read_bytes()
    assert {what for what, _ in reports.said} == {"downloading the LoRA ghibli"}
    assert reports.said[-1][1] == 1.0


async def test_a_second_job_and_a_restart_fetch_nothing(make: Make, site: Site) -> None:
    first = await make().get(URL, "flux-1", Reports())
    asked = len(site.requests)
    downloads, reports = make(), Reports()
    await downloads.start()
    assert await downloads.get(URL, "flux-1", reports) == first
    assert len(site.requests) == asked
    assert reports.said == []


async def test_two_jobs_that_need_the_same_lora_at_once_fetch_it_once(
    downloads: LoraDownloads, site: Site
) -> None:
    first, second = Reports(), Reports()
    one, two = await asyncio.gather(
        downloads.get(URL, "flux-1", first), downloads.get(URL, "flux-1", second)
    )
    assert one == two
    assert whole(site) == 1
    assert second.said == [("downloading the LoRA ghibli", None)]


async def test_a_job_that_is_cancelled_while_it_fetches_leaves_the_work_to_the_next(
    downloads: LoraDownloads, site: Site, folder: Path, tmp_path: Path
) -> None:
    arrived = asyncio.Event()
    body = lora(tmp_path)

    async def stalling(request: Request, writer: asyncio.StreamWriter) -> None:
        if "range" not in request.headers and not arrived.is_set():
            arrived.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await writer.drain()
            await asyncio.sleep(30)
        await page(body)(request, writer)

    site.pages["/ghibli.safetensors"] = stalling
    first = asyncio.create_task(downloads.get(URL, "flux-1", Reports()))
    await asyncio.wait_for(arrived.wait(), 10)
    second = asyncio.create_task(downloads.get(URL, "flux-1", Reports()))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await second).path.read_bytes() == body
    assert [path.suffix for path in files(folder)] == [".safetensors"]


async def test_a_file_that_somebody_has_tidied_away_is_fetched_again(
    downloads: LoraDownloads, site: Site
) -> None:
    got = await downloads.get(URL, "flux-1", Reports())
    got.path.unlink()
    again = await downloads.get(URL, "flux-1", Reports())
    assert again.path.is_file()
    assert whole(site) == 2


async def test_what_a_killed_process_left_is_gone_after_the_next_start(
    downloads: LoraDownloads, folder: Path
) -> None:
    got = await downloads.get(URL, "flux-1", Reports())
    (folder / ".0123456789abcdef.part").write_bytes(b"half")
    (folder / f"{'0' * 64}.safetensors").write_bytes(b"whole, but not noted")
    await downloads.start()
    assert files(folder) == [got.path]


# --- Refusals ---------------------------------------------------------------------------------


async def test_a_lora_for_another_model_is_refused_by_its_header_alone(
    downloads: LoraDownloads, site: Site, tmp_path: Path
) -> None:
    site.pages["/other.safetensors"] = page(lora(tmp_path, FLUX_2, rank=64))
    with pytest.raises(LoraUnavailable) as caught:
        await downloads.get(
            "https://files.example/other.safetensors?token=secret", "flux-1", Reports()
        )
    assert str(caught.value) == (
        "The LoRA files.example/other.safetensors is for FLUX.2 [dev]; this would be drawn with "
        "flux-1. Choose another LoRA or model."
    )
    assert whole(site, "/other.safetensors") == 0


async def test_a_lora_that_is_here_is_refused_for_another_model_too(
    downloads: LoraDownloads,
) -> None:
    await downloads.get(URL, "flux-1", Reports())
    with pytest.raises(LoraUnavailable, match=r"ghibli\.safetensors is for FLUX\.1"):
        await downloads.get(URL, "flux-2", Reports())


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (page(status=404), "there is nothing at this address (404)"),
        (page(status=403), "the site asks for permission (403)"),
        (page(b"<!DOCTYPE html><title>Sign in</title>"), "The LoRA files.example/x.safetensors"),
        (page(b"\xff" * 100), "The LoRA files.example/x.safetensors cannot be used."),
        (page(status=302, headers={"Location": "https://10.0.0.1/x"}), "10.0.0.1 was refused"),
    ],
)
async def test_what_cannot_be_had_is_a_sentence_that_names_it_without_its_query(
    downloads: LoraDownloads, site: Site, folder: Path, answer: Page, sentence: str
) -> None:
    site.pages["/x.safetensors"] = answer
    with pytest.raises(LoraUnavailable) as caught:
        await downloads.get("https://files.example/x.safetensors?token=abc", "flux-1", Reports())
    assert sentence in str(caught.value)
    assert "files.example/x.safetensors" in str(caught.value)
    assert "abc" not in str(caught.value)
    assert files(folder) == []


async def test_a_file_that_differs_from_its_header_is_thrown_away(
    downloads: LoraDownloads, site: Site, folder: Path, tmp_path: Path
) -> None:
    body = lora(tmp_path)

    async def two_faced(request: Request, writer: asyncio.StreamWriter) -> None:
        good = "range" in request.headers
        await page(body if good else b"\0" * len(body))(request, writer)

    site.pages["/x.safetensors"] = two_faced
    with pytest.raises(LoraUnavailable, match=r"x\.safetensors cannot be used"):
        await downloads.get("https://files.example/x.safetensors", "flux-1", Reports())
    assert files(folder) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example/x.safetensors",
        "https://127.0.0.1/x.safetensors",
        "https://files.example:8443/x.safetensors",
        "https://user:pass@files.example/x.safetensors",
        "https://localhost/x.safetensors",
        "https://[::1]/x",
        "https://[broken/x",
    ],
)
async def test_an_address_that_may_not_be_fetched_is_refused_before_anybody_is_asked(
    downloads: LoraDownloads, site: Site, url: str
) -> None:
    with pytest.raises(LoraUnavailable) as caught:
        downloads.check(url)
    assert "pass" not in str(caught.value)
    assert site.requests == []


# --- Public or not ----------------------------------------------------------------------------


async def test_an_address_that_answers_without_a_token_is_public(
    downloads: LoraDownloads, make: Make, site: Site
) -> None:
    assert (await downloads.get(URL, "flux-1", Reports())).public
    asked = len(site.requests)
    assert (await make().get(URL, "flux-1", Reports())).public
    assert len(site.requests) == asked


async def test_a_file_that_needs_our_token_is_fetched_but_not_public(
    downloads: LoraDownloads, site: Site, tmp_path: Path
) -> None:
    site.pages["/gated.safetensors"] = token_wanted(lora(tmp_path), "secret")
    got = await downloads.get("https://gated.example/gated.safetensors", "flux-1", Reports())
    assert not got.public
    assert got.path.is_file()


@pytest.mark.parametrize(
    "query", ["token=x", "api_key=x", "X-Amz-Signature=x", "Expires=1&sig=x", "access_token"]
)
async def test_an_address_with_what_may_be_a_secret_is_not_public(
    downloads: LoraDownloads, query: str
) -> None:
    assert not (await downloads.get(f"{URL}?{query}", "flux-1", Reports())).public


async def test_other_queries_are_as_public_as_any_address(downloads: LoraDownloads) -> None:
    url = f"{URL}?type=Model&format=SafeTensor"
    assert (await downloads.get(url, "flux-1", Reports())).public


async def test_a_backend_is_handed_a_public_address_whole_and_a_name_without_its_query(
    downloads: LoraDownloads, database: Database, tmp_path: Path
) -> None:
    uploads = Uploads(database, tmp_path / "uploads")
    sources = LoraSources(LoraFolder([]), uploads, downloads)
    url = f"{URL}?type=Model"
    file = await sources.prepare(LoraRef(path=url, scale=0.8), "flux-1", Reports())
    assert (file.name, file.public_url, file.scale) == (URL, url, 0.8)
    private = await sources.prepare(LoraRef(path=f"{URL}?token=x"), "flux-1", Reports())
    assert (private.name, private.public_url) == (URL, None)


async def test_an_address_that_did_not_answer_anonymously_is_asked_again_the_next_time(
    downloads: LoraDownloads, site: Site, tmp_path: Path
) -> None:
    body, down = lora(tmp_path), True

    async def overloaded(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers.get("range") == "bytes=0-0" and down:
            writer.close()
        await page(body)(request, writer)

    site.pages["/x.safetensors"] = overloaded
    url = "https://files.example/x.safetensors"
    assert not (await downloads.get(url, "flux-1", Reports())).public
    down = False
    assert (await downloads.get(url, "flux-1", Reports())).public


async def test_no_address_is_written_down_since_it_may_hold_a_token(
    downloads: LoraDownloads, tmp_path: Path
) -> None:
    await downloads.get(f"{URL}?token=do-not-keep-me", "flux-1", Reports())
    written = [path.read_bytes() for path in files(tmp_path)]
    assert any(
        hashlib.sha256(f"{URL}?token=do-not-keep-me".encode()).hexdigest().encode() in data
        for data in written
    )
    assert not any(b"do-not-keep-me" in data for data in written)


# --- Room -------------------------------------------------------------------------------------


async def test_the_least_recently_used_goes_when_there_is_no_room(
    make: Make, site: Site, clock: Clock, folder: Path, tmp_path: Path
) -> None:
    bodies = {name: lora(tmp_path, rank=rank) for name, rank in (("a", 4), ("b", 5), ("c", 6))}
    for name, body in bodies.items():
        site.pages[f"/{name}.safetensors"] = page(body)
    downloads = make(quota=len(bodies["a"]) + len(bodies["c"]))

    async def use(name: str) -> Path:
        clock.now += 60
        url = f"https://files.example/{name}.safetensors"
        return (await downloads.get(url, "flux-1", Reports())).path

    first, second = await use("a"), await use("b")
    assert await use("a") == first  # now `b` is the one that was used longest ago
    clock.now += IN_USE_S
    third = await use("c")
    assert set(files(folder)) == {first, third}
    assert not second.exists()


async def test_what_a_job_may_be_using_is_never_thrown_away(
    make: Make, site: Site, clock: Clock, folder: Path, tmp_path: Path
) -> None:
    site.pages["/large.safetensors"] = page(lora(tmp_path, rank=5))
    downloads = make(quota=len(lora(tmp_path, rank=4)) + 1000)
    kept = await downloads.get(URL, "flux-1", Reports())
    clock.now += IN_USE_S - 1
    with pytest.raises(LoraUnavailable, match="There is no room for another LoRA now"):
        await downloads.get("https://files.example/large.safetensors", "flux-1", Reports())
    assert files(folder) == [kept.path]
    assert whole(site, "/large.safetensors") == 0


# --- Names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "ghibli"),
        ("https://files.example/a%20b.safetensors?token=x", "a b"),
        ("https://civitai.com/api/download/models/123?type=Model", "123"),
        ("https://files.example/", "files.example"),
        ("https://files.example/x\u202ey.safetensors", "xy"),
    ],
)
def test_people_read_the_name_of_the_file(url: str, name: str) -> None:
    assert file_name(url) == name


def test_without_its_query_an_address_holds_no_secret() -> None:
    assert without_query(f"{URL}?token=x#y") == URL
