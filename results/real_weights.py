"""Measure SmolLM2-135M's weights: python results/real_weights.py identities|compressions|attention.

Needs the checkpoint of ``make real-weights``. ``identities`` compares what a full cache says with plain
transformers, packed streams with streams alone, 8 bits and bfloat16 with float32. ``compressions`` compresses
a ragged memory as often as asked and recomputes what it says. ``attention`` asks what HERMES asked of its
models, which layers look where, and draws it. Each writes its part of real_weights.json.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from measure import machine
from transformers import AutoModelForImageTextToText

from hermes_lab.analysis.attention import AttentionStudy, study_of
from hermes_lab.analysis.figures import save
from hermes_lab.analysis.plots import draw_attention, draw_periodicity, draw_tiers
from hermes_lab.analysis.tier_proposal import propose_tiers
from hermes_lab.sentences.checkpoint import FOLDER as CHECKPOINT
from hermes_lab.sentences.checkpoint import TOKENS_PER_FRAME
from hermes_lab.sentences.identities import (
    compress_often,
    difference,
    packed_equals_alone,
    said,
    said_plainly,
    told,
)
from hermes_lab.sentences.reader import SentenceReader, frame_of
from hermes_lab.sentences.stories import GROUPS, Story, tell_story
from hermes_stream import FullPolicy, Session, load_model
from hermes_stream.memory.state import MemoryState

FOLDER = Path(__file__).parent
OUT = FOLDER / "real_weights.json"
PICTURES = FOLDER.parent / "docs" / "pictures"
SEED = 500
CHUNKS = (1, 7, 16, 40)
NUM_FRAMES = 40
NUM_STORIES = 4
PACKED_LENGTHS = (5, 9, 16, 24)

NUM_TEXTS = 3
FIGURES = {"attention": draw_attention, "tiers": draw_tiers, "periodicity": draw_periodicity}
FIGURES_OF = {"guidance": ("tiers",), "clozes": tuple(FIGURES)}

Numbers = dict[str, Any]


def loaded(arguments: argparse.Namespace, dtype: str) -> tuple[SentenceReader, Any]:
    """Load the checkpoint as ours, and as transformers loads it."""
    plain = AutoModelForImageTextToText.from_pretrained(arguments.model, dtype=getattr(torch, dtype)).eval()
    return SentenceReader(load_model(arguments.model, device="cpu", dtype=dtype)), plain


def identities(arguments: argparse.Namespace) -> Numbers:
    """Compare logits behind a story, over its clozes."""
    model, plain = loaded(arguments, "float32")
    stories = [tell_story(SEED + k, NUM_FRAMES) for k in range(arguments.stories)]
    asked = [[one.text for one in story.questions[-NUM_TEXTS:]] for story in stories]
    exact = [
        said_plainly(plain, model, story.sentences, texts)
        for story, texts in zip(stories, asked, strict=True)
    ]
    every = [one for own in exact for one in own]

    def shown(reader: SentenceReader, **how: Any) -> list[torch.Tensor]:
        return [
            one
            for story, texts in zip(stories, asked, strict=True)
            for one in said(told(reader, story.sentences, **how), texts)
        ]

    half, plain_half = loaded(arguments, "bfloat16")
    halves = [
        one
        for story, texts in zip(stories, asked, strict=True)
        for one in said_plainly(plain_half, half, story.sentences, texts)
    ]
    other = said(told(model, [*stories[0].sentences[:-1], "Rain falls."]), asked[0])
    packed = [tell_story(SEED + k, frames) for k, frames in enumerate(PACKED_LENGTHS)]
    return {
        "num_stories": len(stories),
        "num_frames": NUM_FRAMES,
        "num_visual_tokens": NUM_FRAMES * TOKENS_PER_FRAME,
        "num_questions": len(every),
        "logits_spread": float(torch.stack(every).std(dim=1).mean()),
        "full_cache_by_chunk_frames": {
            chunk: asdict(difference(shown(model, chunk_frames=chunk), every)) for chunk in CHUNKS
        },
        "another_last_sentence": asdict(difference(other, exact[0])),
        "packed": asdict(packed_equals_alone(model, packed)),
        "eight_bits": asdict(difference(shown(model, kv_bits=8), every)),
        "bfloat16": asdict(difference(shown(half), every)),
        "bfloat16_eight_bits": asdict(difference(shown(half, kv_bits=8), every)),
        "bfloat16_plain_transformers": asdict(difference(halves, every)),
        "keys": key_sizes(told(model, stories[0].sentences).cache),
    }


def key_sizes(cache: Any) -> Numbers:
    """Return how far the largest channels of raw keys stand out."""
    ratios, largest, median = [], 0.0, []
    for layer in range(cache.layout.num_layers):
        size = cache.keys(layer)[:, cache.visual_slots(layer)].abs()
        channels = size.mean(dim=1)
        ratios.append(float(channels.max() / channels.median()))
        largest = max(largest, float(size.max()))
        median.append(float(size.median()))
    return {"median": fmean(median), "largest": largest, "largest_channel_over_median_by_layer": ratios}


def compressions(arguments: argparse.Namespace) -> Numbers:
    """Compress often, and recompute."""
    model, plain = loaded(arguments, "float32")

    def tell(done: int) -> None:
        if done and done % 100 == 0:
            sys.stderr.write(f"{done}\n")

    return asdict(compress_often(model, plain, arguments.compressions, on_step=tell))


def attention(arguments: argparse.Namespace) -> Numbers:
    """Ask which layers attend to what, over stories of which all is kept, and draw the mean."""
    model = SentenceReader(load_model(arguments.model, device="cpu", dtype="bfloat16"))
    found: dict[str, list[AttentionStudy]] = {"guidance": [], "clozes": []}
    on_padding: dict[str, list[list[float]]] = {"guidance": [], "clozes": []}
    share = []
    for seed in range(SEED, SEED + arguments.stories):
        story = tell_story(seed, NUM_FRAMES)
        session = Session(model, FullPolicy(), chunk_frames=8, text_tokens=160)
        session.observe([frame_of(text, float(k)) for k, text in enumerate(story.sentences)])
        is_padding = padding_of(model, story)
        share.append(float(is_padding.float().mean()))
        for name, texts in questions_of(model, story).items():
            states = [session.read_attention(text, whole_question=True) for text in texts]
            found[name].append(study_of(states, questions=texts))
            on_padding[name].append(padding_shares(states, is_padding))
    means = {name: mean_study(studies) for name, studies in found.items()}
    for name, study in means.items():
        about = f"SmolLM2-135M, mean over {arguments.stories} stories of {NUM_FRAMES} sentences, {name}"
        for kind, draw in (
            ("attention", draw_attention),
            ("tiers", draw_tiers),
            ("periodicity", draw_periodicity),
        ):
            save(draw(study, about=about), PICTURES / f"real_weights_{kind}_{name}.png")
    return {
        "num_stories": arguments.stories,
        "num_frames": NUM_FRAMES,
        "padding_share_of_tokens": fmean(share),
        "studies": {
            name: {
                "proposal": asdict(study.proposal),
                "padding_share_of_attention": [
                    fmean(column) for column in zip(*on_padding[name], strict=True)
                ],
                "layers": [
                    {
                        "recency_index": round(layer.recency_index, 4),
                        "periodicity": None if layer.periodicity is None else round(layer.periodicity, 4),
                        "video_share": round(layer.video_share, 4),
                    }
                    for layer in study.layers
                ],
            }
            for name, study in means.items()
        },
    }


def questions_of(model: SentenceReader, story: Story) -> dict[str, list[str]]:
    """Return HERMES's guidance prompts, and clozes about the past."""
    prompts = model.card.guidance_prompts
    past = [
        one.text
        for one in story.questions
        if one.kind in GROUPS["backward"] and one.asked_frames == NUM_FRAMES
    ]
    return {"guidance": [prompts.local_prompt, prompts.global_prompt], "clozes": past}


def padding_of(model: SentenceReader, story: Story) -> torch.Tensor:
    """Tell which visual tokens of a story are padding."""
    frames = [frame_of(text, float(k)) for k, text in enumerate(story.sentences)]
    return model.prepare(frames).values.long().flatten() == model.padding_id


def padding_shares(states: Sequence[MemoryState], is_padding: torch.Tensor) -> list[float]:
    """Return which part of each layer's attention to the video rests on padding, mean over questions."""
    parts = []
    for state in states:
        weights = state.attention[:, : len(is_padding)].double()
        parts.append(weights[:, is_padding].sum(dim=1) / weights.sum(dim=1))
    return torch.stack(parts).mean(dim=0).tolist()


def mean_study(studies: Sequence[AttentionStudy]) -> AttentionStudy:
    """Average what stories of one length showed, layer by layer."""

    def mean(values: Sequence[Sequence[float]]) -> tuple[float, ...]:
        return tuple(fmean(column) for column in zip(*values, strict=True))

    layers = tuple(
        replace(
            own[0],
            video_share=fmean(one.video_share for one in own),
            recency_index=fmean(one.recency_index for one in own),
            periodicity=fmean(one.periodicity or 0.0 for one in own),
            attention_by_age=mean([one.attention_by_age for one in own]),
            autocorrelation=mean([one.autocorrelation for one in own]),
        )
        for own in zip(*(study.layers for study in studies), strict=True)
    )
    proposal = propose_tiers([one.recency_index for one in layers], [one.periodicity for one in layers])
    return replace(studies[0], layers=layers, proposal=proposal)


PARTS: dict[str, Callable[[argparse.Namespace], Numbers]] = {
    "identities": identities,
    "compressions": compressions,
    "attention": attention,
}


def main() -> None:
    """Measure one part and store it beside the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--stories", type=int, default=NUM_STORIES)
    parser.add_argument("--compressions", type=int, default=10_000)
    parser.add_argument("--model", type=Path, default=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    numbers = PARTS[arguments.part](arguments) | machine()
    document = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    document[arguments.part] = numbers
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
