"""``hermes bench``: how fast answers come, how fast frames go in, and what a stream takes, beside rivals."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hermes_lab.cli.bench_report import report
from hermes_stream.cli.folder import make_folder
from hermes_stream.cli.option_groups import arguments_of, expand_options
from hermes_stream.cli.options import (
    BudgetOption,
    ChunkOption,
    JsonOption,
    KvBitsOption,
    ModelOptions,
    SeedOption,
)

_QUICK = {"frames": "16,64,256", "new_tokens": 8, "repeats": 15, "max_seconds": 1.0, "seconds": 5.0}
_POLICIES = "hermes,full,recent_n,window,rekv,reprefill"


def _option(*names: str, metavar: str, help: str, min: float | None = None) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, min=min)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What ``hermes bench`` measures."""

    random: Annotated[
        str | None,
        _option(metavar="SIZE", help="A published size with random weights, such as llava-onevision-7b."),
    ] = None
    frames: Annotated[
        str,
        _option(metavar="N,M", help="Frames that streams observe before they are asked."),
    ] = "16,64,256,1024,4096"
    streams: Annotated[
        str | None,
        _option(metavar="N,M", help="Streams at once, of the first policy; without --frames, nothing else."),
    ] = None
    policies: Annotated[
        str,
        _option(
            *("--policies", "--policy"),
            metavar="A,B",
            help="What memories keep, fields as in hermes:summarize=false; reprefill is the plain model, which "
            "prefills all frames when it is asked.",
        ),
    ] = _POLICIES
    budget_tokens: BudgetOption = None
    chunk_frames: ChunkOption = 16
    question_tokens: Annotated[
        int, _option(metavar="N", min=1, help="Tokens of the question, the chat template's included.")
    ] = 32
    new_tokens: Annotated[int, _option(metavar="N", min=2, help="Tokens of an answer.")] = 16
    repeats: Annotated[int, _option(metavar="N", min=3, help="Questions to each stream.")] = 101
    max_seconds: Annotated[
        float,
        _option(
            *("--max-seconds", "--most-seconds"),  # the latter stands in the commands of stored runs
            metavar="S",
            min=0.1,
            help="A stream that took so long is asked no more, one that must take longer is left out.",
        ),
    ] = 60.0
    seconds: Annotated[
        float, _option(metavar="S", min=1, help="Of --streams at full load, and again in real time.")
    ] = 20.0
    size: Annotated[int, _option(metavar="PIXELS", min=28, help="Height and width of frames.")] = 392
    kv_bits: KvBitsOption = None
    seed: SeedOption = 0
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Under a minute on two cores: fewer frames and repeats, no slow rivals."
        ),
    ] = False


OutOption = Annotated[Path | None, _option(metavar="DIR", help="Folder for bench.json and the figures.")]
PlotsOption = Annotated[bool, typer.Option(help="Draw figures into --out, with matplotlib.")]


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
    """
    if measuring.random is not None and _is_given(context, "model"):
        raise typer.BadParameter("--model and --random exclude each other; give one of them")
    if out is not None:
        make_folder(out, plots=plots)
    from hermes_lab.cli.bench_run import run_bench

    defaults: dict[str, Any] = dict(_QUICK) if measuring.quick else {}
    defaults |= {} if measuring.streams is None else {"frames": ""}
    left = {name: value for name, value in defaults.items() if not _is_given(context, name)}
    document = run_bench(loading, replace(measuring, **left))
    document["command"] = shlex.join(["hermes", "bench", *arguments_of(loading, measuring)])
    report(document, out, plots=plots, as_json=json)


def _is_given(context: typer.Context, name: str) -> bool:
    """Tell whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
