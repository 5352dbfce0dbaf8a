"""The command tree: this package's commands, and those that installed packages add."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from importlib import import_module
from typing import Annotated, Any, final

import typer
import typer.core
import typer.main

from hermes_stream._version import __version__
from hermes_stream.cli.failures import run_to_exit_code
from hermes_stream.cli.interruption import signals_raise
from hermes_stream.cli.output import COMMAND, complain, say
from hermes_stream.errors import PluginError
from hermes_stream.plugins import Registry

Command = Callable[..., None] | typer.Typer
"""A function that typer takes, or a tree of them."""


@final
class OwnCommands(Mapping[str, Command]):
    """The commands of this package, each of its own module, which is imported when it is listed or run."""

    _NAMES = (
        *("demo", "ask", "chat", "watch", "serve", "reload", "cluster", "keys", "snapshots", "events"),
        *("mcp", "search", "report", "clip", "digest"),
        *("models", "policies", "recipes", "doctor"),
    )

    def __getitem__(self, name: str) -> Command:
        """Import a command.

        Raises:
            KeyError: there is no such command.
        """
        if name not in self._NAMES:
            raise KeyError(name)
        command: Command = getattr(import_module(f"hermes_stream.cli.{name}"), name)
        return command

    def __contains__(self, name: object) -> bool:
        # Mapping would import what is only looked for
        return name in self._NAMES

    def __iter__(self) -> Iterator[str]:
        yield from self._NAMES

    def __len__(self) -> int:
        return len(self._NAMES)


_OWN = OwnCommands()
COMMANDS = Registry("hermes_stream.commands", _OWN)
_JSON = "--json"
_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@final
class CommandGroup(typer.core.TyperGroup):
    """All commands; those of installed packages are imported when they are listed or run."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's own signature
        """Return the names, this package's first."""
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of a command line; one that cannot be loaded is an error where it is asked for."""
        if args[0] in COMMANDS:
            COMMAND.set(args[0])
            COMMANDS[args[0]]
        else:
            for name in COMMANDS:  # typer suggests what it knows
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return a command; None where there is none, or with a warning where it cannot be loaded."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            try:
                self.commands[cmd_name] = _typer_command(cmd_name, COMMANDS[cmd_name])
            except Exception as error:  # whatever typer raises of a function that it does not take
                if cmd_name in _OWN and not isinstance(error, PluginError):
                    raise
                complain(f"command {cmd_name!r} is left out: {error}", kind="warning")
        return self.commands.get(cmd_name)


def _typer_command(name: str, command: Command) -> Any:
    if isinstance(command, typer.Typer):
        tree = typer.main.get_command(command)
        tree.name = name
        return tree
    mode: Any = None if getattr(command, "has_plain_help", False) else "rich"
    single = typer.Typer(add_completion=False, context_settings=_HELP_NAMES, rich_markup_mode=mode)
    paragraphs = (command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    single.command(name, help=text)(command)
    return typer.main.get_command(single)


app = typer.Typer(
    name="hermes",
    cls=CommandGroup,
    help="Watch video as it streams in; answer questions about it at any moment, from a bounded memory.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_HELP_NAMES,
)


def _print_version(asked: bool) -> None:
    if asked:
        say(f"hermes-stream {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows the command's name; None takes those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with signals_raise() as raised:
        # in a context of its own, the command's name is forgotten with it
        run = partial(copy_context().run, _run, words)
        return run_to_exit_code(run, as_json=_JSON in words, signals=raised)


def _run(words: list[str]) -> int:
    group = typer.main.get_command(app)
    try:
        with group.make_context("hermes", words) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
