"""Tiny models of the real classes, built once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random FLUX.1 pipeline."""
    from tests.fakes.tiny_flux import save_pipeline

    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny-flux")


@pytest.fixture(scope="session")
def red_checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that calls mostly red pictures `nsfw`."""
    from tests.fakes.tiny_checker import save_red_checker

    return save_red_checker(tmp_path_factory.mktemp("models") / "red-checker")
