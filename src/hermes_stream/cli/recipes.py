"""``hermes recipes``: ready configurations of uses."""

from __future__ import annotations

from typing import Annotated

import typer

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="A recipe whose file is shown.", show_default=False)
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """List ready configurations of uses; with a NAME, show its file, to copy and change.

    'hermes serve --recipe NAME --source door=rtsp://...' runs one, 'hermes watch SOURCE --recipe NAME' tries
    it in the terminal.
    """
    from hermes_stream.recipes import recipe, recipe_names

    found = [recipe(one) for one in (recipe_names() if name is None else (name,))]
    if json:
        listed = [{"name": one.name, "title": one.title, "about": list(one.about)} for one in found]
        print_json({"recipes": listed} | ({} if name is None else {"text": found[0].text}))
    elif name is not None:
        say(found[0].text.rstrip())
    else:
        for one in found:
            say(f"{one.name:<11}{one.title}")
