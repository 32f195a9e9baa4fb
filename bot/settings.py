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
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backends.errors import shown

PREFIX: Final = "ATELIER_"
ENV_FILE: Final = Path(".env")
_HOST_NAME: Final = re.compile(r"[\w.-]+")
_OF_THE_TESTS: Final = frozenset({"ATELIER_CI"})


FAL_QUEUE: Final = "https://queue.fal.run"
FAL_REST: Final = "https://rest.fal.ai"


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


def _base_url(value: str) -> str:
    """Keep scheme, host, port and path of a web address."""
    url = urlsplit(value)
    try:
        usable = url.scheme in ("http", "https") and url.hostname and (url.port or 1)
    except ValueError:
        usable = False
    if not usable or url.username or url.query or url.fragment:
        raise ValueError("an address such as https://example.com, without user, ? and #")
    return value.rstrip("/")


def _gateway_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("ws", "wss") or not url.hostname:
        raise ValueError("an address such as wss://gateway.example.com")
    return value.rstrip("/")


def _fal_rest(queue_url: str) -> str:
    """Find the storage that belongs to a queue: a gateway's key must never reach fal's."""
    if queue_url == FAL_QUEUE:
        return FAL_REST
    url = urlsplit(queue_url)
    return f"{url.scheme}://{url.netloc}"


def _query(value: str) -> str:
    if not re.fullmatch(r"[!-~]*", value) or "#" in value:
        raise ValueError("a query such as name=value&other=value, percent-encoded")
    return value.lstrip("?&")


def _keys(value: object) -> object:
    """Split a comma-separated list of keys."""
    if not isinstance(value, str):
        return value
    return tuple(key.strip() for key in value.split(",") if key.strip())


def _long_enough(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    plain = [key.get_secret_value() for key in keys]
    if not all(re.fullmatch(r"[!-~]{16,200}", key) for key in plain):
        raise ValueError("keys of 16 to 200 characters without spaces, with commas between")
    if len(set(plain)) < len(plain):
        raise ValueError("different keys")
    return keys


def _sendable(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise ValueError("the token as it was given, without spaces and line breaks")
    return token


Token = Annotated[SecretStr, AfterValidator(_sendable)]
Folder = Annotated[Path, BeforeValidator(_folder), AfterValidator(_absolute)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
GatewayUrl = Annotated[str, AfterValidator(_gateway_url)]
Query = Annotated[str, AfterValidator(_query)]
Keys = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys), AfterValidator(_long_enough)
]
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

    backend: Literal["auto", "local", "fal", "demo"] = Field(
        "auto",
        description="Who draws: `local` uses the weights of `ATELIER_LOCAL_MODEL`, `fal` the"
        " service at `FAL_QUEUE_URL`, `demo` the small model that comes with Atelier. `auto`"
        " decides for each model: `local` if its weights are named, else `fal` with a key, else"
        " `demo`.",
    )
    discord_token: Token | None = Field(
        None,
        validation_alias="DISCORD_TOKEN",
        description="Token of the bot in Discord's developer portal. With it, the bot is online.",
    )
    discord_api_url: BaseUrl = Field(
        "https://discord.com/api/v10",
        validation_alias="DISCORD_API_URL",
        description="Where Discord's REST interface is; for proxies.",
    )
    discord_gateway_url: GatewayUrl | None = Field(
        None,
        validation_alias="DISCORD_GATEWAY_URL",
        description="Where Discord's gateway is. Unset: Discord says so itself.",
    )
    slack_bot_token: Token | None = Field(
        None,
        validation_alias="SLACK_BOT_TOKEN",
        description="Bot token of the Slack app (`xoxb-…`). With it, and one of the next two, the"
        " bot is in the workspace.",
    )
    slack_app_token: Token | None = Field(
        None,
        validation_alias="SLACK_APP_TOKEN",
        description="App-level token (`xapp-…`) with the scope `connections:write`: Socket Mode,"
        " which needs no public address.",
    )
    slack_signing_secret: Token | None = Field(
        None,
        validation_alias="SLACK_SIGNING_SECRET",
        description="Secret with which Slack signs what it sends to `/slack/events`; used where"
        " there is no `SLACK_APP_TOKEN`.",
    )
    slack_api_url: BaseUrl = Field(
        "https://slack.com/api",
        validation_alias="SLACK_API_URL",
        description="Where Slack's Web API is; for proxies.",
    )
    fal_key: Token | None = Field(
        None,
        validation_alias="FAL_KEY",
        description="Key of fal, or of the gateway at `FAL_QUEUE_URL`. It pays for what is drawn.",
    )
    fal_queue_url: BaseUrl = Field(
        FAL_QUEUE,
        validation_alias="FAL_QUEUE_URL",
        description="Where jobs are submitted: fal, or anything that speaks its queue protocol,"
        " such as another Atelier at `http://HOST:8470/queue`. Its host may be private.",
    )
    fal_rest_url: BaseUrl = Field(
        default_factory=lambda data: _fal_rest(data["fal_queue_url"]),
        validation_alias="FAL_REST_URL",
        description="Where LoRA files are uploaded and webhook keys are published. Unset:"
        " `https://rest.fal.ai`, or the origin of `FAL_QUEUE_URL` where that is not fal's.",
    )
    fal_auth_scheme: Literal["Key", "Bearer", "none"] = Field(
        "Key",
        validation_alias="FAL_AUTH_SCHEME",
        description="Word before the key: `Key`, `Bearer`, or `none` to send no key.",
    )
    fal_extra_query: Query = Field(
        "",
        validation_alias="FAL_EXTRA_QUERY",
        description="Fixed query that a gateway wants on every call, such as `_subdomain=queue`.",
    )
    fal_concurrency: int = Field(
        4,
        ge=1,
        le=100,
        validation_alias="FAL_CONCURRENCY",
        description="Jobs handed to fal at once. A new account draws 2 at a time; more wait in"
        " fal's queue, where our fairness among people ends.",
    )
    local_model: str | None = Field(
        None,
        description="Weights behind `fal-ai/flux-lora`: a Hugging Face id such as"
        " `black-forest-labs/FLUX.1-dev`, or a folder.",
    )
    hf_token: Token | None = Field(
        None,
        validation_alias="HF_TOKEN",
        description="Hugging Face token, for weights whose licence must be accepted first, and for"
        " LoRAs in private repositories.",
    )
    civitai_token: Token | None = Field(
        None,
        validation_alias="CIVITAI_TOKEN",
        description="Civitai token, for LoRAs that need an account there.",
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
    tls_cert: Path | None = Field(
        None,
        description="PEM file with the certificate and its chain; with `ATELIER_TLS_KEY` the"
        " server answers https only, which fal's Python client needs.",
    )
    tls_key: Path | None = Field(
        None, description="PEM file with the certificate's unencrypted key."
    )
    public_url: BaseUrl | None = Field(
        None,
        description="Address at which others reach this server. fal then tells when a job is done"
        " by a webhook.",
    )
    api_keys: Keys = Field(
        (),
        description="Keys of the fal-compatible endpoint, at least 16 characters each, with commas"
        " between; each is a requester of its own. Without any, the endpoint answers this machine"
        " only.",
    )
    allow_unchecked: bool = Field(
        False,
        description="Whether programs may turn the safety checker off with"
        " `enable_safety_checker: false`.",
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

    @field_validator("tls_key")
    @classmethod
    def _both_or_neither(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_cert") is None):
            raise ValueError("the key that belongs to ATELIER_TLS_CERT: set both or neither")
        return key

    @property
    def draws_with_demo(self) -> bool:
        """Whether the demo model is what draws here."""
        if self.backend == "auto":
            return self.local_model is None and not self.draws_with_fal
        return self.backend == "demo"

    @property
    def jobs_db(self) -> Path:
        """The database of jobs, communities and members."""
        return self.data_dir / "jobs.db"

    @property
    def registry_db(self) -> Path:
        """The database of presets and LoRAs."""
        return self.data_dir / "registry.db"

    @property
    def spool_dir(self) -> Path:
        """Where the drawing process tells `atelier imagine` how its job goes."""
        return self.data_dir / "terminal"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the log to hide."""
        values = [getattr(self, name) for name in type(self).model_fields]
        single = [value for value in values if isinstance(value, SecretStr)]
        return tuple(value.get_secret_value() for value in [*single, *self.api_keys])

    @property
    def draws_with_fal(self) -> bool:
        """Whether jobs may go to fal: with a key, or to a gateway that wants none."""
        asked = self.backend in {"auto", "fal"}
        return asked and (self.fal_key is not None or self.fal_auth_scheme == "none")


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
    secret = "SecretStr" in str(info.annotation) or "@" in str(error["input"])
    value = "not usable" if secret else shown(error["input"])
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
