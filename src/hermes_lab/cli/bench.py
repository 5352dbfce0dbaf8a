"""``hermes bench``: how fast answers come, how fast pictures go in, what a stream takes; rivals beside it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hermes_lab.cli.bench_report import report
from hermes_lab.cli.bench_run import BenchRun
from hermes_stream.cli.folder import make_folder
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    BudgetOption,
    ChunkOption,
    JsonOption,
    KvBitsOption,
    ModelOptions,
    SeedOption,
)

_POLICIES = "hermes,full,recent_n,window,rekv,reprefill"
_FRAMES = {False: "16,64,256,1024,4096", True: "16,64,256"}
_NEW_TOKENS = {False: 16, True: 8}
_REPEATS = {False: 101, True: 15}
_SECONDS = {False: 20.0, True: 5.0}
_MOST_SECONDS = {False: 60.0, True: 1.0}

RandomOption = Annotated[
    str | None,
    typer.Option(
        "--random",
        metavar="SIZE",
        help="A published size with random weights instead, such as llava-onevision-7b.",
        show_default=False,
    ),
]
FramesOption = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="N,M",
        help=f"Pictures that streams watch before they are asked; default: {_FRAMES[False]}.",
        show_default=False,
    ),
]
StreamsOption = Annotated[
    str | None,
    typer.Option(
        "--streams",
        metavar="N,M",
        help="Streams at once, of the first policy; without --frames, nothing else is measured.",
        show_default=False,
    ),
]
PoliciesOption = Annotated[
    list[str],
    typer.Option(
        "--policies",
        "--policy",
        metavar="A,B",
        help="Memories, fields as in hermes:summarize=false; reprefill is the plain model, which prefills "
        "all pictures when it is asked.",
    ),
]
QuestionOption = Annotated[
    int,
    typer.Option(
        "--question-tokens", metavar="N", min=1, help="Tokens of the question, the chat template's included."
    ),
]
NewTokensOption = Annotated[
    int | None,
    typer.Option(
        "--new-tokens", metavar="N", min=2, help="Tokens of an answer; default: 16.", show_default=False
    ),
]
RepeatsOption = Annotated[
    int | None,
    typer.Option(
        "--repeats", metavar="N", min=3, help="Questions to each stream; default: 101.", show_default=False
    ),
]
MostSecondsOption = Annotated[
    float | None,
    typer.Option(
        "--most-seconds",
        metavar="S",
        min=0.1,
        help="A stream that took so long is asked no more, one that must take longer is left out; "
        "default: 60.",
        show_default=False,
    ),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        metavar="S",
        min=1,
        help="Of each load of --streams: as fast as it goes, then in real time; default: 20.",
        show_default=False,
    ),
]
SizeOption = Annotated[
    int, typer.Option("--size", metavar="PIXELS", min=28, help="Height and width of the pictures.")
]
QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="Under a minute on two cores: fewer pictures and repeats, slow rivals left out."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for bench.json and the figures.", show_default=False),
]
PlotsOption = Annotated[
    bool, typer.Option("--plots/--no-plots", help="Draw figures into --out, with matplotlib.")
]


@expand_options
def bench(  # noqa: PLR0913 - one parameter per option
    context: typer.Context,
    *,
    model: ModelOptions,
    random: RandomOption = None,
    frames: FramesOption = None,
    streams: StreamsOption = None,
    policies: PoliciesOption = [_POLICIES],  # noqa: B006 - typer reads it, nobody changes it
    budget_tokens: BudgetOption = None,
    chunk_frames: ChunkOption = 16,
    question_tokens: QuestionOption = 32,
    new_tokens: NewTokensOption = None,
    repeats: RepeatsOption = None,
    max_seconds: MostSecondsOption = None,
    seconds: SecondsOption = None,
    size: SizeOption = 392,
    kv_bits: KvBitsOption = None,
    seed: SeedOption = 0,
    quick: QuickOption = False,
    out: OutOption = None,
    plots: PlotsOption = True,
    json: JsonOption = False,
) -> None:
    """Measure time to first token, time per token, ingest and memory of many memories in one run.

    All streams are alive at the same time and are asked in turn, so that what else the machine does falls on
    all alike: ratios within a run mean something, its milliseconds only on a machine of its own. Beside each
    figure stands its floor: bytes over measured memory bandwidth, or operations over matrix throughput.
    """
    given = _given(context)
    if out is not None:
        make_folder(out, plots=plots)
    run = BenchRun(
        model=model,
        random=random,
        frames=frames if frames or streams else _FRAMES[quick],
        streams=streams,
        policies=policies,
        budget_tokens=budget_tokens,
        chunk_frames=chunk_frames,
        question_tokens=question_tokens,
        new_tokens=new_tokens or _NEW_TOKENS[quick],
        repeats=repeats or _REPEATS[quick],
        max_seconds=max_seconds or _MOST_SECONDS[quick],
        seconds=seconds or _SECONDS[quick],
        size=size,
        kv_bits=kv_bits,
        seed=seed,
    )
    report(run.document(shlex.join(["hermes", "bench", *given.values()])), out, plots=plots, as_json=json)


def _given(context: typer.Context) -> dict[str, str]:
    """Return the options of the command line that bear on what is measured, as they may be given again.

    Raises:
        BadParameter: two models.
    """
    given = {}
    for option in context.command.params:
        source = context.get_parameter_source(option.name)
        if source is None or source.name != "COMMANDLINE" or option.name in ("out", "json", "plots"):
            continue
        value = context.params[option.name]
        words = ";".join(value) if isinstance(value, list) else str(value)
        given[option.name] = option.opts[0] if value is True else f"{option.opts[0]}={words}"
    if {"model", "random"} <= set(given):
        raise typer.BadParameter("--model and --random exclude each other; give one of them")
    return given
