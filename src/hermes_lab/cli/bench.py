"""``hermes bench``: how fast answers come, how fast frames go in, and what a stream takes, beside rivals."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hermes_lab.cli.bench_options import BenchOptions
from hermes_lab.cli.bench_report import REPORT, report
from hermes_lab.cli.bench_run import run_bench
from hermes_lab.cli.folder import can_draw, make_folder, write_document
from hermes_stream.cli.option_groups import arguments_of, expand_options
from hermes_stream.cli.options import JsonOption, ModelOptions

_COUNTED = {"policies": "window,hermes,hermes_paper"}
_QUICK = {"frames": "16,64,256", "new_tokens": 8, "repeats": 15, "max_seconds": 1.0, "seconds": 5.0}

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder for bench.json and the figures.")
]
PlotsOption = Annotated[
    bool, typer.Option("--plots/--no-plots", help="Draw figures into --out, with matplotlib.")
]


@expand_options
def bench(
    *,
    context: typer.Context,
    loading: ModelOptions,
    measuring: BenchOptions,
    out: OutOption = None,
    plots: PlotsOption = True,
    json: JsonOption = False,
) -> None:
    """Measure time to first token, time per token, ingest and memory of many policies in one run.

    All streams are alive at the same time and are asked in turn, so that what else the machine does falls on
    all alike: ratios within a run mean something, its milliseconds only on a machine of its own. Beside each
    figure stands its roofline: bytes over measured memory bandwidth, or operations over matrix throughput.
    bench.json is written whenever there is more, and a stream that fails is left out: what a run that was
    ended had measured is there, with "is_finished" false.
    """
    if measuring.random is not None and _is_given(context, "model"):
        raise typer.BadParameter("--model and --random exclude each other; give one of them")
    if out is not None:
        make_folder(out)
        plots = plots and can_draw()
    defaults: dict[str, Any] = dict(_QUICK) if measuring.quick else {}
    defaults |= {} if measuring.streams is None else {"frames": ""}
    defaults |= _COUNTED if measuring.count else {}
    left = {name: value for name, value in defaults.items() if not _is_given(context, name)}
    command = {"command": shlex.join(["hermes", "bench", *arguments_of(loading, measuring)])}

    def store(found: dict[str, Any]) -> None:
        if out is not None:
            write_document(found | command, out / REPORT, figures=None)

    document = run_bench(loading, replace(measuring, **left), store=store) | command
    report(document, out, plots=plots, as_json=json)


def _is_given(context: typer.Context, name: str) -> bool:
    """Tell whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
