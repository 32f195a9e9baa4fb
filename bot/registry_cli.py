"""What every command about presets and LoRAs shares: it opens the registry, and ends properly.

Answers go to standard output, everything else to standard error: with `--json` the former is one
object on one line. Loads the registry, so the commands import it when they are called.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, TypeVar

import typer
from rich.console import Console

from backends.errors import BackendError
from bot import wording
from bot.commands.prompt import PromptError
from bot.database import DatabaseError
from bot.demo_presets import install_demo
from bot.exit import Exit
from bot.log import configure
from bot.recipe import RecipeError
from bot.registry import Registry, open_registry
from bot.settings import Settings, SettingsError, load_settings
from bot.surfaces.terminal.view import Output, print_object
from lora_registry.errors import RegistryError
from lora_registry.fetch import AddressRefused, FetchError
from lora_registry.library import LibraryError
from lora_registry.weights import WeightsError

Work = Callable[[Settings, Registry], Awaitable[None]]
Value = TypeVar("Value")


def perform(work: Work) -> None:
    """Do `work` with the registry open.

    Raises:
        typer.Exit: it did not go well; a person was told why in one sentence.
    """
    try:
        settings = load_settings()
        asked = "log_level" in settings.model_fields_set
        configure(settings.log_level if asked else "critical", secrets=settings.secrets)
        asyncio.run(_opened(settings, work))
    except (KeyboardInterrupt, typer.Abort):
        end("Cancelled.", Exit.CANCELLED)
    except (LibraryError, DatabaseError) as error:
        end(str(error), Exit.FAILED)
    except (AddressRefused, PromptError, RecipeError, RegistryError, SettingsError) as error:
        end(str(error), Exit.BAD_INPUT)
    except (FetchError, BackendError) as error:
        end(str(error), Exit.FAILED)
    except WeightsError as error:
        end(str(error), Exit.BAD_INPUT)
    except OSError as error:
        end(wording.unusable(error), Exit.FAILED)


async def _opened(settings: Settings, work: Work) -> None:
    async with open_registry(settings) as registry:
        if settings.draws_with_demo:
            await install_demo(registry)
        await work(settings, registry)


def answer(
    value: Value,
    to_object: Callable[[Value], Mapping[str, object]],
    to_people: Callable[[Console, Value], None],
    *,
    as_json: bool,
) -> None:
    """Give the answer, once, in one of its two forms.

    Raises:
        typer.Exit: it cannot be written.
    """
    try:
        if as_json:
            print_object(Output(), to_object(value))
        else:
            to_people(Output(), value)
    except OSError as error:
        end(wording.no_answer(error), Exit.FAILED)


def end(sentence: str, code: Exit) -> NoReturn:
    """Say why, on one line of standard error, and end with this code."""
    say(sentence, "yellow" if code is Exit.CANCELLED else "red")
    raise typer.Exit(code)


def say(text: str, style: str = "dim") -> None:
    """Tell a person something beside the answer."""
    Console(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost.

    Raises:
        typer.Exit: the person does not want it, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        end(f"{question} There is nobody to ask here; say so with --yes.", Exit.BAD_INPUT)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        end("Nothing was changed.", Exit.CANCELLED)
