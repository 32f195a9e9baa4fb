"""The environment, and `.env` beside it, read once into a frozen `Settings`.

    SettingsError    str(error) names each wrong variable, its value and what is allowed

`docs/configuration.md` and `.env.example` list every field of `Settings`; a test keeps them so.
"""

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote, urlsplit

import annotated_types
from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backends.errors import shown

PREFIX: Final = "ATELIER_"
ENV_FILE: Final = Path(".env")
_HOST_NAME: Final = re.compile(r"[\w.-]+")
_OF_THE_TESTS: Final = frozenset({"ATELIER_CI"})


class SettingsError(Exception):
    """One or more variables cannot be used. Never contains the value of a secret."""


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("a folder of somebody who exists on this machine") from None


def _folder(value: object) -> object:
    """Accept a `file://` URL where a folder is meant; other schemes have no folder."""
    if not isinstance(value, str) or "://" not in value:
        return value
    url = urlsplit(value)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise ValueError("a folder, or a file:// URL of one")
    return unquote(url.path)


def _names(value: object) -> object:
    """Split a comma-separated list of host names."""
    if not isinstance(value, str):
        return value
    names = [name.strip().lower() for name in value.split(",")]
    return tuple(name for name in names if name)


def _host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_HOST_NAME.fullmatch(name) or _is_ipv6(name.strip("[]")) for name in names):
        raise ValueError("host names with commas between, without https:// and without a port")
    return names


def _is_ipv6(name: str) -> bool:
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        return False
    return True


def _sendable(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise ValueError("the token as it was given, without spaces and line breaks")
    return token


Token = Annotated[SecretStr, AfterValidator(_sendable)]
Folder = Annotated[Path, BeforeValidator(_folder), AfterValidator(_absolute)]
HostNames = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_names), AfterValidator(_host_names)
]


class Settings(BaseSettings):
    """What the owner of this installation chose. Folders are absolute; an empty value is unset.

    `load_settings` also reads `.env` and words the errors; `Settings(...)` is for tests.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        validate_default=True,
    )

    backend: Literal["auto", "local", "demo"] = Field(
        "auto",
        description="Who draws: `local` uses the weights of `ATELIER_LOCAL_MODEL`, `demo` the small"
        " model that comes with Atelier, `auto` the first of these that is there.",
    )
    local_model: str | None = Field(
        None,
        description="Weights behind `fal-ai/flux-lora`: a Hugging Face id such as"
        " `black-forest-labs/FLUX.1-dev`, or a folder.",
    )
    hf_token: Token | None = Field(
        None,
        validation_alias="HF_TOKEN",
        description="Hugging Face token, for weights whose licence must be accepted first.",
    )
    safety_model: str = Field(
        "Falconsai/nsfw_image_detection",
        description="Image classifier that looks at every picture: a Hugging Face id or a folder."
        " One that cannot load makes every picture `unchecked`. The demo model has its own.",
    )
    safety_threshold: float = Field(
        0.85, ge=0, le=1, description="A score above this is flagged. 0 to 1."
    )
    data_dir: Folder = Field(
        Path("data"), description="Where Atelier keeps everything that must survive a restart."
    )
    storage_dir: Folder = Field(
        default_factory=lambda data: data["data_dir"] / "storage",
        validation_alias=f"{PREFIX}STORAGE_URL",
        description="Where pictures are kept: a folder, or a `file://` URL of one. Unset:"
        " `storage` in the data folder.",
    )
    lora_dir: Folder = Field(
        default_factory=lambda data: data["data_dir"] / "loras",
        description="The only folder whose LoRA files may be used by name. Unset: `loras` in the"
        " data folder.",
    )
    trusted_hosts: HostNames = Field(
        (),
        description="Private host names that LoRAs may be fetched from, at any port and over plain"
        " http, with commas between. Public hosts need no mention.",
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of the HTTP server. Loopback is reached from this machine only.",
    )
    port: int = Field(
        8470, ge=0, le=65535, description="Port of the HTTP server; 0 takes any free one."
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs links to pictures and sessions of the playground. Unset: made on the"
        " first start and kept in `secret.key` in the data folder.",
    )
    keep_pictures_days: int = Field(
        30,
        ge=0,
        le=36_500,
        description="Days after which a delivered picture is deleted here; 0 keeps all.",
    )
    keep_jobs_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which a finished job is forgotten, and with it what the buttons"
        " under its picture need; 0 keeps all.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much Atelier logs: `debug`, `info`, `warning` or `error`."
    )

    @property
    def jobs_db(self) -> Path:
        """The database of jobs, communities and members."""
        return self.data_dir / "jobs.db"

    @property
    def spool_dir(self) -> Path:
        """Where the drawing process tells `atelier imagine` how its job goes."""
        return self.data_dir / "terminal"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the log to hide."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def variable(name: str) -> str:
    """Name the environment variable behind the field `name`."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def load_settings(env_file: Path = ENV_FILE) -> Settings:
    """Read the environment, then `env_file` for what the environment leaves out.

    Raises:
        SettingsError: names every variable that is wrong.
    """
    try:
        return Settings(_env_file=env_file, _env_file_encoding="utf-8")
    except ValidationError as error:
        problems = (e for e in error.errors() if e["type"] != "default_factory_not_called")
        raise SettingsError(" ".join(map(_sentence, problems))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{env_file} cannot be read ({error}); correct or remove it.") from None


def unknown_variables(env_file: Path = ENV_FILE) -> list[str]:
    """Say which `ATELIER_` variables mean nothing here, each with the nearest that does."""
    ours = {v for v in map(variable, Settings.model_fields) if v.startswith(PREFIX)}
    given = {*os.environ, *dotenv_values(env_file)}
    unknown = sorted(
        name
        for name in given
        if name.upper().startswith(PREFIX) and name.upper() not in ours | _OF_THE_TESTS
    )
    return [_suggestion(name, ours) for name in unknown]


def _suggestion(name: str, known: set[str]) -> str:
    # The prefix is common to all; with it, everything would look similar.
    endings = [k.removeprefix(PREFIX) for k in known]
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), endings, n=1, cutoff=0.7)
    return f"{name} means nothing to this version of Atelier" + (
        f"; did you mean {PREFIX}{near[0]}?" if near else "."
    )


def _sentence(error: ErrorDetails) -> str:
    """Word one of pydantic's errors."""
    location = str(error["loc"][0])
    names = (n for n in Settings.model_fields if location in (n, variable(n)))
    name = next(names)
    info = Settings.model_fields[name]
    value = "not usable" if "SecretStr" in str(info.annotation) else shown(error["input"])
    return f"{variable(name)} is {value}; use {_allowed(info, error)}."


def _allowed(info: FieldInfo, error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "literal_error":
        return str(context["expected"]).replace("'", "")
    if error["type"] == "value_error":
        return str(context["error"])
    numbers = {int: "a whole number", float: "a number"}
    if info.annotation not in numbers:
        return "text"
    low = [f" from {m.ge}" for m in info.metadata if isinstance(m, annotated_types.Ge)]
    high = [f" to {m.le}" for m in info.metadata if isinstance(m, annotated_types.Le)]
    return "".join((numbers[info.annotation], *low, *high))
