"""The command tree, and the one place where failures become messages and exit codes.

Exit codes: 0 good, 1 failed, 2 wrong usage, 130 interrupted. A failure on purpose is one message on standard
error; a traceback is a bug.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated, Any, final

import typer
import typer.core
import typer.main

from hermes_stream._version import __version__
from hermes_stream.cli.ask import ask
from hermes_stream.cli.chat import chat
from hermes_stream.cli.demo import demo
from hermes_stream.cli.doctor import doctor
from hermes_stream.cli.models import models
from hermes_stream.cli.output import complain
from hermes_stream.cli.policies import policies
from hermes_stream.errors import HermesError, PluginError
from hermes_stream.plugins import Registry

_OWN: dict[str, Callable[..., None]] = {
    "demo": demo,
    "ask": ask,
    "chat": chat,
    "models": models,
    "policies": policies,
    "doctor": doctor,
}
COMMANDS = Registry("hermes_stream.commands", _OWN)
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


def _typer_command(name: str, function: Callable[..., None]) -> Any:
    single = typer.Typer(add_completion=False, context_settings=_HELP_NAMES)
    paragraphs = (function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    single.command(name, help=text)(function)
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
        typer.echo(f"hermes-stream {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows the command's name; None takes those of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a letter shows another, and goes on
            stream.reconfigure(errors="replace")
    for name in (
        "torchao",
        "torch.utils._pytree",
    ):  # they warn of themselves where transformers finds torchao
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        code = app(args=arguments, prog_name="hermes", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        complain(f"{error.format_message()}{_help_hint(error)}")
        return error.exit_code
    except (HermesError, ValueError) as error:
        complain(str(error))
        return 1
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        complain(
            f"the device ran out of memory ({str(error).splitlines()[0]}); lower --budget-tokens or "
            "--chunk-frames, or choose a smaller dtype"
        )
        return 1
    except BrokenPipeError:
        # Whoever read us is gone: let the interpreter flush into nothing when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code or 0


def _help_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see '{context.command_path} --help')" if context is not None else ""


def _is_out_of_memory(error: RuntimeError) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
