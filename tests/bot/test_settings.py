"""Settings: the environment and `.env` become one frozen value, or one clear sentence."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.settings import Settings, SettingsError, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_any_variable_everything_has_its_default(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.backend == "auto"
    assert (settings.host, settings.port) == ("127.0.0.1", 8470)
    assert settings.data_dir == tmp_path / "data"
    assert settings.jobs_db == tmp_path / "data" / "jobs.db"
    assert settings.storage_dir == tmp_path / "data" / "storage"
    assert settings.lora_dir == tmp_path / "data" / "loras"
    assert settings.local_model is None
    assert settings.trusted_hosts == ()
    assert settings.secrets == ()


def test_folders_follow_the_data_folder_unless_they_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_DATA_DIR", "kept")
    monkeypatch.setenv("ATELIER_LORA_DIR", "~/weights")
    settings = load_settings()
    assert settings.storage_dir == tmp_path / "kept" / "storage"
    assert settings.lora_dir == Path.home() / "weights"


def test_pictures_may_be_put_in_a_folder_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_STORAGE_URL", "file:///srv/our%20pictures")
    assert load_settings().storage_dir == Path("/srv/our pictures")


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ATELIER_PORT=9000\nATELIER_BACKEND=demo\n", encoding="utf-8")
    monkeypatch.setenv("ATELIER_PORT", "9001")
    settings = load_settings()
    assert (settings.port, settings.backend) == (9001, "demo")


def test_an_empty_value_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_LOCAL_MODEL", "")
    monkeypatch.setenv("ATELIER_PORT", "")
    settings = load_settings()
    assert settings.local_model is None
    assert settings.port == 8470


def test_host_names_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_TRUSTED_HOSTS", "NAS.lan, 10.0.0.7, [fd00::1],")
    assert load_settings().trusted_hosts == ("nas.lan", "10.0.0.7", "[fd00::1]")


@pytest.mark.parametrize(
    ("queue", "rest"),
    [
        ("", "https://rest.fal.ai"),
        ("https://queue.fal.run/", "https://rest.fal.ai"),
        ("http://gpu.lan:8470/queue", "http://gpu.lan:8470"),
    ],
)
def test_files_go_to_the_storage_that_belongs_to_the_queue(
    queue: str, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_QUEUE_URL", queue)
    assert load_settings().fal_rest_url == rest
    monkeypatch.setenv("FAL_REST_URL", "https://files.example.com/")
    assert load_settings().fal_rest_url == "https://files.example.com"


@pytest.mark.parametrize(
    ("variables", "drawn"),
    [
        ({}, False),
        ({"FAL_KEY": "id:secret"}, True),
        ({"FAL_AUTH_SCHEME": "none"}, True),
        ({"FAL_KEY": "id:secret", "ATELIER_BACKEND": "fal"}, True),
        ({"FAL_KEY": "id:secret", "ATELIER_BACKEND": "demo"}, False),
    ],
)
def test_fal_draws_with_a_key_or_where_none_is_wanted(
    variables: dict[str, str], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings().draws_with_fal is drawn


def test_keys_of_the_endpoint_are_a_list_that_no_log_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_API_KEYS", "first-key-of-many, second-key-of-many,")
    settings = load_settings()
    assert [key.get_secret_value() for key in settings.api_keys] == [
        "first-key-of-many",
        "second-key-of-many",
    ]
    assert "second-key-of-many" in settings.secrets
    assert "key-of-many" not in repr(settings)


@pytest.mark.parametrize(
    "keys", ["short", "with a space in it", "twice-the-same-key,twice-the-same-key"]
)
def test_keys_that_cannot_be_used_are_refused_without_being_shown(
    keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_API_KEYS", keys)
    with pytest.raises(SettingsError, match="ATELIER_API_KEYS is not usable") as caught:
        load_settings()
    assert keys not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "FAL_QUEUE_URL",
            "queue.fal.run",
            "FAL_QUEUE_URL is “queue.fal.run”; use an address such as https://example.com, without"
            " user, ? and #.",
        ),
        (
            "FAL_REST_URL",
            "https://me:secret@example.com",
            "FAL_REST_URL is not usable; use an address such as"
            " https://example.com, without user, ? and #.",
        ),
        (
            "ATELIER_TLS_CERT",
            "/etc/cert.pem",
            "ATELIER_TLS_KEY is None; use the key that belongs to ATELIER_TLS_CERT: set both or"
            " neither.",
        ),
        (
            "ATELIER_BACKEND",
            "gpu",
            "ATELIER_BACKEND is “gpu”; use auto, local, fal or demo.",
        ),
        (
            "ATELIER_PORT",
            "eighty",
            "ATELIER_PORT is “eighty”; use a whole number from 0 to 65535.",
        ),
        (
            "ATELIER_PORT",
            "70000",
            "ATELIER_PORT is “70000”; use a whole number from 0 to 65535.",
        ),
        (
            "ATELIER_KEEP_PICTURES_DAYS",
            "-1",
            "ATELIER_KEEP_PICTURES_DAYS is “-1”; use a whole number from 0 to 36500.",
        ),
        (
            "ATELIER_SAFETY_THRESHOLD",
            "nan",
            "ATELIER_SAFETY_THRESHOLD is “nan”; use a number from 0 to 1.",
        ),
        (
            "ATELIER_LOG_LEVEL",
            "loud",
            "ATELIER_LOG_LEVEL is “loud”; use debug, info, warning or error.",
        ),
        (
            "ATELIER_STORAGE_URL",
            "s3://bucket/pictures",
            "ATELIER_STORAGE_URL is “s3://bucket/pictures”; use a folder, or a file:// URL of one.",
        ),
        (
            "ATELIER_DATA_DIR",
            "~nobody-of-that-name/data",
            "ATELIER_DATA_DIR is “~nobody-of-that-name/data”; use a folder of somebody who exists "
            "on this machine.",
        ),
        (
            "HF_TOKEN",
            "hf_abc def",
            "HF_TOKEN is not usable; use the token as it was given, without spaces and line "
            "breaks.",
        ),
        (
            "ATELIER_TRUSTED_HOSTS",
            "nas.lan:8080",
            "ATELIER_TRUSTED_HOSTS is “nas.lan:8080”; use host names with commas between, "
            "without https:// and without a port.",
        ),
        (
            "ATELIER_TRUSTED_HOSTS",
            "https://nas.lan",
            "ATELIER_TRUSTED_HOSTS is “https://nas.lan”; use host names with commas between, "
            "without https:// and without a port.",
        ),
    ],
)
def test_a_bad_value_gives_the_variable_the_value_and_what_is_allowed(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == sentence


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_BACKEND", "gpu")
    monkeypatch.setenv("ATELIER_PORT", "-1")
    with pytest.raises(SettingsError, match=r"ATELIER_BACKEND is .* ATELIER_PORT is "):
        load_settings()


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"ATELIER_PORT=\xff\n")
    with pytest.raises(SettingsError, match=r"^\.env cannot be read .* correct or remove it\.$"):
        load_settings()


def test_a_secret_is_readable_by_code_and_hidden_when_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    settings = load_settings()
    assert settings.secrets == ("hf_abcdef",)
    assert "hf_abcdef" not in f"{settings} {settings!r}"
    assert "hf_abcdef" not in settings.model_dump_json()


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_a_misspelt_variable_is_reported_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_BACKND", "demo")
    (tmp_path / ".env").write_text("ATELIER_COLOUR=green\nOTHER=1\n", encoding="utf-8")
    assert unknown_variables() == [
        "ATELIER_BACKND means nothing to this version of Atelier; did you mean ATELIER_BACKEND?",
        "ATELIER_COLOUR means nothing to this version of Atelier.",
    ]


def test_known_variables_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_BACKEND", "demo")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    monkeypatch.delenv("ATELIER_CI", raising=False)
    assert unknown_variables() == []
