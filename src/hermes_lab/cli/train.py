"""``hermes train``: train an embedded checkpoint on the synthetic world."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hermes_stream.cli.options import SeedOption
from hermes_stream.cli.output import say

if TYPE_CHECKING:
    from hermes_lab.training.recipe import Recipe


def _check_same(path: Path, recipe: Recipe) -> None:
    """Refuse to go on with a run that was started from something else: its checkpoint would be of neither.

    Raises:
        BadParameter: it was.
    """
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in ("seed", "start_from"):
        if held.get(name, getattr(recipe, name)) != getattr(recipe, name):
            raise typer.BadParameter(
                f"{path.parent} holds a run whose {name} is {held[name]!r}; give the same, or another --out",
                param_hint=f"--{name.replace('_', '-')}",
            )


def train(
    *,
    family: Annotated[
        Literal["llava_onevision", "qwen2_5_vl"], typer.Option("--family", help="Architecture.")
    ] = "llava_onevision",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of the run, which goes on if it was started; default: .training/FAMILY.",
            show_default=False,
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from",
            metavar="NAME",
            help="Shipped checkpoint or folder whose decoder qwen2_5_vl starts from; default: tiny.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Train an embedded checkpoint from its recipe; a stopped run goes on where it stood.

    Every 50 steps one line of JSON says how the run stands. The folder holds the recipe, the curve, the state
    to go on from, and in the end the checkpoint.
    """
    from hermes_stream.models.loading.messages import import_transformers

    import_transformers()
    from hermes_lab.training.train import FAMILIES
    from hermes_lab.training.train import train as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    made, recipe_for = FAMILIES[family]
    recipe = recipe_for(seed)
    if start_from is not None:
        if recipe.start_from is None:
            raise typer.BadParameter(f"{family} starts from random weights", param_hint="--start-from")
        recipe = replace(recipe, start_from=start_from)
    folder = out or Path(".training") / family
    _check_same(folder / "recipe.json", recipe)
    run(
        folder,
        recipe,
        family=made,
        on_progress=lambda row: say(json.dumps(row)),
    )
