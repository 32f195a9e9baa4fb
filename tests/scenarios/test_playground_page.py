"""The playground in a real browser, against the real service with the demo model."""

import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from backends.local.families import DEMO_MODEL
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

RED, BLUE = (220, 40, 40), (45, 80, 220)
CIRCLE = "a large red circle at the center on a blue background"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert DEMO_MODEL.is_dir()
    with CommandLine(tmp_path_factory.mktemp("playground")).running() as service:
        yield service


def open_page(context: BrowserContext, url: str) -> Page:
    """The page, connected; whatever it complains about in the console fails the test."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.on("pageerror", lambda error: pytest.fail(f"page error: {error}"))
    page.goto(url)
    expect(page.locator("#words")).to_be_focused(timeout=20_000)
    return page


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield open_page(context, service.url)
    context.close()


def card_of(page: Page, act: Callable[[], None], route: str = "/api/imagine") -> Locator:
    """Do something that submits a job, and return the job's card."""
    with page.expect_response(lambda answer: answer.url.endswith(route)) as answer:
        act()
    card = page.locator(f'li[data-job="{answer.value.json()["id"]}"]')
    expect(card).to_be_visible()
    return card


def send(page: Page, text: str) -> Locator:
    """Type a command, send it, and return its card."""

    def type_it() -> None:
        page.fill("#words", text)
        page.keyboard.press("Escape")  # suggestions would take some keys for themselves
        page.keyboard.press("Enter")

    return card_of(page, type_it)


def until_done(card: Locator) -> Locator:
    expect(card).to_have_attribute("data-state", "done", timeout=PATIENCE_S * 1000)
    return card


def picture(page: Page, card: Locator) -> Image.Image:
    source = card.locator(".print img").first.get_attribute("src")
    assert source is not None
    answer = page.request.get(page.url.rstrip("/") + source)
    return Image.open(io.BytesIO(answer.body())).convert("RGB")


def is_near(colour: object, wanted: tuple[int, int, int]) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(one - other) < 60 for one, other in zip(colour, wanted, strict=True))


def test_typing_a_prompt_gives_the_picture_in_its_colours(page: Page) -> None:
    card = send(page, f"/imagine {CIRCLE} --steps 8 --seed 3 --size square --format png")
    until_done(card)
    image = picture(page, card)
    width, height = image.size
    assert is_near(image.getpixel((width // 2, height // 2)), RED)
    assert is_near(image.getpixel((3, 3)), BLUE)
    expect(card.get_by_text("seed 3")).to_be_visible()


WATCH = """() => {
    const seen = (window.seen = { bars: new Set(), lines: new Set(), veils: 0 });
    const all = (what) => [...document.querySelectorAll(what)];
    new MutationObserver(() => {
        all("progress").forEach((bar) => seen.bars.add(bar.value));
        all(".status").forEach((line) => seen.lines.add(line.textContent));
        seen.veils = Math.max(seen.veils, all(".veiled").length);
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""
"""Notes what a person could have seen meanwhile; the demo model draws faster than a test looks."""


def test_progress_and_a_veiled_preview_are_shown_while_it_is_drawn(page: Page) -> None:
    page.evaluate(WATCH)
    card = until_done(send(page, f"{CIRCLE} --steps 50 --images 4"))
    bars = page.evaluate("() => [...window.seen.bars]")
    lines = " ".join(page.evaluate("() => [...window.seen.lines]"))
    assert len(bars) >= 3
    assert max(bars) <= 1
    assert "/200" in lines or "of 200" in lines, lines
    assert page.evaluate("() => window.seen.veils") >= 1
    expect(card.locator(".veiled")).to_have_count(0)
    expect(card.locator(".print img")).to_have_count(4)


def test_the_pepper_is_blurred_and_a_click_reveals_it(page: Page) -> None:
    card = until_done(send(page, "a red chili pepper on a white background --steps 8 --seed 2"))
    expect(card.get_by_text("Hidden: flagged by the safety checker.")).to_be_visible()
    expect(card.locator(".veiled")).to_have_count(1)
    card.get_by_role("button", name="Show").click()
    expect(card.locator(".veiled")).to_have_count(0)


def test_cancel_ends_a_job(page: Page) -> None:
    card = send(page, f"{CIRCLE} --steps 50 --images 4")
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_have_attribute("data-state", "cancelled")


def test_history_survives_a_reload_and_again_draws_another(page: Page) -> None:
    card = until_done(send(page, f"{CIRCLE} --steps 4 --seed 11"))
    job = card.get_attribute("data-job")
    page.reload()
    card = page.locator(f'li[data-job="{job}"]')
    until_done(card)
    other = card_of(page, card.get_by_role("button", name="Again").click, "/again")
    until_done(other)
    expect(other.get_by_text("seed 11", exact=True)).to_have_count(0)


def test_a_dropped_picture_fills_the_field_and_edit_does_too(page: Page, tmp_path: Path) -> None:
    card = until_done(send(page, f"{CIRCLE} --steps 4 --seed 12 --format png"))
    source = card.locator(".print img").first.get_attribute("src")
    data = page.request.get(page.url.rstrip("/") + str(source)).body()
    file = tmp_path / "dropped.png"
    file.write_bytes(data)
    page.set_input_files("#file", file)
    command = (
        f"/imagine {CIRCLE} --preset none --size landscape_4_3 --steps 4 --guidance 3.5 --seed 12 "
        "--images 1 --model flux-1"
    )
    expect(page.locator("#words")).to_have_value(command)
    page.fill("#words", "")
    page.evaluate(
        """async (bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(
                    new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
            }
        }""",
        list(data),
    )
    expect(page.locator("#words")).to_have_value(command)
    page.fill("#words", "")
    card.get_by_role("button", name="Edit").click()
    expect(page.locator("#words")).not_to_have_value("")


def test_a_wrong_flag_is_explained_and_one_click_puts_it_right(page: Page) -> None:
    page.fill("#words", f"{CIRCLE} --stepz 4")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    problem = page.locator("#problem")
    expect(problem).to_contain_text("did you mean --steps?")
    expect(page.locator("#words")).to_have_value(f"{CIRCLE} --stepz 4")
    card = until_done(card_of(page, problem.get_by_role("button").first.click))
    expect(card).to_contain_text("4 steps")
    expect(page.locator("#words")).to_have_value("")


def test_flags_are_suggested_as_one_types(page: Page) -> None:
    page.locator("#words").press_sequentially("a star --st")
    expect(page.locator("#suggestions")).to_contain_text("--steps")


def test_presets_are_suggested_by_search_and_composed(page: Page, tmp_path: Path) -> None:
    page.locator("#words").press_sequentially("star --preset bad")
    suggestions = page.locator("#suggestions")
    expect(suggestions).to_contain_text("badge")
    expect(suggestions).to_contain_text("Badge, flux-1")
    page.screenshot(path=tmp_path / "suggested.png")
    page.keyboard.press("Tab")
    expect(page.locator("#words")).to_have_value("star --preset badge ")

    page.fill("#words", "")
    page.locator("#words").press_sequentially("star --preset badge+mosa")
    expect(suggestions.get_by_role("option", name="mosaic")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#words")).to_have_value("star --preset badge+mosaic ")


def test_a_preset_draws_and_its_edit_has_what_was_typed(page: Page) -> None:
    card = send(page, "star --preset badge --var colour=yellow --steps 4")
    expect(card.locator("img")).to_be_visible()
    card.get_by_role("button", name="Edit").click()
    words = page.locator("#words").input_value()
    assert words.startswith("/imagine star --preset @atelier/badge@1 --var colour=yellow")


def test_delete_takes_the_card_away_for_good(page: Page) -> None:
    card = until_done(send(page, f"{CIRCLE} --steps 4 --seed 13"))
    job = card.get_attribute("data-job")
    card.get_by_role("button", name="Delete").click()
    expect(page.locator(f'li[data-job="{job}"]')).to_contain_text("Undo")
    page.reload()  # ends the time in which it can be undone
    expect(page.locator(f'li[data-job="{job}"]')).to_have_count(0)
    assert page.request.get(f"{page.url}api/jobs/{job}").status == 404


def test_two_tabs_show_the_same(page: Page, service: Service) -> None:
    other = open_page(page.context, service.url)
    card = send(page, f"{CIRCLE} --steps 4 --seed 14")
    job = card.get_attribute("data-job")
    until_done(card)
    until_done(other.locator(f'li[data-job="{job}"]'))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(browser: Browser, service: Service, scheme: str, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = open_page(context, service.url)
    until_done(send(page, "a red chili pepper on a white background --steps 4"))
    until_done(send(page, f"{CIRCLE} --steps 4 --images 4"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    context.close()


def test_a_killed_service_comes_back_and_three_jobs_end_with_their_pictures(
    browser: Browser, tmp_path: Path
) -> None:
    home = CommandLine(tmp_path, ATELIER_PORT="0")
    context = browser.new_context()
    with home.running() as first:
        page = open_page(context, first.url)
        port = first.url.rsplit(":", 1)[1].strip("/")
        text = f"{CIRCLE} --steps 50 --images 4"
        cards = [send(page, f"{text} --seed {seed}") for seed in (10, 20, 30)]
        first.stop(signal.SIGKILL)
    again = CommandLine(tmp_path, ATELIER_PORT=port)
    with again.running():
        for card in cards:
            until_done(card)
        expect(page.locator("li[data-job]")).to_have_count(3)
    context.close()
