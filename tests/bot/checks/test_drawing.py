"""What doctor says about PyTorch, the GPU, the models and the safety checker."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import huggingface_hub
import pytest
from huggingface_hub import constants

from backends.local.families import DEMO_MODEL
from backends.local.probe import Gpu, Machine
from bot.checks import drawing
from bot.checks.finding import Finding
from bot.settings import Settings
from tests.bot.checks.conftest import Configure

DEV = "black-forest-labs/FLUX.1-dev"
CHECKER = "Falconsai/nsfw_image_detection"
INDEX = {
    "_class_name": "FluxPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "image_encoder": [None, None],
}


def said(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.status.value, f"{finding.what} {finding.advice}") for finding in findings]


def model_in(folder: Path, *, pipeline: str = "FluxPipeline", megabytes: int = 0) -> Path:
    """A folder that has everything that a pipeline lists."""
    for part in ("scheduler", "transformer", "vae"):
        (folder / part).mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({**INDEX, "_class_name": pipeline}))
    for part in ("transformer", "vae"):
        (folder / part / "config.json").write_text("{}")
        with (folder / part / "model.safetensors").open("wb") as file:
            file.truncate(megabytes * 10**6)
    return folder


def checker_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's client, and nobody signed in."""
    folder = tmp_path / "hub"
    lookup = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Its default is read when the library is imported.
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda source, name: lookup(source, name, cache_dir=folder),
    )
    return folder


def snapshot(cache: Path, source: str) -> Path:
    """Where the cache has the files of a Hub id."""
    repository = cache / f"models--{source.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c" * 40)
    return repository / "snapshots" / ("c" * 40)


# --- PyTorch and the GPU ----------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Machine]:
    """What the probe finds, without NVIDIA's driver; the probe itself has tests of its own."""
    monkeypatch.setattr(drawing, "_NVIDIA", Path("/nowhere"))
    found = {"it": Machine()}
    monkeypatch.setattr(drawing, "probe", lambda timeout: found["it"])
    return found


def gpu(free: float = 139e9, total: float = 141e9) -> Machine:
    found = Gpu(name="NVIDIA H200", free=int(free), total=int(total))
    return Machine(gpus=(found,), gpu_build=True)


@pytest.mark.usefixtures("machine")
def test_versions_are_named_and_without_a_gpu_the_cpu_draws(configure: Configure) -> None:
    versions, device = said(drawing.engine(configure()))
    assert versions[0] == "ok"
    for name in ("torch 2.", "diffusers 0.", "peft 0.", "transformers 5."):
        assert name in versions[1]
    assert device == ("ok", "There is no GPU that PyTorch could use: the CPU draws. ")


@pytest.mark.parametrize(
    ("gpu_build", "advice"), [(True, "`nvidia-smi`"), (False, "without TORCH_INDEX")]
)
def test_a_gpu_that_pytorch_cannot_use_is_a_warning(
    configure: Configure,
    machine: dict[str, Machine],
    monkeypatch: pytest.MonkeyPatch,
    gpu_build: bool,
    advice: str,
) -> None:
    machine["it"] = Machine(gpu_build=gpu_build)
    monkeypatch.setattr(drawing, "_NVIDIA", Path(__file__))
    status, sentence = said(drawing.engine(configure()))[1]
    assert (status, advice in sentence) == ("warning", True)


def test_a_gpu_is_named_with_its_memory(configure: Configure, machine: dict[str, Machine]) -> None:
    machine["it"] = gpu()
    assert said(drawing.engine(configure()))[1] == (
        "ok",
        "GPU: NVIDIA H200, 139.0 GB of 141.0 GB free. ",
    )


def test_a_broken_torch_is_told_with_its_reason_also_where_settings_are_wrong(
    machine: dict[str, Machine],
) -> None:
    machine["it"] = Machine(problem="Importing torch raises ImportError: libcudart.so.12.")
    ((status, sentence),) = said(drawing.engine(None))
    assert status == "broken"
    assert "libcudart.so.12" in sentence
    assert "make clean" in sentence


def test_a_missing_package_is_named_and_what_needs_it_is_left_out(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "peft"):
        monkeypatch.setitem(sys.modules, name, None)
    ((status, sentence),) = said(drawing.engine(configure()))
    assert status == "broken"
    assert "torch, peft are not installed" in sentence
    assert "make start" in sentence
    assert not said(drawing.models(configure()))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (Machine(), "warning", "on a CPU needs about 67.4 GB of memory"),
        (gpu(23e9, 24e9), "broken", "needs 29.4 GB of GPU memory, and the NVIDIA H200 has 24.0"),
        (gpu(9e9), "warning", "needs 29.4 GB of free GPU memory, and 9.0 GB are free"),
        (gpu(), None, ""),
    ],
)
def test_large_weights_are_compared_with_the_gpu_s_memory(
    configure: Configure,
    machine: dict[str, Machine],
    found: Machine,
    status: str | None,
    says: str,
) -> None:
    machine["it"] = found
    lines = said(drawing.engine(configure(local_model=DEV)))[2:]
    assert [line[0] for line in lines] == ([status] if status else [])
    assert all(says in line[1] for line in lines)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("megabytes", "warned"), [(5, False), (11_000, True)])
def test_weights_in_a_folder_are_measured(
    configure: Configure, tmp_path: Path, megabytes: int, warned: bool
) -> None:
    folder = model_in(tmp_path / "flux", megabytes=megabytes)
    lines = said(drawing.engine(configure(local_model=folder)))
    assert any("on a CPU needs about" in sentence for _, sentence in lines) is warned


# --- Who draws --------------------------------------------------------------------------------


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A demo model in the place of the real one."""
    folder = model_in(tmp_path / "demo" / "model")
    checker_in(tmp_path / "demo" / "safety")
    (folder / "atelier.json").write_text('{"safety": "../safety"}')
    monkeypatch.setattr(drawing, "DEMO_MODEL", folder)
    return folder


@pytest.mark.usefixtures("demo")
def test_without_weights_the_demo_model_draws_both_models(configure: Configure) -> None:
    assert said(drawing.models(configure())) == [
        ("ok", "flux-1 is drawn by the demo model (ATELIER_BACKEND is auto). "),
        ("ok", "flux-2 is drawn by the demo model (ATELIER_BACKEND is auto). "),
        ("ok", "The demo model is complete. "),
    ]


@pytest.mark.usefixtures("demo")
def test_with_weights_they_draw_their_model_and_the_demo_the_other(
    configure: Configure, tmp_path: Path
) -> None:
    folder = model_in(tmp_path / "flux")
    checker = checker_in(tmp_path / "checker")
    found = said(drawing.models(configure(local_model=folder, safety_model=checker)))
    assert {status for status, _ in found} == {"ok"}
    sentences = [sentence for _, sentence in found]
    assert f"flux-1 is drawn by {folder} (ATELIER_BACKEND is auto). " in sentences
    assert "flux-2 is drawn by the demo model (ATELIER_BACKEND is auto). " in sentences
    assert f"The weights of {folder} are complete, in {folder}. " in sentences
    assert f"The safety checker in {checker} is complete. " in sentences


def test_a_model_that_nothing_draws_is_a_warning(configure: Configure, tmp_path: Path) -> None:
    settings = configure(backend="local", local_model=model_in(tmp_path / "flux"))
    status, sentence = said(drawing.models(settings))[1]
    assert status == "warning"
    assert "Nothing here draws flux-2 while ATELIER_BACKEND is local." in sentence


def test_the_local_backend_without_weights_is_broken(configure: Configure) -> None:
    ((status, sentence),) = said(drawing.models(configure(backend="local")))
    assert status == "broken"
    assert "ATELIER_LOCAL_MODEL names no weights" in sentence


@pytest.mark.usefixtures("demo")
def test_weights_that_the_backend_setting_leaves_out_are_mentioned(configure: Configure) -> None:
    found = said(drawing.models(configure(backend="demo", local_model=DEV)))
    assert ("ok", f"{DEV} is not used while ATELIER_BACKEND is demo. ") in found


# --- Files ------------------------------------------------------------------------------------


def about_demo(settings: Settings) -> tuple[str, str]:
    return said(drawing.models(settings))[-1]


def test_the_demo_model_that_comes_with_atelier_is_complete(configure: Configure) -> None:
    assert DEMO_MODEL.is_dir()
    assert about_demo(configure()) == ("ok", "The demo model is complete. ")


def test_missing_files_of_the_demo_model_are_named(configure: Configure, demo: Path) -> None:
    (demo / "vae" / "model.safetensors").unlink()
    shutil.rmtree(demo / "scheduler")
    status, sentence = about_demo(configure())
    assert status == "broken"
    assert "scheduler, vae/*.safetensors are missing" in sentence


@pytest.mark.parametrize("name", ["model_index.json", "atelier.json"])
def test_a_damaged_demo_model_is_broken(configure: Configure, demo: Path, name: str) -> None:
    (demo / name).write_text("{")
    status, sentence = about_demo(configure())
    assert (status, "demo model is damaged" in sentence) == ("broken", True)


def test_a_demo_model_without_its_checker_leaves_pictures_unchecked(
    configure: Configure, demo: Path
) -> None:
    (demo.parent / "safety" / "config.json").unlink()
    status, sentence = about_demo(configure())
    assert status == "warning"
    assert "every picture is `unchecked`, which is hidden like a flagged one" in sentence


def about_weights(settings: Settings) -> list[tuple[str, str]]:
    """What is said after who draws what, without the demo model and the checker."""
    lines = said(drawing.models(settings))[2:]
    return [line for line in lines if "demo model" not in line[1] and "checker" not in line[1]]


def test_missing_files_of_a_model_folder_are_named_up_to_a_handful(
    configure: Configure, tmp_path: Path
) -> None:
    folder = model_in(tmp_path / "flux")
    shards = {f"weight {n}": f"part-{n}.safetensors" for n in range(9)}
    index = folder / "transformer" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    ((status, sentence),) = about_weights(configure(local_model=folder))
    assert status == "broken"
    assert "transformer/part-4.safetensors and 4 more are missing" in sentence
    assert "ATELIER_LOCAL_MODEL" in sentence


def test_a_folder_with_another_kind_of_model_is_broken(
    configure: Configure, tmp_path: Path
) -> None:
    folder = model_in(tmp_path / "sd", pipeline="StableDiffusionPipeline")
    ((status, sentence),) = about_weights(configure(local_model=folder))
    assert status == "broken"
    assert "holds a StableDiffusionPipeline" in sentence


def test_a_name_that_is_neither_folder_nor_hub_id_is_broken(configure: Configure) -> None:
    for name in ("/nowhere/flux", "flux", "black-forest-labs/FLUX.1--dev"):
        ((status, sentence),) = about_weights(configure(local_model=name))
        assert status == "broken"
        assert f"ATELIER_LOCAL_MODEL is “{name}”, which is neither a folder" in sentence


# --- Downloads --------------------------------------------------------------------------------


class Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.usefixtures("cache")
def test_gated_weights_without_a_token_are_broken_with_licence_page_and_size(
    configure: Configure,
) -> None:
    ((status, sentence),) = about_weights(configure(local_model=DEV))
    assert status == "broken"
    for part in (
        "the first job downloads about 33.7 GB",
        "HF_TOKEN is not set",
        "FLUX.1 [dev] Non-Commercial License",
        f"accept it at https://huggingface.co/{DEV}",
        "set HF_TOKEN",
    ):
        assert part in sentence


@pytest.mark.usefixtures("cache")
def test_gated_weights_with_a_token_only_wait_for_their_download(configure: Configure) -> None:
    ((status, sentence),) = about_weights(configure(local_model=DEV, hf_token="hf_private"))
    assert status == "warning"
    assert "accept it at" in sentence
    assert "hf_private" not in sentence


def test_a_token_of_the_hub_s_own_client_counts(
    configure: Configure, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "token").write_text("hf_private")
    ((status, _),) = about_weights(configure(local_model=DEV))
    assert status == "warning"


@pytest.mark.usefixtures("cache")
def test_other_weights_are_named_with_the_page_of_their_licence(configure: Configure) -> None:
    ((status, sentence),) = about_weights(configure(local_model="painter/flux"))
    assert status == "warning"
    assert "the first job downloads it" in sentence
    assert "licence at https://huggingface.co/painter/flux; HF_TOKEN is not set" in sentence


@pytest.mark.usefixtures("cache")
def test_a_disk_too_small_for_the_download_is_broken(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**12, 0, 20 * 10**9))
    lines = about_weights(configure(local_model=DEV, hf_token="hf_private"))
    assert [status for status, _ in lines] == ["warning", "broken"]
    assert "needs about 33.7 GB, and 20.0 GB are free" in lines[1][1]
    assert "HF_HOME" in lines[1][1]


def test_weights_that_are_downloaded_are_found_without_the_network(
    configure: Configure, cache: Path
) -> None:
    folder = model_in(snapshot(cache, DEV))
    assert about_weights(configure(local_model=DEV)) == [
        ("ok", f"The weights of {DEV} are complete, in {folder}. ")
    ]
    (folder / "vae" / "model.safetensors").unlink()
    ((_, sentence),) = about_weights(configure(local_model=DEV))
    assert "not downloaded yet, or not completely" in sentence


# --- Safety -----------------------------------------------------------------------------------


def about_checker(settings: Settings) -> tuple[str, str]:
    return said(drawing.models(settings))[-1]


@pytest.fixture
def flux(tmp_path: Path) -> Path:
    return model_in(tmp_path / "flux")


def test_a_checker_to_be_downloaded_says_what_its_absence_means(
    configure: Configure, flux: Path, cache: Path
) -> None:
    status, sentence = about_checker(configure(local_model=flux))
    assert status == "warning"
    assert f"The safety checker {CHECKER} is not downloaded yet." in sentence
    assert "every picture is `unchecked`" in sentence
    assert "(about 344 MB)" in sentence
    checker_in(snapshot(cache, CHECKER))
    assert about_checker(configure(local_model=flux)) == (
        "ok",
        f"The safety checker {CHECKER} is downloaded. ",
    )


@pytest.mark.usefixtures("cache")
def test_a_checker_that_cannot_be_had_leaves_pictures_unchecked(
    configure: Configure, flux: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for name, problem in (
        (str(tmp_path / "empty"), "lacks its config.json or its weights"),
        ("/nowhere", "which is neither a folder here nor a Hugging Face id"),
    ):
        status, sentence = about_checker(configure(local_model=flux, safety_model=name))
        assert status == "warning"
        assert problem in sentence
        assert "every picture is `unchecked`" in sentence
