"""The options of ``hermes bench`` that say what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from hermes_stream.cli.options import BudgetOption, ChunkOption, KvBitsOption, SeedOption


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
        str, _option(metavar="N,M", help="Frames that streams observe before they are asked.")
    ] = "16,64,256,1024,4096"
    streams: Annotated[
        str | None,
        _option(metavar="N,M", help="Streams at once, of the first policy; without --frames, nothing else."),
    ] = None
    streams_per_block: Annotated[
        int, _option(metavar="N", min=1, help="Of --streams, how many have their buffers in one tensor.")
    ] = 1
    policies: Annotated[
        str,
        _option(
            *("--policies", "--policy"),
            metavar="A,B",
            help="What memories keep, fields as in hermes:summarize=false; reprefill is the plain model, "
            "which prefills all frames when it is asked.",
        ),
    ] = "hermes,full,recent_n,window,rekv,reprefill"
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
    defer_compressions: Annotated[
        bool,
        typer.Option(
            "--defer-compressions",
            help="Let questions behind a frame go before its compression, as a service does.",
        ),
    ] = False
    seed: SeedOption = 0
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Under a minute on two cores: fewer frames and repeats, no slow rivals."
        ),
    ] = False
    count: Annotated[
        bool,
        typer.Option(
            "--count",
            help="Time nothing: count kernels, bytes and waits of chunks of --chunk-frames and of one frame. "
            "Exact without a GPU, which does a few things another way; --frames and --repeats are not read.",
        ),
    ] = False
