"""Two Ateliers: one without a model, whose jobs the other one draws as a fal of its own."""

import re
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from PIL import Image

from backends.local.families import DEMO_LORAS
from bot import recipe
from bot.jobs.job import JobState
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service, until
from tests.fakes.looking import BLUE, RED, colour, near, striped

KEY: Final = "key-between-two-ateliers"
PROMPT: Final = "a large red circle on a blue background"

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Pair:
    """`near` asks, `far` draws; `service` is the far one's."""

    near: CommandLine
    far: CommandLine
    service: Service


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    far = CommandLine(
        tmp_path_factory.mktemp("far"),
        ATELIER_BACKEND="demo",
        ATELIER_API_KEYS=f"unused-{KEY},{KEY}",
    )
    with far.running() as service:
        near = CommandLine(
            tmp_path_factory.mktemp("near"),
            ATELIER_BACKEND="fal",
            FAL_QUEUE_URL=f"{service.url}/queue",
            FAL_KEY=KEY,
        )
        yield Pair(near, far, service)
        assert KEY not in service.log
        assert "Traceback" not in service.log
    near.clean_up()
    far.clean_up()


def test_what_one_asks_for_the_other_draws(pair: Pair) -> None:
    done = pair.near("imagine", PROMPT, "--seed", "5", "--images", "2", "-o", "circle.png")

    assert (done.returncode, done.stderr) == (0, "")
    for number in (1, 2):
        picture = Image.open(pair.near.home / f"circle-{number}.png")
        assert near(colour(picture, 0.5, 0.5), RED)
        assert near(colour(picture, 0.02, 0.02), BLUE)
        read = recipe.read((pair.near.home / f"circle-{number}.png").read_bytes())
        assert isinstance(read, recipe.Recipe)
        assert (read.prompt, read.seed) == (PROMPT, 4 + number)
        assert read.weights == "fal-ai/flux-lora@fal"
    assert [job["state"] for job in pair.far.jobs()] == [JobState.DELIVERED]
    assert "$0.070" in done.stdout


def test_both_models_and_every_format_pass_through(pair: Pair) -> None:
    for model, suffix in (("flux-1", "jpg"), ("flux-2", "webp"), ("flux-2", "png")):
        name = f"{model}.{suffix}"
        done = pair.near("imagine", PROMPT, "--model", model, "--seed", "5", "-o", name)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert near(colour(Image.open(pair.near.home / name), 0.5, 0.5), RED)


def test_a_lora_of_our_own_is_uploaded_once_and_drawn_with(pair: Pair) -> None:
    folder = pair.near.data / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(DEMO_LORAS / "stripes.safetensors", folder / "my-stripes.safetensors")
    for seed in ("7", "8"):
        done = pair.near(
            "imagine",
            PROMPT,
            "--lora",
            "my-stripes:0.9",
            "--seed",
            seed,
            "-o",
            f"striped-{seed}.png",
        )
        assert (done.returncode, done.stderr) == (0, "")

    uploads = list((pair.far.data / "uploads").glob("*"))
    assert [path.stat().st_size for path in uploads if path.is_file()] == [
        (DEMO_LORAS / "stripes.safetensors").stat().st_size
    ]
    assert striped(Image.open(pair.near.home / "striped-7.png"))


def test_what_the_far_one_refuses_is_a_sentence_here(pair: Pair, tmp_path: Path) -> None:
    stranger = CommandLine(
        tmp_path,
        ATELIER_BACKEND="fal",
        FAL_QUEUE_URL=f"{pair.service.url}/queue",
        FAL_KEY="wrong:key",
    )
    done = stranger("imagine", PROMPT, "-o", "no.png")

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert re.search(r"key", done.stderr)
    assert "wrong:key" not in done.stderr
    assert len(stranger.jobs()) == 1


def test_stopping_here_ends_it_there(pair: Pair) -> None:
    before = len(pair.far.jobs())
    terminal = pair.near.start(
        "imagine", PROMPT, "--steps", "50", "--images", "4", "-o", "never.png"
    )
    until(lambda: len(pair.far.jobs()) > before, "the far job")
    until(lambda: pair.far.states()[-1] is JobState.RUNNING, "its start")
    terminal.send_signal(signal.SIGINT)
    terminal.communicate(timeout=PATIENCE_S)

    assert terminal.returncode == 130
    until(lambda: pair.far.states()[-1] is JobState.CANCELLED, "its end")
    assert pair.near.states()[-1] is JobState.CANCELLED
    assert not (pair.near.home / "never-1.png").exists()


def test_the_far_one_s_signed_webhook_reaches_the_near_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    far = CommandLine(
        tmp_path_factory.mktemp("far"),
        ATELIER_BACKEND="demo",
        ATELIER_API_KEYS=KEY,
        ATELIER_TRUSTED_HOSTS="127.0.0.1",
    )
    with far.running() as service:
        near = CommandLine(
            tmp_path_factory.mktemp("near"),
            ATELIER_BACKEND="fal",
            ATELIER_PORT=str(port),
            ATELIER_PUBLIC_URL=f"http://127.0.0.1:{port}",
            FAL_QUEUE_URL=f"{service.url}/queue",
            FAL_KEY=KEY,
        )
        with near.running() as asking:
            done = near("imagine", PROMPT, "--steps", "4", "-o", "circle.png")
            assert (done.returncode, done.stderr) == (0, "")
            # Taken: the near one has fetched the far one's key and found the signature good.
            until(lambda: "webhook sent" in service.log, "the webhook")
            assert "webhook was refused" not in asking.log
            assert [job["state"] for job in near.jobs()] == [JobState.DELIVERED]
        near.clean_up()
    far.clean_up()
