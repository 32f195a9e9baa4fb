"""The safety checker: verdicts, scores, and `unchecked` whenever anything is wrong."""

import json
import logging
import shutil
from pathlib import Path

import pytest
from PIL import Image

from backends.base import Verdict
from backends.local.safety import UNCHECKED, SafetyChecker

RED = Image.new("RGB", (96, 64), (220, 20, 20))
BLUE = Image.new("RGB", (64, 96), (20, 40, 220))


def checker(folder: Path, threshold: float = 0.85, *labels: str) -> SafetyChecker:
    return SafetyChecker(lambda: folder, threshold=threshold, labels=labels or ("nsfw",))


def test_a_score_above_the_threshold_is_flagged_and_another_is_clear(red_checker: Path) -> None:
    safety = checker(red_checker)
    red, blue = safety.check(RED), safety.check(BLUE)
    assert red.verdict is Verdict.FLAGGED
    assert red.score is not None
    assert red.score > 0.85
    assert blue.verdict is Verdict.CLEAR
    assert blue.score is not None
    assert blue.score < 0.2


def test_the_threshold_is_the_owners(red_checker: Path) -> None:
    assert checker(red_checker, 1.0).check(RED).verdict is Verdict.CLEAR
    assert checker(red_checker, 0.0).check(BLUE).verdict is Verdict.FLAGGED


def test_the_positive_labels_are_the_owners_and_their_case_does_not_matter(
    red_checker: Path,
) -> None:
    assert checker(red_checker, 0.85, "NORMAL").check(BLUE).verdict is Verdict.FLAGGED
    both = checker(red_checker, 0.85, "normal", "NSFW").check(BLUE)
    assert both.score == pytest.approx(1)


def test_the_same_picture_always_gets_the_same_score(red_checker: Path) -> None:
    safety = checker(red_checker)
    scores = {safety.check(picture).score for picture in (RED, BLUE, RED, RED)}
    assert len(scores) == 2


def test_a_model_that_cannot_load_leaves_pictures_unchecked_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    safety = checker(tmp_path / "nothing here")
    with caplog.at_level(logging.WARNING):
        safety.load()
        assert safety.check(RED) == safety.check(BLUE) == UNCHECKED
    assert len(caplog.records) == 1
    assert "stay unchecked" in caplog.text


def test_damaged_weights_leave_pictures_unchecked(red_checker: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(red_checker, tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert checker(folder).check(RED) == UNCHECKED


def test_a_model_without_any_positive_label_leaves_pictures_unchecked(red_checker: Path) -> None:
    assert checker(red_checker, 0.85, "hentai").check(RED) == UNCHECKED


def test_weights_that_are_not_numbers_leave_pictures_unchecked(
    red_checker: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(red_checker, tmp_path / "nan")
    tensors = load_file(folder / "model.safetensors")
    broken = {name: torch.full_like(tensor, float("nan")) for name, tensor in tensors.items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})
    assert checker(folder).check(RED) == UNCHECKED


def test_a_folder_that_only_has_pickled_weights_is_not_loaded(
    red_checker: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(red_checker, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert json.loads((folder / "config.json").read_text())["id2label"]["1"] == "nsfw"
    assert checker(folder).check(RED) == UNCHECKED
