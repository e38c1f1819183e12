"""Command line options made from the settings, one for each."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from headroom.settings import SETTINGS, Setting, flag_name

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def settings_options(function: Decorated) -> Decorated:
    """Add an option per setting; what was given arrives as keyword arguments.

    Values are taken as text: ``settings.load`` reads them as it reads the environment,
    so that a bad one gets the same message and status.
    """
    return options_for("")(function)


def options_for(*beginnings: str) -> Callable[[Decorated], Decorated]:
    """Add the options of those settings whose paths begin so."""

    def add(function: Decorated) -> Decorated:
        for setting in reversed(SETTINGS.values()):
            if setting.path.startswith(beginnings):
                function = _option(setting)(function)
        return function

    return add


def given_flags(arguments: dict[str, Any]) -> dict[str, str]:
    """The flags that were given, by setting path, out of a command's arguments."""
    return {
        path: text
        for path in SETTINGS
        if (text := arguments.get(_parameter(path))) is not None
    }


def _option(setting: Setting) -> Callable[[Decorated], Decorated]:
    flag = flag_name(setting)
    parameter = _parameter(setting.path)
    unit = f" ({setting.unit})" if setting.unit else ""
    default = setting.shown(setting.default) or "none"
    text = f"{setting.description}{unit} [{setting.env[0]}; default: {default}]"
    if setting.type is bool:
        return click.option(
            f"{flag}/--no-{flag[2:]}",
            parameter,
            default=None,
            help=text,
            callback=_word,
        )
    return click.option(
        flag, parameter, metavar="|".join(setting.choices) or "VALUE", help=text
    )


def _word(_: click.Context, __: click.Parameter, value: bool | None) -> str | None:
    """A switch as the text that the environment would have."""
    return None if value is None else str(value).lower()


def _parameter(path: str) -> str:
    return path.replace(".", "__")
