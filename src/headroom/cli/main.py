"""``headroom``: the commands by name, each loaded when it is used.

``--help`` and completion read the table below and import nothing else. A bad setting
ends any command with status 78 (EX_CONFIG) and one line that says what to change.
"""

import importlib
import sys
from typing import Any

import click

import headroom
from headroom.errors import ConfigError, HeadroomError

EX_CONFIG = 78

COMMANDS: dict[str, tuple[str, str]] = {
    "proxy": (
        "headroom.cli.proxy:command",
        "Serve agents, compressing what they send to their provider.",
    ),
    "broker": (
        "headroom.cli.broker:command",
        "Serve one address for many backends, by a file of models.",
    ),
    "demo": (
        "headroom.cli.demo:command",
        "Watch a coding conversation go through Headroom.",
    ),
    "compress": ("headroom.cli.compress:command", "Print a text compressed."),
    "retrieve": (
        "headroom.cli.retrieve:command",
        "Print the original behind a marker, or a part of it.",
    ),
    "mcp": (
        "headroom.cli.mcp:command",
        "Serve retrieval and compression to MCP clients.",
    ),
    "cachelab": (
        "headroom.cli.cachelab:command",
        "A provider that bills like the real one, and replays against it.",
    ),
    "bench": ("headroom.cli.bench:command", "Measure how well texts compress."),
    "why": (
        "headroom.cli.why:command",
        "Explain what was done with one request.",
    ),
    "learn": (
        "headroom.cli.learn:command",
        "What compression came to, and recommendations made of it.",
    ),
    "memory": (
        "headroom.cli.memory:command",
        "List, search, move and delete what is kept of users.",
    ),
    "tools": (
        "headroom.cli.tools:command",
        "Print what tool definitions cost, and what could be saved.",
    ),
    "models": (
        "headroom.cli.models:command",
        "Print what is known of models: context, cache rules, prices.",
    ),
    "config": (
        "headroom.cli.config:command",
        "Print every setting, its value and where it comes from.",
    ),
}
"""Name → where the command is, and its line in the help."""

_EXTRAS = {"broker": "broker", "mcp": "mcp"}
"""The extra that brings what a command imports; of the others it is ``proxy``."""


class _Commands(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("headroom."):
                raise
            extra = _EXTRAS.get(cmd_name, "proxy")
            raise click.ClickException(
                f"{cmd_name} needs {error.name}: pip install 'headroom[{extra}]'"
            ) from error
        command: click.Command = getattr(module, attribute)
        return command

    def format_commands(
        self, _ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"headroom: {error}", err=True)
            sys.exit(EX_CONFIG)
        except HeadroomError as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=_Commands)
@click.version_option(headroom.__version__, prog_name="headroom")
def main() -> None:
    """The context layer between AI agents and LLM providers."""


if __name__ == "__main__":
    main()
