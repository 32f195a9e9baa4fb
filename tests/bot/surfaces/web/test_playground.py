"""The playground's API over a real socket."""

import asyncio
import hashlib
import io
import uuid
from pathlib import Path

import httpx
import pytest
from PIL import Image

from bot.communities import Change
from bot.permissions import Requester
from bot.policy import FlaggedRule
from bot.recipe import read
from tests.fakes.site import INSTANCE, STATUS, site

OWNER = Requester("owner", owner=True)


async def test_text_becomes_a_card_with_a_picture_that_carries_its_recipe(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        job = await s.imagine("steps=3 --seed 5 --size 64x64 --format png")
        assert job["settings"]["seed"] == 5
        done = await s.until(job["id"], "done")
        [picture] = done["pictures"]
        assert (picture["treatment"], picture["verdict"]) == ("show", "clear")
        answer = await s.client.get(picture["url"])
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
        recipe = read(answer.content)
        assert recipe is not None
        assert recipe.seed == 5
        saved = await s.client.get(picture["download"])
        assert "attachment" in saved.headers["content-disposition"]
        assert done["recipe"]["seed"] == 5


async def test_the_same_id_twice_is_one_job(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        name = str(uuid.uuid4())
        first, second = await s.imagine("a", name), await s.imagine("a", name)
        assert first["number"] == second["number"]
        listed = (await s.client.get("/api/jobs")).json()
        assert len(listed["jobs"]) == 1


@pytest.mark.parametrize(
    ("text", "error", "corrected"),
    [
        (
            "a cat --stepz 4",
            "“--stepz” is not a flag; did you mean --steps?",
            "/imagine a cat --st",
        ),
        ("a cat --steps 99", "steps is 99; use 1 to 50.", None),
        ("a cat --lora nope", "There is no LoRA “nope”.", None),
        ("a cat --preset nope", "There is no preset nope here.", None),
        ("a\u202ecat", "prompt cannot be used as it is; remove the character U+202E", None),
    ],
)
async def test_what_cannot_be_done_is_said_with_the_way_out(
    tmp_path: Path, text: str, error: str, corrected: str | None
) -> None:
    async with site(tmp_path) as s:
        answer = await s.client.post("/api/imagine", json={"text": text, "id": str(uuid.uuid4())})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(error)
        assert (answer.json()["corrected"] or "").startswith(corrected or "")
        assert (await s.client.get("/api/jobs")).json()["jobs"] == []


async def test_every_open_page_sees_the_job_from_hello_to_its_picture(tmp_path: Path) -> None:
    async with site(tmp_path) as s, s.events() as one, s.events() as other:
        assert (await anext(one))[0] == "hello"
        assert (await anext(other))[0] == "hello"
        job = await s.imagine("steps=10 pause=0.05")
        for page in (one, other):
            steps, states = [], []
            async with asyncio.timeout(10):
                async for name, data in page:
                    assert (name, data["id"]) == ("job", job["id"])
                    states.append(data["state"])
                    if data["progress"] and data["progress"]["kind"] == "drawing":
                        steps.append(data["progress"]["step"])
                    if data["state"] == "done":
                        break
            assert steps
            assert steps == sorted(steps)
            assert data["pictures"]
            assert states[-1] == "done"


async def test_a_page_that_comes_late_is_told_all_at_once(tmp_path: Path) -> None:
    async with site(tmp_path, slots=1) as s:
        done = await s.imagine("steps=1")
        await s.until(done["id"], "done")
        running = await s.imagine("hang")
        waiting = await s.imagine("b")
        async with s.events() as events:
            name, data = await anext(events)
        assert name == "hello"
        assert {job["id"] for job in data["jobs"]} == {done["id"], running["id"], waiting["id"]}


async def test_fifty_jobs_from_ten_pages_end_right_on_every_page(tmp_path: Path) -> None:
    async with site(tmp_path, slots=4) as s:

        async def page() -> dict[str, str]:
            last: dict[str, str] = {}
            async with s.events() as events:
                async for name, data in events:
                    for job in data["jobs"] if name == "hello" else [data]:
                        known, last[job["id"]] = last.get(job["id"]), job["state"]
                        assert known != "done" or job["state"] == "done", "back to life"
                    if len(last) == 50 and set(last.values()) == {"done"}:
                        return last
            return last

        pages = [asyncio.create_task(page()) for _ in range(10)]
        await asyncio.sleep(0.2)
        jobs = await asyncio.gather(*(s.imagine(f"steps=3 n{i} --seed {i}") for i in range(50)))
        async with asyncio.timeout(100):
            seen = await asyncio.gather(*pages)
        assert all(set(page) == {job["id"] for job in jobs} for page in seen)


async def test_history_comes_in_pages_newest_first(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        for index in range(5):
            await s.imagine(f"job{index}")
        first = (await s.client.get("/api/jobs", params={"limit": 3})).json()
        assert [job["prompt"] for job in first["jobs"]] == ["job4", "job3", "job2"]
        assert first["more"]
        before = first["jobs"][-1]["number"]
        rest = (await s.client.get("/api/jobs", params={"limit": 3, "before": before})).json()
        assert [job["prompt"] for job in rest["jobs"]] == ["job1", "job0"]
        assert not rest["more"]


async def test_history_survives_a_restart_and_unfinished_jobs_go_on(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        job = await s.imagine("steps=30 pause=0.1 --seed 3")
        await s.until(job["id"], "running")
    async with site(tmp_path) as s:
        listed = (await s.client.get("/api/jobs")).json()
        assert [one["id"] for one in listed["jobs"]] == [job["id"]]
        await s.until(job["id"], "done")


async def test_cancel_ends_a_running_and_a_waiting_job(tmp_path: Path) -> None:
    async with site(tmp_path, slots=1) as s:
        running, waiting = await s.imagine("hang"), await s.imagine("b")
        await s.until(running["id"], "running")
        for job in (waiting, running):
            await s.client.post(f"/api/jobs/{job['id']}/cancel")
            ended = await s.until(job["id"], "cancelled")
            assert ended["error"] == "Cancelled. Nothing was drawn."


async def test_delete_hides_the_job_and_removes_its_picture(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        job = await s.imagine("secret words --seed 1")
        done = await s.until(job["id"], "done")
        url = done["pictures"][0]["url"]
        assert (await s.client.delete(f"/api/jobs/{job['id']}")).status_code == 204
        assert (await s.client.get(f"/api/jobs/{job['id']}")).status_code == 404
        assert (await s.client.get(url)).status_code == 404
        assert (await s.client.get("/api/jobs")).json()["jobs"] == []
        assert (await s.pictures.usage()).pictures == 0
        assert "secret" not in str([tuple(r) for r in await s.database.rows("SELECT * FROM jobs")])


async def test_delete_leaves_the_picture_that_another_job_shares(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        first = await s.until((await s.imagine("same --seed 1"))["id"], "done")
        second = await s.until((await s.imagine("same --seed 1"))["id"], "done")
        await s.client.delete(f"/api/jobs/{first['id']}")
        assert (await s.client.get(second["pictures"][0]["url"])).status_code == 200


async def test_a_deleted_job_tells_the_pages(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        done = await s.until((await s.imagine("a"))["id"], "done")
        async with s.events() as events:
            await anext(events)
            await s.client.delete(f"/api/jobs/{done['id']}")
            async with asyncio.timeout(10):
                while (news := await anext(events))[0] != "gone":
                    assert news[1]["id"] == done["id"]
            assert news == ("gone", {"id": done["id"]})


async def test_variations_keep_the_seed_and_change_one_thing(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        text = "cat --seed 9 --steps 20 --guidance 3.5 --images 2"
        job = await s.until((await s.imagine(text))["id"], "done")

        async def again(**how: object) -> dict[str, object]:
            answer = await s.client.post(
                f"/api/jobs/{job['id']}/again", json={"how": how, "id": str(uuid.uuid4())}
            )
            assert answer.status_code == 201, answer.text
            settings: dict[str, object] = answer.json()["settings"]
            return settings

        original = job["settings"]
        assert await again(kind="draft") == {**original, "steps": 10}
        assert await again(kind="guidance", by=0.5) == {**original, "guidance": 4.0}
        assert await again(kind="guidance", by=-5) == {**original, "guidance": 0.0}
        assert await again(kind="retry") == original
        other = await again(kind="again")
        assert other["seed"] != 9
        assert {**other, "seed": 9} == original


async def test_a_dropped_picture_gives_the_command_that_draws_it(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        text = "a red circle --seed 5 --size 64x64 --format png"
        done = await s.until((await s.imagine(text))["id"], "done")
        data = (await s.client.get(done["pictures"][0]["url"])).content
        answer = await s.client.post("/api/recipe", content=data)
        assert answer.json()["source"] == "atelier"
        assert "a red circle" in answer.json()["command"]
        assert "--seed 5" in answer.json()["command"]


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\xff" * 50])
async def test_a_dropped_file_without_a_recipe_is_refused_kindly(
    tmp_path: Path, data: bytes
) -> None:
    async with site(tmp_path) as s:
        answer = await s.client.post("/api/recipe", content=data)
        assert answer.status_code == 422
        assert answer.json()["error"].endswith(".")


async def test_a_huge_upload_is_cut_off(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        answer = await s.client.post("/api/recipe", content=b"x" * (21 << 20))
        assert answer.status_code == 413


async def test_what_is_not_clear_is_hidden_as_the_rule_says(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        done = await s.until((await s.imagine("flagged"))["id"], "done")
        [picture] = done["pictures"]
        assert (picture["verdict"], picture["treatment"]) == ("flagged", "spoiler")
        url = picture["url"]
        change = Change({"flagged": FlaggedRule.WITHHOLD})
        await s.communities.change(INSTANCE, change, base=0, by=OWNER)
        [hidden] = (await s.client.get(f"/api/jobs/{done['id']}")).json()["pictures"]
        assert (hidden["treatment"], hidden["url"]) == ("withhold", None)
        assert (await s.client.get(url)).status_code == 404


async def test_the_status_tells_what_the_page_needs(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        status = (await s.client.get("/api/status")).json()
        assert status["sentence"] == STATUS.sentence
        assert status["loras"] == [{"name": "glow", "about": "FLUX.1"}]
        assert "steps" in {flag["name"] for flag in status["flags"]}


# --- Who may -----------------------------------------------------------------------------------


async def test_a_foreign_host_is_not_answered_on_a_loopback_server(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        for path in ("/", "/api/jobs", "/api/status", "/assets/app.js"):
            answer = await s.client.get(path, headers={"Host": "evil.example"})
            assert answer.status_code == 421, path


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Atelier": "1", "Origin": "https://evil.example"}, {"Origin": "http://127.0.0.1"}],
)
async def test_another_site_cannot_make_a_visitor_s_browser_draw(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with site(tmp_path, headers=headers) as s:
        body = {"text": "a", "id": str(uuid.uuid4())}
        assert (await s.client.post("/api/imagine", json=body)).status_code == 403
        assert (await s.client.delete(f"/api/jobs/{body['id']}")).status_code == 403


async def test_from_outside_the_token_opens_the_door_once_a_browser(tmp_path: Path) -> None:
    async with site(tmp_path, loopback_only=False) as s:
        outside = {"Host": "atelier.example", "X-Atelier": "1"}
        async with httpx.AsyncClient(base_url=s.url, headers=outside) as browser:
            assert (await browser.get("/")).status_code in {200, 404, 500}
            assert (await browser.get("/api/jobs")).status_code == 401
            wrong = await browser.post("/api/session", json={"token": "nope"})
            assert wrong.status_code == 401
            right = await browser.post("/api/session", json={"token": s.signer.web_token})
            assert right.status_code == 204
            cookie = right.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            session = {"Cookie": cookie.split(";")[0]}
            assert (await browser.get("/api/jobs", headers=session)).status_code == 200


async def test_a_proxy_on_this_machine_does_not_make_strangers_welcome(tmp_path: Path) -> None:
    async with site(tmp_path, loopback_only=False) as s:
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        assert (await s.client.get("/api/jobs", headers=forwarded)).status_code == 401
        assert (await s.client.get("/api/jobs")).status_code == 200


async def test_links_cannot_be_guessed(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        done = await s.until((await s.imagine("a"))["id"], "done")
        link = done["pictures"][0]["url"]
        assert (await s.client.get(link[:-2] + "xx")).status_code == 404
        digest = hashlib.sha256(done["id"].encode()).hexdigest()
        assert (await s.client.get(f"/files/{digest}")).status_code == 404


@pytest.mark.parametrize("name", ["../routes.py", "..%2froutes.py", "nothing.js", "%2e%2e"])
async def test_assets_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    async with site(tmp_path) as s:
        answer = await s.client.get(f"/assets/{name}")
        assert answer.status_code == 404
        assert "import" not in answer.text


async def test_the_page_has_a_strict_policy(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        answer = await s.client.get("/")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_malformed_requests_get_a_sentence(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        for body in ({}, {"text": 5, "id": "x"}, {"text": "a", "id": str(uuid.uuid4()), "more": 1}):
            answer = await s.client.post("/api/imagine", json=body)
            assert answer.status_code == 422
            assert answer.json()["error"].startswith("These fields cannot be read")
        answer = await s.client.get("/api/jobs/not-a-uuid")
        assert answer.status_code == 422
        answer = await s.client.get("/nothing")
        assert answer.status_code == 404
