"""`atelier preset`, `atelier lora`, `atelier backup` and `atelier restore`, as installed."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from bot import recipe
from tests.fakes.command_line import ATELIER, CommandLine, Service, read, sentence, until
from tests.lora_registry import loras
from tests.lora_registry.sites import lora_bytes

pytestmark = pytest.mark.timeout(300)

Served = tuple[CommandLine, Service]


def said(atelier: CommandLine, *args: str) -> str:
    """What a command that goes well answers."""
    done = atelier(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(atelier: CommandLine, *args: str) -> Any:
    """The object that a command answers with `--json`."""
    answer = said(atelier, *args, "--json")
    assert answer.count("\n") == 1
    return json.loads(answer)


def refused(atelier: CommandLine, *args: str, code: int = 2) -> str:
    """The sentence of a command that is refused; it is no part of the answer, not even as JSON."""
    done = atelier(*args, "--json")
    assert (done.returncode, done.stdout) == (code, ""), done
    return sentence(done.stderr)


def put_lora(atelier: CommandLine, name: str, title: str) -> None:
    (atelier.data / "loras").mkdir(parents=True, exist_ok=True)
    (atelier.data / "loras" / name).write_bytes(lora_bytes(title))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """An installation that nothing is changed in."""
    command = CommandLine(tmp_path_factory.mktemp("fresh"))
    yield command
    command.clean_up()


# --- Presets ----------------------------------------------------------------------------------


def test_a_preset_from_its_making_to_its_end(atelier: CommandLine) -> None:
    made = told(
        atelier, "preset", "create", "dreamy", "--lora", "glow:0.5", "--title", "Soft light",
        "--template", "{prompt} on a {ground} background", "--variable", "ground:choice:blue,red",
        "--steps", "20", "--size", "square", "--tag", "calm", "--note", "first",
    )  # fmt: skip
    assert (made["reference"], made["rev"], made["note"]) == ("@local/dreamy", 1, "first")

    shown = said(atelier, "preset", "show", "dreamy")
    for part in ("Soft light", "{prompt} on a {ground} background", "512×512", "steps 20", "glow"):
        assert part in shown
    assert "atelier imagine star --preset dreamy --var ground=red" in shown

    edited = told(atelier, "preset", "edit", "dreamy", "--steps", "24", "--lora", "stripes:0.3")
    assert edited["rev"] == 2
    assert told(atelier, "preset", "edit", "dreamy", "--steps", "24")["rev"] == 2
    stale = refused(atelier, "preset", "edit", "dreamy@1", "--steps", "3")
    assert "dreamy was changed while you edited revision 1" in stale

    assert told(atelier, "preset", "restore", "dreamy", "1")["sha256"] == made["sha256"]
    history = told(atelier, "preset", "history", "dreamy")
    assert [(one["rev"], one["changes"]) for one in history["revisions"]] == [
        (3, ["without stripes", "steps 24 → 20"]),
        (2, ["with stripes:0.3", "steps 20 → 24"]),
        (1, []),
    ]
    assert "with stripes:0.3" in said(atelier, "preset", "history", "dreamy")

    pinned = told(atelier, "preset", "show", f"@local/dreamy@sha256:{edited['sha256'][:12]}")
    assert (pinned["rev"], pinned["body"]["steps"]) == (2, 24)

    fork = told(atelier, "preset", "fork", "dreamy@2", "bolder")
    assert fork["sha256"] == edited["sha256"]
    assert told(atelier, "preset", "show", "bolder")["forked_from"] == "@local/dreamy@2"

    names = [one["name"] for one in told(atelier, "preset", "list")["presets"]]
    assert names[:2] == ["bolder", "dreamy"]
    assert {"comic", "badge", "lantern"} < set(names)

    assert "say so with --yes" in refused(atelier, "preset", "delete", "dreamy")
    assert "Deleted @local/dreamy" in said(atelier, "preset", "delete", "dreamy", "--yes")
    assert "There is no preset dreamy here." in refused(atelier, "preset", "show", "dreamy")
    assert told(atelier, "preset", "show", "bolder")["rev"] == 1


def test_a_preset_is_written_to_a_file_and_read_again(atelier: CommandLine) -> None:
    (atelier.home / "comic.json").write_text(said(atelier, "preset", "show", "comic", "--json"))
    made = told(atelier, "preset", "create", "mine-own", "--from", "comic.json", "--steps", "9")
    shown = told(atelier, "preset", "show", "mine-own")
    comic = json.loads((atelier.home / "comic.json").read_text())
    assert shown["body"] == {**comic["body"], "steps": 9}
    assert made["sha256"] == shown["sha256"] != comic["sha256"]


def test_a_picture_becomes_a_preset_that_draws_such_pictures(served: Served, name: str) -> None:
    atelier, _ = served
    said(
        atelier, "imagine", "a large red star on a blue background", "--lora", "stripes:0.6",
        "--steps", "3", "--size", "128x128", "--seed", "4", "-o", f"{name}.png",
    )  # fmt: skip
    done = atelier("preset", "create", f"from-{name}", "--from-picture", f"{name}.png")
    assert done.returncode == 0, done.stderr
    assert "prompt and seed are not part" in sentence(done.stderr)
    said(
        atelier, "imagine", "a large red star on a blue background", "--preset", f"from-{name}",
        "--seed", "4", "-o", f"{name}-2.png",
    )  # fmt: skip
    first, second = (
        recipe.read((atelier.home / file).read_bytes()) for file in (f"{name}.png", f"{name}-2.png")
    )
    assert isinstance(first, recipe.Recipe)
    assert isinstance(second, recipe.Recipe)
    assert second.preset == f"@local/from-{name}@1"
    assert [(one.sha256, one.scale) for one in first.loras] == [
        (one.sha256, one.scale) for one in second.loras
    ]


def test_a_typing_error_still_finds_the_preset(fresh: CommandLine) -> None:
    (found,) = told(fresh, "preset", "search", "lantren")["presets"]
    assert found["name"] == "lantern"
    assert "lantern" in said(fresh, "preset", "search", "lantren")
    assert "Did you mean lantern?" in refused(fresh, "preset", "show", "lantren")
    assert told(fresh, "preset", "search", "zzzzzz") == {"presets": []}


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("preset", "create", "Soft Light"), "such as soft-light"),
        (("preset", "create", "x1", "--steps", "90"), "steps is 90; use 1 to 50."),
        (("preset", "create", "x1", "--model", "flux-2", "--lora", "glow"), "glow is for FLUX.1"),
        (("preset", "create", "x1", "--from", "none.json"), "none.json cannot be used"),
        (("preset", "edit", "comic", "--steps", "9"), "fork it to make your own"),
        (("lora", "show", "glw"), "Did you mean glow?"),
        (("lora", "add", "./none.safetensors"), "There is no file ./none.safetensors"),
        (("lora", "add", "https://127.0.0.1/x.safetensors"), "127.0.0.1"),
        (("lora", "remove", "glow"), "glow is part of @atelier/lantern"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    fresh: CommandLine, args: tuple[str, ...], part: str
) -> None:
    code = 3 if "cannot be used" in part else 2
    assert part in refused(fresh, *args, code=code)


def test_everything_fits_a_narrow_terminal(atelier: CommandLine) -> None:
    atelier.env["COLUMNS"] = "60"
    long = "a-name-that-is-as-long-as-a-name-may-be"
    said(
        atelier, "preset", "create", long, "--title", "A title of many words " * 5, "--lora",
        "glow", "--lora", "stripes:0.25", "--variable", f"mood:choice:{'calm and slow,' * 5}wild",
        "--template", "{prompt}, {mood}", "--description", "Long. " * 60,
    )  # fmt: skip
    said(atelier, "preset", "edit", long, "--clear", "loras", "--note", "a note of some length")
    for command in (
        ("preset", "list"),
        ("preset", "search", "title"),
        ("preset", "show", long),
        ("preset", "history", long),
        ("lora", "list"),
        ("lora", "show", "glow"),
    ):
        lines = said(atelier, *command).splitlines()
        # A command to copy stays on one line.
        assert max(len(line) for line in lines if not line.startswith("Use: ")) <= 60
        assert any(long[:20] in line or "glow" in line for line in lines)


def test_a_terminal_is_asked_before_anything_is_deleted(atelier: CommandLine) -> None:
    said(atelier, "preset", "create", "dreamy")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [ATELIER, "preset", "delete", "dreamy"], cwd=atelier.home, env=atelier.env,
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.write(ours, b"n\n")
    out, error = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, out) == (130, "")
    assert "Delete @local/dreamy with all its revisions?" in error
    assert "Nothing was changed." in error
    assert told(atelier, "preset", "show", "dreamy")["rev"] == 1


# --- LoRAs ------------------------------------------------------------------------------------


def test_a_lora_from_its_file_to_a_preset_and_away_again(atelier: CommandLine) -> None:
    put_lora(atelier, "ink.safetensors", "Ink drawing")
    listed = {one["name"]: one["registered"] for one in told(atelier, "lora", "list")["loras"]}
    assert (listed["ink"], listed["glow"]) == (False, True)

    done = atelier("lora", "add", "./ink.safetensors", "--name", "ink", "--trigger", "ink style")
    assert done.returncode == 0
    assert "Found Ink drawing: FLUX.1" in done.stderr
    assert "Added ink" in done.stdout
    again = told(atelier, "lora", "add", str(atelier.data / "loras/ink.safetensors"))
    assert (again["name"], again["new"]) == ("ink", False)

    shown = told(atelier, "lora", "show", "ink")
    assert shown["triggers"] == [{"name": "default", "words": ["ink style"]}]
    assert (shown["here"], shown["presets"]) == (True, [])
    assert [one["source"]["path"] for one in shown["sources"]] == ["ink.safetensors"]

    told(atelier, "preset", "create", "inky", "--lora", "ink:0.7")
    assert "ink style" in said(atelier, "preset", "show", "inky")
    assert "ink is part of @local/inky" in refused(atelier, "lora", "remove", "ink")
    kept = told(atelier, "lora", "remove", "ink", "--yes")
    assert (kept["kept_record"], kept["presets"]) == (True, ["@local/inky"])

    said(atelier, "preset", "delete", "inky", "--yes")
    assert told(atelier, "lora", "remove", "ink")["kept_record"] is False
    assert "There is no LoRA ink here." in refused(atelier, "lora", "show", "ink")


def test_a_damaged_file_is_found(atelier: CommandLine) -> None:
    put_lora(atelier, "ink.safetensors", "Ink")
    added = told(atelier, "lora", "add", "./ink.safetensors")
    assert told(atelier, "lora", "verify")["files"][0]["sound"] is True
    (file,) = (atelier.data / "lora-library").glob("*.safetensors")
    file.write_bytes(b"damaged")
    done = atelier("lora", "verify", "ink", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["files"] == [
        {"sha256": added["sha256"], "name": "ink", "sound": False}
    ]
    assert told(atelier, "lora", "verify") == {"files": []}


def test_a_lora_is_added_and_removed_beside_a_running_service(served: Served, name: str) -> None:
    atelier, service = served
    put_lora(atelier, f"{name}.safetensors", name)
    assert told(atelier, "lora", "add", f"./{name}.safetensors", "--name", f"n-{name}")["new"]
    told(atelier, "preset", "create", f"p-{name}", "--lora", f"n-{name}")
    assert service.ready()
    said(atelier, "preset", "delete", f"p-{name}", "--yes")
    assert told(atelier, "lora", "remove", f"n-{name}")["kept_file"] is False


def test_killed_while_a_lora_comes_in_nothing_of_it_is_there(atelier: CommandLine) -> None:
    folder = atelier.data / "loras"
    folder.mkdir(parents=True)
    loras.write(folder / "large.safetensors", loras.factors(loras.flux1(), rank=32))
    said(atelier, "preset", "list")
    incoming = atelier.data / "lora-library" / "incoming"

    def arriving() -> bool:
        return any(path.stat().st_size for path in incoming.glob("*"))

    process = atelier.start("lora", "add", "./large.safetensors", "--name", "large")
    until(arriving, "the first bytes")
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    process.communicate()

    assert list((atelier.data / "lora-library").glob("*.safetensors")) == []
    listed = {one["name"]: one["registered"] for one in told(atelier, "lora", "list")["loras"]}
    assert "large" in listed
    assert listed["large"] is False
    assert "There is no LoRA large here." in refused(atelier, "lora", "show", "large")
    with atelier.running():
        assert list(incoming.glob("*")) == []


# --- Backups ----------------------------------------------------------------------------------


def test_a_backup_beside_a_running_service_is_restored_once_it_has_stopped(
    atelier: CommandLine,
) -> None:
    with atelier.running() as service:
        said(atelier, "preset", "create", "dreamy")
        answer = said(atelier, "backup", "saved.tar")
        assert "jobs.db, registry.db, secret.key" in answer
        assert "Not in it: pictures, LoRA files" in answer
        assert (atelier.home / "saved.tar").stat().st_mode & 0o777 == 0o600
        said(atelier, "preset", "delete", "dreamy", "--yes")
        done = atelier("restore", "saved.tar")
        assert (done.returncode, done.stdout) == (3, "")
        assert "Stop it first." in sentence(done.stderr)
        assert service.ready()
    key = read(atelier.data / "secret.key")

    answer = said(atelier, "restore", "saved.tar")
    assert "What was there is in" in answer
    assert told(atelier, "preset", "show", "dreamy")["rev"] == 1
    assert read(atelier.data / "secret.key") == key
    with atelier.running() as service:
        until(service.ready, "the restored service")


def test_what_is_no_backup_is_refused(fresh: CommandLine) -> None:
    (fresh.home / "no.tar").write_text("no backup")
    done = fresh("restore", "no.tar")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no backup of Atelier" in sentence(done.stderr)
    done = fresh("backup", "none/b.tar")
    assert (done.returncode, done.stdout) == (2, "")
    assert "make it first" in sentence(done.stderr)
