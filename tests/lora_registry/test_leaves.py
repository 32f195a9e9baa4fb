"""The two leaves that backends may import stand alone."""

import subprocess
import sys

import pytest

FORBIDDEN = {"torch", "numpy", "safetensors", "bot", "backends", "sqlite3", "pydantic_settings"}


@pytest.mark.parametrize("leaf", ["fetch", "weights"])
def test_a_leaf_loads_no_model_library_no_store_and_no_settings(leaf: str) -> None:
    code = f"import lora_registry.{leaf}, sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert loaded.isdisjoint(FORBIDDEN)
