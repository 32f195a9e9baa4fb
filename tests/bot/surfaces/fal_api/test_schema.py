"""The endpoint's description says what it takes."""

from pathlib import Path
from typing import Any

import pytest

from backends.base import MODELS
from tests.fakes.fal_site import FLUX_1, FLUX_2, fal_site


@pytest.mark.parametrize(("path", "model"), [(FLUX_1, "flux-1"), (FLUX_2, "flux-2")])
async def test_the_description_has_fals_fields_with_their_ranges(
    tmp_path: Path, path: str, model: Any
) -> None:
    async with fal_site(tmp_path) as s:
        document = (await s.nobody.get(f"{path}/openapi.json")).json()
        assert document["servers"] == [{"url": f"{s.url}/queue"}]
        assert path.removeprefix("/queue") in document["paths"]
        schemas = document["components"]["schemas"]
        fields = schemas["Input"]["properties"]
        assert set(fields) == set(MODELS[model].model_fields) - {"model"}
        assert schemas["Input"]["required"] == ["prompt"]
        assert fields["image_size"]["default"] == "landscape_4_3"
        assert fields["num_inference_steps"]["maximum"] == 50
        assert set(schemas["Output"]["properties"]) == {
            "images",
            "timings",
            "seed",
            "seeds",
            "has_nsfw_concepts",
            "prompt",
        }
        assert sorted(_missing(document, schemas)) == []


def _missing(node: Any, schemas: dict[str, Any]) -> set[str]:
    """References that lead nowhere."""
    if isinstance(node, list):
        return {name for item in node for name in _missing(item, schemas)}
    if not isinstance(node, dict):
        return set()
    found = {name for item in node.values() for name in _missing(item, schemas)}
    if isinstance(ref := node.get("$ref"), str):
        name = ref.rpartition("/")[2]
        return found | ({ref} if name not in schemas else set())
    return found
