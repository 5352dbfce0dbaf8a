"""The options that commands share, one spelling and one text for each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import typer


def _check_rate(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value} is not a finite number above 0")
    return value


def _check_not_negative(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"{value} is not a finite number of at least 0")
    return value


def _check_share(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise typer.BadParameter(f"{value} is not a number from 0 to 1")
    return value


def _check_kv_bits(value: int | None) -> int | None:
    if value not in (None, 8):
        raise typer.BadParameter(f"{value} is not 8")
    return value


VideoArgument = Annotated[str, typer.Argument(help="A local video file.")]
ModelOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="tiny or tiny-qwen (shipped), a checkpoint folder, or a hub name; fields as in "
        "NAME:max_pixels=151200: min_pixels, max_pixels, revision, device_map, offline.",
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What the memory keeps: hermes (hermes_best is the same), hermes_paper, full, window, "
        "streaming_vlm, recent_n, uniform, random, stratified, infinipot_v, streammem, livevlm, rekv, "
        "rekv_bounded, resv, resv_bounded; fields as in hermes_paper:summarize=false. 'hermes policies' "
        "tells more.",
    ),
]
FilterOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What is dropped before it enters the memory: dedup, dtd, fluxmem; default: nothing.",
    ),
]
BudgetOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Visual tokens that each layer keeps; default: what the model suggests.",
    ),
]
KvBitsOption = Annotated[
    int | None,
    typer.Option(
        metavar="8",
        help="Keep keys and values in 8 bits, in less than half of the memory; default: as they are made.",
        callback=_check_kv_bits,
    ),
]
StillOption = Annotated[
    float | None,
    typer.Option(
        metavar="LEVELS",
        help="Do not look again at frames of which no block of 16 x 16 pixels changed by so many grey levels "
        "of 255; default: look at all.",
        callback=_check_rate,
    ),
]
FpsOption = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        callback=_check_rate,
        help="Frames sampled per second of video; default: what the model is used with.",
    ),
]
ChunkOption = Annotated[int, typer.Option(metavar="N", min=1, help="Frames that enter the memory together.")]
MaxNewTokensOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Most tokens of an answer; default: what fits, at most 256.",
    ),
]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")]
DtypeOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto (the checkpoint's own), float32, bfloat16, float16."),
]
WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights", metavar="NAME", help="auto (as stored), int8 (quantised while read; needs torchao)."
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=1024,
        help="Threads that compute on the processor, over all programs of a run; default: torch's choice.",
    ),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        metavar="T",
        callback=_check_not_negative,
        help="0 always takes the likeliest word; above 0 draws.",
    ),
]
AllowUnseenOption = Annotated[
    bool,
    typer.Option(
        "--allow-unseen",
        help='Answer "not seen" where the checkpoint finds that likelier than any other answer.',
    ),
]
SpeedOption = Annotated[
    float,
    typer.Option(
        metavar="X",
        callback=_check_not_negative,
        help="Seconds of video per second; 0 is as fast as possible.",
    ),
]
SeedOption = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of what is drawn at random.")]
ClarifyOption = Annotated[
    float | None,
    typer.Option(
        "--clarify-below",
        metavar="P",
        callback=_check_share,
        help="Ask back, instead of an answer that is less sure than this, from 0 to 1; default: never.",
    ),
]
VideoStreamOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Which of the file's video streams, counted from 0; default: the best.",
    ),
]
MaxImagePixelsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Shrink larger pictures while they are decoded, to at most so many pixels; default: not at all.",
    ),
]
EvidenceOption = Annotated[
    bool,
    typer.Option(
        "--evidence",  # typer would add --no-evidence
        help="Say on which moments of the video each answer's attention rested; reads each question twice.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="End standard output with one line: a JSON document.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which model is loaded, and how."""

    model: ModelOption = "tiny"
    device: DeviceOption = "auto"
    dtype: DtypeOption = "auto"
    weights: WeightsOption = "auto"
    threads: ThreadsOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """What memory a stream gets, and how frames enter it."""

    policy: PolicyOption = "hermes"
    budget_tokens: BudgetOption = None
    filter: FilterOption = None
    chunk_frames: ChunkOption = 16
    kv_bits: KvBitsOption = None
    still_below: StillOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """How answers are generated; the fields are arguments of ``Session.ask``."""

    max_new_tokens: MaxNewTokensOption = None
    temperature: TemperatureOption = 0.0
    seed: SeedOption = 0
    allow_unseen: AllowUnseenOption = False
    clarify_below: ClarifyOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What is read of a video file; the fields are arguments of ``FileSource``."""

    fps: FpsOption = None
    video_stream: VideoStreamOption = None
    max_image_pixels: MaxImagePixelsOption = None
