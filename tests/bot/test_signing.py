"""Links, sessions and tokens of one instance."""

import stat
from pathlib import Path

import pytest

from bot.signing import BadLink, Signer, load_secret

DAY = 86_400


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_link_leads_to_its_picture_for_a_day_at_least_and_two_at_most() -> None:
    clock = Clock()
    signer = Signer("s" * 32, clock)
    link = signer.link("job", 2)
    clock.now += DAY
    assert signer.read_link(link) == ("job", 2)
    clock.now += DAY
    with pytest.raises(BadLink, match="expired"):
        signer.read_link(link)


def test_a_link_stays_the_same_within_a_day_so_that_browsers_may_cache_it() -> None:
    clock = Clock()
    signer = Signer("s" * 32, clock)
    clock.now = clock.now // DAY * DAY
    first = signer.link("job", 0)
    clock.now += DAY - 1
    assert signer.link("job", 0) == first
    clock.now += 2
    assert signer.link("job", 0) != first


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: "A" + t[1:], lambda t: t + "x"])
def test_a_changed_link_is_none(change: object) -> None:
    signer = Signer("s" * 32)
    with pytest.raises(BadLink):
        signer.read_link(change(signer.link("job", 0)))  # type: ignore[operator]


def test_what_one_instance_signed_is_nothing_for_another() -> None:
    with pytest.raises(BadLink):
        Signer("b" * 32).read_link(Signer("a" * 32).link("job", 0))
    assert not Signer("b" * 32).is_session(Signer("a" * 32).session())
    assert not Signer("b" * 32).is_web_token(Signer("a" * 32).web_token)


def test_a_link_is_no_session_and_a_session_no_link() -> None:
    signer = Signer("s" * 32)
    assert signer.is_session(signer.session())
    assert not signer.is_session(signer.link("job", 0))
    with pytest.raises(BadLink):
        signer.read_link(signer.session())


@pytest.mark.parametrize("text", ["", "a.b", "é", "…", "x" * 10_000])
def test_nonsense_is_refused_quietly(text: str) -> None:
    signer = Signer("s" * 32)
    assert not signer.is_session(text)
    assert not signer.is_web_token(text)
    with pytest.raises(BadLink):
        signer.read_link(text)


def test_the_web_token_is_the_same_after_a_restart() -> None:
    assert Signer("s" * 32).web_token == Signer("s" * 32).web_token
    assert Signer("s" * 32).is_web_token(Signer("s" * 32).web_token)


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    secret = load_secret(tmp_path)
    assert len(secret) >= 32
    assert load_secret(tmp_path) == secret
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_was_never_written_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "secret.key").touch()
    assert len(load_secret(tmp_path)) >= 32


def test_a_ticket_gives_back_its_value_for_its_purpose_until_it_ends() -> None:
    clock = Clock()
    signer = Signer("s" * 32, clock)
    ticket = signer.ticket("upload", ["ann", 1.5], 60)
    assert signer.read_ticket("upload", ticket) == ["ann", 1.5]
    with pytest.raises(BadLink):
        signer.read_ticket("download", ticket)
    clock.now += 60
    with pytest.raises(BadLink, match="expired"):
        signer.read_ticket("upload", ticket)
