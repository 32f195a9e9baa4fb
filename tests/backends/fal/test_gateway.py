"""Where requests go, and with what."""

import pytest

from backends.fal.gateway import Gateway

FAL = Gateway("https://queue.fal.run", "https://rest.fal.ai", "id:secret")
MOUNTED = Gateway("http://10.0.0.5:8470/queue/", "http://10.0.0.5:8470/rest")


def test_each_scheme_has_its_header() -> None:
    bearer = Gateway(FAL.queue_url, FAL.rest_url, "k", "Bearer")

    assert FAL.headers() == {"Authorization": "Key id:secret"}
    assert bearer.headers() == {"Authorization": "Bearer k"}
    assert Gateway(FAL.queue_url, FAL.rest_url, "k", "none").headers() == {}
    assert MOUNTED.headers() == {}


def test_neither_key_nor_query_is_shown() -> None:
    gateway = Gateway(FAL.queue_url, FAL.rest_url, "id:secret", extra_query={"token": "hidden"})

    assert "secret" not in repr(gateway)
    assert "hidden" not in repr(gateway)


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("fal-ai/flux-lora", "fal-ai/flux-lora"),
        ("fal-ai/flux-2/lora", "fal-ai/flux-2"),
        ("workflows/me/mine/more", "workflows/me/mine"),
        ("comfy/me/mine", "comfy/me/mine"),
    ],
)
def test_a_request_is_asked_of_owner_and_app_only(endpoint: str, path: str) -> None:
    assert FAL.request_url(endpoint, "r1", "/status") == (
        f"https://queue.fal.run/{path}/requests/r1/status"
    )
    assert FAL.submit_url(endpoint) == f"https://queue.fal.run/{endpoint}"


@pytest.mark.parametrize(
    ("returned", "rebased"),
    [
        # Another origin, same path; a sub-path; another app; the mount point, there or not.
        ("https://evil.example/fal-ai/flux-lora/requests/r1/status", "fal-ai/flux-lora/requests"),
        ("https://x.example/fal-ai/flux-2/lora/requests/r1/status", "fal-ai/flux-2/lora/requests"),
        ("https://x.example/fal-ai/auto/requests/r1/status", "fal-ai/auto/requests"),
        (
            "http://other:8470/queue/fal-ai/flux-lora/requests/r1/status",
            "fal-ai/flux-lora/requests",
        ),
        # What leads to something else is built anew.
        ("https://evil.example/fal-ai/flux-lora/requests/r2/status", "fal-ai/app/requests"),
        ("https://evil.example/a/../b/requests/r1/status", "fal-ai/app/requests"),
        ("https://evil.example/a//requests/r1/status", "fal-ai/app/requests"),
        ("https://evil.example/a%2fb/requests/r1/status", "fal-ai/app/requests"),
        ("https://evil.example/requests/r1/cancel", "fal-ai/app/requests"),
        ("not a url", "fal-ai/app/requests"),
        ("http://[broken/requests/r1/status", "fal-ai/app/requests"),
        (None, "fal-ai/app/requests"),
    ],
)
def test_a_returned_url_is_moved_to_the_configured_base(returned: object, rebased: str) -> None:
    built = MOUNTED.request_url("fal-ai/app", "r1", "/status")

    assert MOUNTED.rebase(returned, built) == (f"http://10.0.0.5:8470/queue/{rebased}/r1/status")


def test_a_results_alias_is_kept() -> None:
    built = FAL.request_url("fal-ai/flux-lora", "r1")
    alias = "https://queue.fal.run/fal-ai/flux-lora/requests/r1/response"

    assert FAL.rebase(alias, built) == alias


def test_the_extra_query_goes_with_every_call_beside_the_urls_own() -> None:
    gateway = Gateway("https://router.example/fal", "https://r.example", extra_query={"_sub": "q"})

    called = gateway.call("https://router.example/fal/x?sig=1", logs="1")

    assert dict(called.params) == {"sig": "1", "logs": "1", "_sub": "q"}


@pytest.mark.parametrize(
    "url",
    ["queue.fal.run", "ftp://x.example", "https://", "https://a:b@x.example", "https://x?a=1"],
)
def test_what_is_no_address_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"use one such as https://queue\.fal\.run"):
        Gateway(url, "https://rest.fal.ai")


@pytest.mark.parametrize("key", ["", "id: secret", "id:secret\n"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="copy it again") as caught:
        Gateway(FAL.queue_url, FAL.rest_url, key)

    assert not key or key not in str(caught.value)
