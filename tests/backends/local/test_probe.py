"""What draws is tried out in another process, so that a broken installation harms nobody."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.local.probe import Gpu, Machine, probe

Install = Callable[..., None]
"""Puts packages of these contents before the real ones, for processes that are started."""

TORCH = """
    class version: cuda, hip = {cuda}, None
    class cuda:
        device_count = staticmethod(lambda: {gpus})
        get_device_name = staticmethod(lambda index: f"GPU {{index}}")
        mem_get_info = staticmethod(lambda index: (40_000_000_000 + index, 80_000_000_000))
"""
DIFFUSERS = "FluxPipeline = object"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    def write(**packages: str) -> None:
        for name, code in packages.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))

    return write


def test_what_is_installed_here_can_be_imported() -> None:
    assert probe(110).problem is None


def test_gpus_are_named_with_their_memory(install: Install) -> None:
    install(torch=TORCH.format(cuda="'12.8'", gpus=2), diffusers=DIFFUSERS, peft="")
    assert probe(30) == Machine(
        gpu_build=True,
        gpus=(
            Gpu(name="GPU 0", free=40_000_000_000, total=80_000_000_000),
            Gpu(name="GPU 1", free=40_000_000_001, total=80_000_000_000),
        ),
    )


def test_a_torch_for_the_cpu_alone_says_so(install: Install) -> None:
    install(torch=TORCH.format(cuda=None, gpus=0), diffusers=DIFFUSERS, peft="")
    assert probe(30) == Machine()


def test_what_imports_print_is_no_answer(install: Install) -> None:
    install(torch=TORCH.format(cuda=None, gpus=0), diffusers=DIFFUSERS, peft="print('{}')")
    assert probe(30) == Machine()


@pytest.mark.parametrize(
    ("packages", "problem"),
    [
        (
            {"torch": "raise ImportError('libcudart.so.12: cannot\\nopen it')"},
            "Importing torch raises ImportError: libcudart.so.12: cannot open it",
        ),
        (
            {"torch": TORCH.format(cuda=None, gpus="len(None)")},
            "Asking torch for its GPUs raises TypeError: ",
        ),
        (
            {"torch": TORCH.format(cuda=None, gpus=0), "diffusers": "", "peft": ""},
            "Importing diffusers raises AttributeError: ",
        ),
        (
            {"torch": "import os; os.abort()"},
            "The process that imported it crashed (SIGABRT).",
        ),
        (
            {"torch": "import os; os._exit(3)"},
            "The process that imported it ended by itself (exit code 3).",
        ),
    ],
)
def test_what_cannot_be_imported_is_told_with_its_reason(
    install: Install, packages: dict[str, str], problem: str
) -> None:
    install(**packages)
    found = probe(30).problem
    assert found is not None
    assert found.startswith(problem)


def test_an_import_that_never_ends_is_given_up(install: Install) -> None:
    install(torch="import time; time.sleep(600)")
    assert probe(2).problem == "It was still not imported after 2 s."


def test_a_long_error_is_cut(install: Install) -> None:
    install(torch="raise RuntimeError('x' * 10_000)")
    found = probe(30).problem
    assert found is not None
    assert len(found) < 400
