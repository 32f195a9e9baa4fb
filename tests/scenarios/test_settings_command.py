"""`atelier settings`, as installed: the owner's own layer, one community's, and damage."""

import json
import sqlite3

from tests.fakes.command_line import CommandLine, sentence


def said(atelier: CommandLine, *args: str) -> str:
    done = atelier("settings", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(atelier: CommandLine, *args: str, code: int = 2) -> str:
    done = atelier("settings", *args)
    assert (done.returncode, done.stdout) == (code, "")
    return sentence(done.stderr)


def test_the_owner_sets_bounds_and_resets_what_cannot_be_read(atelier: CommandLine) -> None:
    assert said(atelier, "set", "daily_budget", "$10") == (
        "Saved. Daily budget: $10 a day (set here).\n"
    )
    words = ("set", "blocked_words", "cat, wet dog", "--community", "7", "--json")
    assert json.loads(said(atelier, *words)) == {
        "community": "7",
        "version": 1,
        "settings": {"blocked_words": {"value": ["cat", "wet dog"], "from": "community"}},
    }
    said(atelier, "set", "roles.5.max_steps", "40", "--community", "7")
    shown = said(atelier, "show", "--community", "7")
    for part in ("$10 a day", "set by the owner", "  wet dog", "roles.5: most steps: 40 steps"):
        assert part in shown
    assert "did you mean max_steps" in refused(atelier, "reset", "max_stepz")

    with sqlite3.connect(atelier.data / "jobs.db") as database:
        database.execute("UPDATE community_settings SET document = 'x' WHERE community != '7'")
    database.close()
    damaged = refused(atelier, "show", "--community", "7", code=3)
    assert damaged.endswith("The command is “atelier settings reset”.")
    assert said(atelier, "reset", "--yes") == "Nothing is set for the whole instance any more.\n"
    whole = json.loads(said(atelier, "show", "--json"))
    assert {one["from"] for one in whole["settings"].values()} == {"default"}
