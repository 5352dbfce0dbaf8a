"""Draw the picture of README.md: python results/overview.py.

A story that training never saw is watched by the embedded model; shown are its frames, which of them the
memory still holds, and three answers from it, each with the moments on which its attention rested.
overview.json has the values, docs/pictures/overview.png the drawing.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from measure import FOLDER, PICTURES, machine

from hermes_lab.analysis.figures import BLUE, GREY, ORANGE, new_figure, save
from hermes_lab.analysis.memory_map import memory_map
from hermes_stream import Session, load_model
from hermes_stream.synthetic.questions import ask_at
from hermes_stream.synthetic.world import World, generate_world

SEED = 5004
SECONDS = 120
BUDGET_TOKENS = 138
POLICY = "hermes"
KINDS = ("now_what", "before", "first")
NUM_FRAMES_SHOWN = 12


def watch(world: World) -> dict[str, Any]:
    """Watch a story, and ask at its end."""
    model = load_model("tiny")
    session = Session(model, POLICY, budget_tokens=BUDGET_TOKENS)
    session.observe(world.frames(model.card.default_fps))
    session.flush()
    found, stats = memory_map(session), session.stats
    counts = np.mean([layer.num_tokens for layer in found.layers], axis=0)
    return {
        "model": "tiny",
        "policy": POLICY,
        "budget_tokens": BUDGET_TOKENS,
        "seed": world.seed,
        "seconds": SECONDS,
        "num_visual_tokens_seen": stats.num_visual_tokens_seen,
        "num_visual_tokens_kept": stats.num_visual_tokens_kept,
        "cache_bytes": stats.cache_bytes,
        "held_seconds": found.seconds,
        "held_tokens": counts.round(3).tolist(),
        "answers": [answer for kind in KINDS if (answer := ask(session, world, kind))],
    }


def ask(session: Session, world: World, kind: str) -> dict[str, Any] | None:
    """Ask a question of a kind at the last frame, if the story has one."""
    question = ask_at(world, SECONDS - 1, kind, np.random.default_rng(SEED))
    if question is None:
        return None
    answer = session.ask(question.text)
    text = answer.text  # reads it to its end, so that all its tokens are there
    patches = session.evidence(question.text, answer_ids=answer.token_ids).patches
    return {
        "question": question.text,
        "answer": text,
        "truth": question.answer,
        "evidence": question.evidence,
        "seconds": [patch.seconds for patch in patches],
        "shares": [round(patch.share, 5) for patch in patches],
    }


def telling_second(world: World, spans: list[tuple[float, float]], start: float, end: float) -> float:
    """Return a second between two that shows what decides an answer, else one that shows most."""

    def worth(second: float) -> tuple[bool, int]:
        return any(low <= second < high for low, high in spans), len(world.on_screen(second))

    return max(np.arange(start, end), key=worth)


def draw(world: World, found: dict[str, Any]) -> Any:
    """Draw frames, memory and answers over the time of the stream."""
    answers = found["answers"]
    figure = new_figure(8.0, 4.3)
    heights = [0.68, 0.7, *[0.5] * len(answers)]
    frames, memory, *rows = figure.subplots(2 + len(answers), sharex=True, height_ratios=heights)
    period = SECONDS / NUM_FRAMES_SHOWN
    spans = [tuple(span) for answer in answers for span in answer["evidence"]]
    for k in range(NUM_FRAMES_SHOWN):
        shown = world.picture(telling_second(world, spans, k * period, (k + 1) * period))
        frames.imshow(shown, extent=(k * period + 0.4, (k + 1) * period - 0.4, 0, 1), aspect="auto")
    frames.set_xlim(0, SECONDS)
    frames.set_ylim(0, 1)
    frames.set_axis_off()
    frames.set_title(
        f"A stream of {SECONDS} seconds: {found['num_visual_tokens_seen']:,} visual tokens so far"
    )
    memory.bar(found["held_seconds"], found["held_tokens"], width=0.9, align="edge", color=BLUE)
    memory.set_title(
        f"The memory, always {found['num_visual_tokens_kept']} tokens a layer: which moments it still holds",
        fontsize=9,
        loc="left",
        pad=3,
    )
    for axes, answer in zip(rows, answers, strict=True):
        for start, end in answer["evidence"]:
            axes.axvspan(start, max(end, start + 1), color=ORANGE, alpha=0.3, lw=0)
        axes.bar(answer["seconds"], answer["shares"], width=0.9, align="edge", color=GREY)
        axes.set_title(f"“{answer['question']}”   {answer['answer']}", fontsize=9, loc="left", pad=3)
    for axes in (memory, *rows):
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    rows[-1].set_xlabel(
        f"seconds of story {found['seed']}, model {found['model']}, policy {found['policy']}   ·   "
        "grey: what an answer attends to   ·   orange: when the truth was on screen",
        fontsize=8,
    )
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "overview.json")
    story = generate_world(SEED, SECONDS)
    document = watch(story)
    save(draw(story, document), PICTURES / "overview.png")
    text = json.dumps({"machine": machine(), **document}, indent=2) + "\n"
    parser.parse_args().out.write_text(text, encoding="utf-8")
