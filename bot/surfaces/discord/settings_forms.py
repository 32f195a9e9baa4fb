"""The forms of `/settings`, for what is typed. All that they need is in their custom ids."""

from typing import Any, Final

from discord import TextStyle
from discord.ui import Label, Modal, TextInput

from bot.commands.settings import Overview
from bot.commands.settings_fields import Kind, Setting
from bot.surfaces.discord.settings_ids import ROLE, Spot
from bot.surfaces.discord.text import plain

TYPED: Final = "value"
"""The custom id of the one field."""
_LONGEST: Final = 4000
_LONGEST_REASON: Final = 300


def value_form(now: Overview, spot: Spot, setting: Setting) -> Modal:
    """Asks for the value of a setting, with the present one in it."""
    value = now.value(setting, spot.item if spot.page == ROLE else None)
    pause = setting.kind is Kind.PAUSE
    text = "" if pause else "none" if value is None else _typed(value)
    return _form(
        "Pause drawing in this server" if pause else setting.label,
        spot.to("typed", setting.name),
        "Reason" if pause else setting.label,
        "Told to everybody who tries to draw; may be empty" if pause else f"Use {setting.takes}",
        text,
        long=pause,
        most=_LONGEST_REASON if pause else 100,
        required=not pause,
    )


def words_form(spot: Spot, setting: Setting, *, more: bool) -> Modal:
    """Asks for words and phrases to add, or to take away."""
    return _form(
        f"{setting.label}: {'add' if more else 'take away'}",
        spot.to("typed_more" if more else "typed_less", setting.name),
        "Words and phrases",
        "One a line, or with commas between",
        "",
        long=True,
        most=_LONGEST,
        required=True,
    )


def _form(
    title: str,
    custom_id: str,
    label: str,
    about: str,
    value: str,
    *,
    long: bool,
    most: int,
    required: bool,
) -> Modal:
    modal = Modal(title=plain(title, 45), custom_id=custom_id)
    modal.add_item(
        Label(
            text=plain(label, 45),
            description=plain(about, 100),
            component=TextInput(
                custom_id=TYPED,
                style=TextStyle.paragraph if long else TextStyle.short,
                default=value or None,
                required=required,
                max_length=most,
            ),
        )
    )
    modal.stop()  # the library need not keep it
    return modal


def _typed(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
