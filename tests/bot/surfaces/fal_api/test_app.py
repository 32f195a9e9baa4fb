"""What holds for every route: its documentation, its errors, its headers."""

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from bot.surfaces.fal_api.access import Access
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.app import PREFIXES, create_api
from tests.fakes.fal_site import FLUX_1, fal_site


def _routes() -> set[str]:
    unused: Any = None
    services = (unused, unused, unused, unused, Access(), unused, unused, unused)
    with warnings.catch_warnings(action="ignore"):  # HEAD and GET share a name
        return set(create_api(FalApi(*services, jwks={})).openapi()["paths"])


def test_every_route_is_documented_and_no_other(root: Path) -> None:
    page = (root / "docs" / "self-hosted-fal.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(/.+?)` \|", page, re.MULTILINE)
    documented = {
        path for row in rows for path in (row.replace("[/{sub}]", ""), re.sub(r"[\[\]]", "", row))
    }
    assert documented == _routes()


def test_every_route_begins_as_the_server_was_told() -> None:
    assert [route for route in _routes() if not route.startswith(PREFIXES)] == []


async def test_what_is_no_route_is_answered_in_fals_form(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        for answer, status in (
            (await s.client.get("/queue/"), 404),
            (await s.client.get("/run/nothing"), 404),
            (await s.client.get(FLUX_1), 405),
        ):
            assert answer.status_code == status
            assert list(answer.json()) == ["detail"]
            assert answer.headers["x-fal-request-id"]


async def test_what_breaks_inside_is_told_as_an_internal_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=1", seed=1)
        await s.until(submitted, "COMPLETED")
        async with s.database.write() as sql:
            await sql.execute("UPDATE jobs SET result = '{}'")
        page = {"Origin": "https://anywhere.example"}
        answer = await s.client.get(submitted["response_url"], headers=page)
        assert (answer.status_code, answer.json()["error_type"]) == (500, "internal_error")
        assert answer.headers["x-fal-request-id"] == submitted["request_id"]
        assert answer.headers["access-control-allow-origin"] == "*"
