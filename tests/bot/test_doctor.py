"""`atelier doctor`: everything is looked at, in a few seconds, whatever the patient has."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from backends.local.probe import Machine
from bot import doctor
from bot.checks import drawing, folders
from bot.checks.finding import Finding, Status, broken, ok, warning
from bot.doctor import Inquiry, examine
from tests.test_architecture import DRAWING, loaded_by


def atelier_doctor(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("atelier"), "doctor"],
        cwd=folder,
        env=os.environ | {"ATELIER_PORT": "0", **variables},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_nothing_is_broken_in_a_fresh_installation_and_it_stays_untouched(tmp_path: Path) -> None:
    done = atelier_doctor(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓ Atelier ")
    assert not [line for line in lines if line.startswith("✗")]
    assert "✓ There is no jobs.db yet; the first start makes it." in lines
    assert not list(tmp_path.iterdir())


def test_what_is_broken_is_crossed_told_what_to_do_about_and_ends_with_3(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs.db").write_bytes(b"no database" * 1000)
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12 is missing')")
    done = atelier_doctor(
        tmp_path,
        PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}",
        ATELIER_LOCAL_MODEL="/nowhere",
        ATELIER_LORADIR="x",
        HF_TOKEN="hf_do_not_tell",
    )
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    for line in (
        "✗ jobs.db is damaged.",
        "! ATELIER_LORADIR means nothing to this version of Atelier; did you mean "
        "ATELIER_LORA_DIR?",
        "✗ ATELIER_LOCAL_MODEL is “/nowhere”, which is neither a folder here nor a Hugging Face "
        "id.",
    ):
        assert line in lines
        assert lines[lines.index(line) + 1].startswith("    ")
    assert "libcudart.so.12 is missing" in done.stdout
    assert lines[-1].startswith("3 things are broken and ")
    assert "hf_do_not_tell" not in done.stdout + done.stderr


# --- In this process, without the wait for torch ----------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drawing, "probe", lambda timeout: Machine())


def test_the_doctor_itself_loads_nothing_that_draws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATELIER_PORT", "0")
    code = (
        "import sys, backends.local.probe as probe\n"
        "probe.probe = lambda timeout: probe.Machine()\n"
        "from bot.cli import main\n"
        "sys.argv = ['atelier', 'doctor']\n"
        "main()\n"
    )
    assert not loaded_by(code, tmp_path) & DRAWING


def test_wrong_settings_do_not_keep_it_from_looking_at_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATELIER_PORT", "many")
    assert not examine()
    said = capsys.readouterr().out
    assert "✗ ATELIER_PORT is “many”; use a whole number from 0 to 65535." in said
    assert "PyTorch" in said
    assert "1 thing is broken." in said


def test_warnings_alone_break_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATELIER_PORT", "0")
    monkeypatch.setenv("ATELIER_COLOUR", "blue")
    assert examine()
    said = capsys.readouterr().out
    assert "! ATELIER_COLOUR means nothing" in said
    assert said.endswith("worth a look.\n")


def test_names_with_brackets_are_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("ATELIER_PORT", "0")
    monkeypatch.setenv("ATELIER_DATA_DIR", str(tmp_path / "[red]data[/red]"))
    assert examine()
    assert "[red]data[/red] is made" in capsys.readouterr().out


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATELIER_PORT", "0")

    def locked(settings: object) -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders, "pictures", locked)
    assert not examine()
    said = capsys.readouterr().out
    assert "✗ The pictures cannot be looked at (permission denied)." in said
    assert "LoRA folder" in said


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a dead disk waits for."""
    event = threading.Event()
    yield event
    event.set()


def waits(*first: Finding, event: threading.Event) -> Iterator[Finding]:
    yield from first
    event.wait(60)


def test_a_check_that_never_answers_is_broken_and_left_behind(never: threading.Event) -> None:
    began = time.monotonic()
    (found,) = Inquiry("the pictures", partial(waits, event=never), 1.0)
    assert time.monotonic() - began < 10
    assert found.status is Status.BROKEN
    assert found.what == "The pictures: no answer within 1 s."


def test_a_check_that_does_not_finish_keeps_what_it_has_said(never: threading.Event) -> None:
    first = warning("The LoRA “a” cannot be used.")
    found = list(Inquiry("the LoRA files", partial(waits, first, event=never), 1.0))
    assert found[0] == first
    assert found[1:] == [warning("The LoRA files: the rest took longer than 1 s.")]


def test_findings_come_in_the_order_in_which_they_were_made() -> None:
    made = [ok("one"), broken("two", "mend it"), ok("three")]
    assert list(Inquiry("numbers", partial(iter, made))) == made


def test_all_checks_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "0")
    together = threading.Barrier(3)

    def meets(settings: object) -> Iterator[Finding]:
        together.wait(10)
        yield ok("met")

    for name in ("data_folder", "database", "pictures"):
        monkeypatch.setattr(folders, name, meets)
    assert [finding.what for finding in doctor.findings()].count("met") == 3
