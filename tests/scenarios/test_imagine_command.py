"""`atelier imagine` as a person uses it: the installed command, the demo model, real files.

Most of it runs beside one `atelier run`, which has the model loaded; what is about a process that
draws by itself starts its own.
"""

import fcntl
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
from PIL import Image

from bot import recipe
from bot.jobs.job import JobState
from tests.fakes.command_line import ATELIER, CommandLine, Service, sentence, until
from tests.lora_registry import loras

PROMPT = "a large red circle on a blue background"
QUICK = ("--steps", "2", "--size", "128x128")
SLOW = ("--steps", "50", "--images", "4", "--size", "128x128")

Served = tuple[CommandLine, Service]

pytestmark = pytest.mark.timeout(300)


def pixel(path: Path, x: float, y: float) -> tuple[int, ...]:
    with Image.open(path) as image:
        found = image.convert("RGB").getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(found, tuple)
    return tuple(int(value) for value in found)


def drawn(path: Path) -> recipe.Recipe:
    """Decode the picture in full and read its recipe."""
    with Image.open(path) as image:
        image.load()
        size = image.size
    found = recipe.read(path.read_bytes())
    assert isinstance(found, recipe.Recipe)
    assert (found.width, found.height) == size
    return found


# --- A picture --------------------------------------------------------------------------------


def test_a_prompt_becomes_that_picture_and_the_printed_command_draws_it_again_elsewhere(
    atelier: CommandLine, served: Served
) -> None:
    asked = ("imagine", PROMPT, "-o", "out.png", "--seed", "3", "--steps", "10")
    done = atelier(*asked)

    assert (done.returncode, done.stderr) == (0, "")
    assert atelier.files() == ["out.png"]
    red, green, blue = pixel(atelier.home / "out.png", 0.5, 0.5)
    assert red > 150 > max(green, blue)
    red, green, blue = pixel(atelier.home / "out.png", 0.03, 0.03)
    assert blue > 150 > max(red, green)
    made = drawn(atelier.home / "out.png")
    assert (made.prompt, made.seed, made.steps, made.model) == (PROMPT, 3, 10, "flux-1")
    assert made.requested is not None
    assert (made.requested.width, made.requested.height) == (1024, 768)
    assert str(atelier.home / "out.png") in done.stdout
    assert "seed 3" in done.stdout
    assert atelier.states() == [JobState.DELIVERED]
    assert atelier.processes() == []
    assert atelier.spooled() == []

    (again,) = re.findall(r"^Again: atelier (.+)$", done.stdout, re.MULTILINE)
    elsewhere, _ = served
    repeated = elsewhere(*shlex.split(again), "-o", "again.png")
    assert repeated.returncode == 0
    first, second = (atelier.home / "out.png", elsewhere.home / "again.png")
    assert first.read_bytes() == second.read_bytes()


def test_json_is_one_object_and_nothing_else(served: Served, name: str) -> None:
    atelier, _ = served
    done = atelier("imagine", PROMPT, "--json", "-o", f"{name}.png", "--seed", "5", *QUICK)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert answer["state"] == "done"
    (picture,) = answer["pictures"]
    assert picture["path"] == str(atelier.home / f"{name}.png")
    assert picture["recipe"] == drawn(atelier.home / f"{name}.png").model_dump(mode="json")
    assert picture["verdict"] in {"clear", "flagged", "unchecked"}
    assert answer["id"] in {job["id"] for job in atelier.jobs()}
    assert answer["timings"]["denoise"] > 0


def test_several_pictures_are_numbered_and_each_repeats_from_its_own_seed(
    served: Served, name: str
) -> None:
    atelier, _ = served
    done = atelier("imagine", PROMPT, "-o", f"{name}.png", "--seed", "7", "--images", "4", *QUICK)
    alone = atelier("imagine", PROMPT, "-o", f"{name}.png", "--seed", "9", *QUICK)

    assert (done.returncode, alone.returncode) == (0, 0)
    files = [f"{name}-{number}.png" for number in range(1, 5)]
    assert set(files) < set(atelier.files())
    assert [drawn(atelier.home / file).seed for file in files] == [7, 8, 9, 10]
    third, single = (atelier.home / file for file in (files[2], f"{name}.png"))
    assert third.read_bytes() == single.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".png", "PNG")],
)
def test_the_suffix_chooses_the_format(served: Served, name: str, suffix: str, kind: str) -> None:
    atelier, _ = served
    done = atelier("imagine", PROMPT, "-o", name + suffix, *QUICK)

    assert done.returncode == 0
    with Image.open(atelier.home / (name + suffix)) as image:
        assert image.format == kind
    assert drawn(atelier.home / (name + suffix)).prompt == PROMPT


def test_without_a_file_the_picture_goes_here_under_a_name_of_its_own(served: Served) -> None:
    atelier, _ = served
    before = set(atelier.files())
    done = atelier("imagine", PROMPT, "--format", "webp", *QUICK)

    assert done.returncode == 0
    (new,) = set(atelier.files()) - before
    assert re.fullmatch(r"atelier-[0-9a-f]{8}\.webp", new)
    assert new in done.stdout


def test_a_prompt_that_the_demo_does_not_know_is_drawn_with_a_hint(
    served: Served, name: str
) -> None:
    atelier, _ = served
    done = atelier("imagine", "a cat on a sofa, it's raining", "-o", f"{name}.png", *QUICK)

    assert done.returncode == 0
    assert drawn(atelier.home / f"{name}.png").prompt == "a cat on a sofa, it's raining"
    assert "only knows prompts like" in done.stdout


def test_markup_and_shell_text_in_a_prompt_stay_text(served: Served, name: str) -> None:
    atelier, _ = served
    prompt = "[bold]a star[/] 🌟 “it's” $(id) `id` %s {name}"
    done = atelier("imagine", prompt, "-o", f"{name}.png", *QUICK)

    assert done.returncode == 0
    assert drawn(atelier.home / f"{name}.png").prompt == prompt
    (again,) = re.findall(r"^Again: atelier (.+)$", done.stdout, re.MULTILINE)
    assert prompt in shlex.split(again)


# --- What cannot be granted --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("x" * 2001,), "2,000"),
        (("a \u202eder\u202c \x1b[31mcircle\x07",), "U+202E"),
        ((PROMPT, "--steps", "0"), "steps is 0"),
        ((PROMPT, "--size", "square", "--ar", "1:1"), "--ar"),
        ((PROMPT, "--preset", "dreamy"), "dreamy"),
        ((PROMPT, "--lora", "nowhere:0.8"), "nowhere"),
        ((PROMPT, "-o", "out.gif"), "out.gif"),
        ((PROMPT, "-o", "missing/out.png"), "missing"),
        ((f"{PROMPT} --steps many",), "many"),
    ],
)
def test_bad_input_is_refused_with_one_sentence_and_leaves_nothing(
    served: Served, args: tuple[str, ...], told: str
) -> None:
    atelier, _ = served
    files, jobs = atelier.files(), len(atelier.jobs())
    refused = atelier("imagine", *args)

    assert refused.returncode == 2
    assert refused.stdout == ""
    assert told in sentence(refused.stderr)
    assert (atelier.files(), len(atelier.jobs())) == (files, jobs)


@pytest.mark.parametrize("args", [("--steps", "many"), ("--nonsense",)])
def test_words_where_numbers_belong_are_refused(served: Served, args: tuple[str, ...]) -> None:
    atelier, _ = served
    refused = atelier("imagine", PROMPT, *args)

    assert refused.returncode == 2
    assert refused.stdout == ""
    assert args[0] in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_refusal_is_json_too_where_json_is_asked_for(served: Served) -> None:
    atelier, _ = served
    refused = atelier("imagine", PROMPT, "--json", "--steps", "0")

    assert (refused.returncode, refused.stderr) == (2, "")
    answer = json.loads(refused.stdout)
    assert answer["state"] == "refused"
    assert "steps is 0" in answer["error"]


def test_settings_that_cannot_be_used_are_named(atelier: CommandLine) -> None:
    atelier.env |= {"ATELIER_BACKEND": "magic", "ATELIER_PORT": "many"}
    refused = atelier("imagine", PROMPT)

    assert refused.returncode == 2
    told = sentence(refused.stderr)
    assert "ATELIER_BACKEND" in told
    assert "ATELIER_PORT" in told
    assert atelier.files() == []
    assert not atelier.data.exists()


# --- What fails --------------------------------------------------------------------------------


def test_a_lora_that_does_not_fit_fails_with_the_reason(served: Served, name: str) -> None:
    atelier, _ = served
    folder = atelier.data / "loras"
    folder.mkdir(exist_ok=True)
    layers = loras.only(loras.flux1(doubles=1, singles=1), "attn")
    loras.write(folder / f"{name}.safetensors", loras.factors(layers, rank=1))
    failed = atelier("imagine", PROMPT, "--lora", f"{name}:0.5", "-o", f"{name}.png", *QUICK)
    as_json = atelier("imagine", PROMPT, "--lora", name, "-o", f"{name}.png", "--json", *QUICK)

    assert (failed.returncode, failed.stdout) == (3, "")
    assert name in sentence(failed.stderr)
    assert (as_json.returncode, as_json.stderr) == (3, "")
    answer = json.loads(as_json.stdout)
    assert (answer["state"], answer["error"].count(name)) == ("failed", 1)
    assert f"{name}.png" not in atelier.files()
    assert atelier.states()[-2:] == [JobState.FAILED, JobState.FAILED]


def test_a_model_that_is_not_there_fails_with_what_to_do(atelier: CommandLine) -> None:
    atelier.env |= {"ATELIER_BACKEND": "local", "ATELIER_LOCAL_MODEL": "/nowhere"}
    failed = atelier("imagine", PROMPT, "-o", "out.png", *QUICK)

    assert (failed.returncode, failed.stdout) == (3, "")
    assert "ATELIER_LOCAL_MODEL" in sentence(failed.stderr)
    assert atelier.files() == []
    assert atelier.states() == [JobState.FAILED]
    assert atelier.processes() == []


def test_a_folder_that_vanishes_meanwhile_costs_the_file_but_not_the_picture(
    served: Served, name: str
) -> None:
    atelier, _ = served
    folder = atelier.home / name
    folder.mkdir()
    before = len(atelier.jobs())
    terminal = atelier.start("imagine", PROMPT, "-o", f"{name}/out.png", *SLOW)
    until(lambda: len(atelier.jobs()) > before, "the job")
    child = atelier.freeze()
    folder.rmdir()
    child.resume()
    out, err = terminal.communicate(timeout=100)

    assert (terminal.returncode, out) == (3, "")
    told = sentence(err)
    assert f"{name}/out-1.png" in told
    (key,) = re.findall(r"pictures/\S+\.jpeg|pictures/\S+\.png", told)
    assert drawn(atelier.data / "storage" / key).prompt == PROMPT
    assert atelier.states()[-1] is JobState.UNDELIVERABLE


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_answer_that_nobody_reads_is_no_failure_and_one_that_is_lost_is(
    served: Served, name: str, options: tuple[str, ...]
) -> None:
    atelier, _ = served
    reader, writer = os.pipe()
    os.close(reader)
    unread = atelier("imagine", PROMPT, "-o", f"{name}.png", *QUICK, *options, stdout=writer)
    os.close(writer)
    with Path("/dev/full").open("w") as full:
        lost = atelier("imagine", PROMPT, "-o", f"{name}.png", *QUICK, *options, stdout=full)
        refused = atelier("imagine", PROMPT, "--steps", "0", "--json", stdout=full)

    assert (unread.returncode, unread.stderr) == (0, "")
    assert drawn(atelier.home / f"{name}.png").prompt == PROMPT
    assert lost.returncode == refused.returncode == 3
    told = "The answer cannot be written to standard output: no space left on device."
    assert sentence(lost.stderr) == sentence(refused.stderr) == told


# --- Cancelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_a_job_that_the_service_draws(
    served: Served, name: str, number: signal.Signals
) -> None:
    atelier, service = served
    before = len(atelier.jobs())
    terminal = atelier.start("imagine", PROMPT, "-o", f"{name}.png", *SLOW)
    until(lambda: len(atelier.jobs()) > before and atelier.drawing(), "the first step")
    terminal.send_signal(number)
    out, err = terminal.communicate(timeout=100)

    assert (terminal.returncode, out) == (130, "")
    assert sentence(err).startswith("Cancelled")
    assert atelier.states()[-1] is JobState.CANCELLED
    assert not any(name in file for file in atelier.files())
    assert service.ready()


def test_ctrl_c_while_drawing_by_itself_leaves_no_file_and_no_process(
    atelier: CommandLine,
) -> None:
    terminal = atelier.start("imagine", PROMPT, "-o", "out.png", *SLOW)
    until(atelier.drawing, "the first step")
    terminal.send_signal(signal.SIGINT)
    out, err = terminal.communicate(timeout=100)

    assert (terminal.returncode, out) == (130, "")
    assert sentence(err).startswith("Cancelled")
    assert atelier.states() == [JobState.CANCELLED]
    assert atelier.files() == []
    assert atelier.spooled() == []
    assert atelier.processes() == []


def test_ctrl_c_while_the_model_loads_does_not_wait_for_it(atelier: CommandLine) -> None:
    terminal = atelier.start("imagine", PROMPT, "--json", "-o", "out.png")
    until(lambda: atelier.states() == [JobState.RUNNING], "the job")
    terminal.send_signal(signal.SIGINT)
    out, err = terminal.communicate(timeout=100)

    assert (terminal.returncode, err) == (130, "")
    assert json.loads(out)["state"] == "cancelled"
    assert atelier.states() == [JobState.CANCELLED]
    assert atelier.processes() == []


def test_a_second_ctrl_c_ends_at_once_whatever_the_drawing_process_does(
    atelier: CommandLine,
) -> None:
    terminal = atelier.start("imagine", PROMPT, "-o", "out.png", *SLOW)
    atelier.freeze()  # it will not answer
    terminal.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert terminal.poll() is None
    terminal.send_signal(signal.SIGINT)

    assert terminal.wait(3) == 130
    until(lambda: atelier.processes() == [], "the drawing process to end")
    assert atelier.files() == []
    assert [job["cancel_requested"] for job in atelier.jobs()] == [1]


def test_a_terminal_shows_progress_and_gets_its_cursor_back(served: Served, name: str) -> None:
    atelier, _ = served
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x28\x00\x78\x00" + bytes(4))
    process = subprocess.Popen(
        [ATELIER, "imagine", PROMPT, "-o", f"{name}.png", *SLOW],
        cwd=atelier.home,
        env=atelier.env | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = b""
    while b"steps/s" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, b"\x03")
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)

    assert process.wait(20) == 130
    text = shown.decode()
    assert re.search(r"Drawing .*\d+/200 ", text)
    assert "Cancelled" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


# --- Death and company -------------------------------------------------------------------------


def test_a_job_whose_terminal_was_killed_is_drawn_by_the_next_one_beside_its_own(
    atelier: CommandLine,
) -> None:
    killed = atelier.start("imagine", PROMPT, "-o", "first.png", "--seed", "1", *SLOW)
    atelier.freeze()
    killed.kill()
    killed.wait()
    until(lambda: atelier.processes() == [], "the drawing process to end")
    assert atelier.files() == []
    second = atelier("imagine", PROMPT, "-o", "second.png", "--seed", "2", *QUICK)

    assert (second.returncode, second.stderr) == (0, "")
    files = [*(f"first-{number}.png" for number in range(1, 5)), "second.png"]
    assert atelier.files() == files
    assert [drawn(atelier.home / file).seed for file in files] == [1, 2, 3, 4, 2]
    assert atelier.states() == [JobState.DELIVERED, JobState.DELIVERED]
    assert [job["failures"] for job in atelier.jobs()] == [1, 0]
    assert atelier.processes() == []


def test_of_several_at_once_one_draws_for_all_and_another_takes_over_when_it_is_killed(
    atelier: CommandLine,
) -> None:
    first = atelier.start("imagine", PROMPT, "-o", "first.png", "--seed", "1", *QUICK)
    until(atelier.jobs, "the first job")
    second = atelier.start("imagine", PROMPT, "-o", "second.png", "--seed", "2", *QUICK)
    until(lambda: len(atelier.jobs()) == 2, "the second job")
    third = atelier.start("imagine", PROMPT, "-o", "third.png", "--seed", "3", *SLOW)
    until(lambda: len(atelier.jobs()) == 3, "the third job")
    out, err = second.communicate(timeout=100)

    assert (second.returncode, err) == (0, ""), out
    atelier.freeze()
    assert first.poll() is None  # it has the model loaded, and stays
    assert atelier.files() == ["first.png", "second.png"]
    assert len(atelier.children()) == 1
    first.kill()
    assert first.communicate()[0].startswith(str(atelier.home / "first.png"))
    out, err = third.communicate(timeout=100)

    assert (third.returncode, err) == (0, ""), out
    assert [f"third-{number}.png" for number in range(1, 5)] == atelier.files()[2:]
    assert set(atelier.states()) == {JobState.DELIVERED}
    assert atelier.processes() == []
