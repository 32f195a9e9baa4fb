"""Tokens at rest."""

from hypothesis import given
from hypothesis import strategies as st

from bot.sealing import Vault

TOKEN = "aW50ZXJhY3Rpb246NzQ4e5f6a7b8c9d"


@given(st.text())
def test_what_was_sealed_is_opened_again(text: str) -> None:
    vault = Vault("s" * 32)
    assert vault.open(vault.seal(text)) == text


def test_what_is_kept_does_not_show_what_it_holds_and_is_never_the_same() -> None:
    vault = Vault("s" * 32)
    assert TOKEN not in vault.seal(TOKEN)
    assert vault.seal(TOKEN) != vault.seal(TOKEN)


def test_another_secret_or_a_changed_letter_opens_nothing() -> None:
    sealed = Vault("s" * 32).seal(TOKEN)
    assert Vault("t" * 32).open(sealed) is None
    changed = sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:]
    assert Vault("s" * 32).open(changed) is None
    assert Vault("s" * 32).open("") is None
