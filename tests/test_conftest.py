"""The rules of the suite itself, each tried on a small suite of its own."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, root: Path
) -> pytest.Pytester:
    """An empty suite under the same rules."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ["PYTHONPATH"]]))
    return pytester


def run(suite: pytest.Pytester) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "tests.conftest", "-rs", timeout=60)


def test_a_swallowed_attempt_to_leave_the_machine_still_fails_its_test(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        """
        import socket

        def test_that_hides_it():
            try:
                socket.getaddrinfo("huggingface.co", 443)
            except Exception:
                pass
        """
    )
    result = run(suite)
    result.stdout.fnmatch_lines(["*tried to reach huggingface.co*"])
    result.assert_outcomes(passed=1, errors=1)


BROWSER_AND_NODE = """
import pytest

@pytest.mark.browser
def test_in_a_browser():
    pass

@pytest.mark.node
def test_in_node():
    pytest.skip("the npm registry does not answer")

def test_of_our_own():
    pytest.skip("needs something else")
"""


def test_browser_and_node_tests_skip_with_a_reason_where_there_is_neither(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyfile(BROWSER_AND_NODE)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("ATELIER_CI", raising=False)
    result = run(suite)
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["*Chromium is not installed*", "*Node.js is not installed*"])


def test_the_same_skips_fail_in_ci_and_others_do_not(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyfile(BROWSER_AND_NODE)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("ATELIER_CI", "1")
    result = run(suite)
    result.assert_outcomes(errors=2, skipped=1)
    result.stdout.fnmatch_lines(["*skipped in CI*Chromium is not installed*"])


def test_settings_of_the_owner_are_not_seen_by_tests(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_owner")
    monkeypatch.setenv("ATELIER_DATA_DIR", "/srv/atelier")
    suite.makepyfile(
        """
        import os

        def test_that_looks():
            assert not {"HF_TOKEN", "ATELIER_DATA_DIR"} & set(os.environ)
        """
    )
    run(suite).assert_outcomes(passed=1)
