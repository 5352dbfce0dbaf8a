"""How sure the embedded model is, and how often it is right then: open answers and chosen ones.

    python results/confidence.py --out results/confidence.json
    python results/confidence.py --again results/confidence.json    sums stored answers up anew

Each story is watched with the default memory in one of the scenes, and asked at its planned moments, each
question twice: in open words, and with its options. Seeds chose nothing before. Half of the stories fit the
power that a confidence is raised to, the other half tells what is left.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hermes_stream import Session, load_model
from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.stream.answer import Answer
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.recording import is_truth
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import generate_world

SIGNALS = {"open": ("mean", "least", "product"), "options": ("share",)}
SHOWN = ("open, mean", "options, share")
"""What ``Answer.confidence`` is."""
NUM_BINS = 10
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NUM_RESAMPLES = 2000
_TOKENS: list[float] = []


def noting_more() -> None:
    """Let each token leave here how likely it was."""
    token = Answer.note_token

    def note_token(self: Answer, token_id: int, probability: float) -> None:
        if not self.token_ids:
            _TOKENS.clear()
        token(self, token_id, probability)
        _TOKENS.append(probability)

    Answer.note_token = note_token


def story(model, seed: int, *, scene: str, seconds: int, num_questions: int) -> list[dict]:
    """Watch one story; return its answers with confidence and truth."""
    world = generate_world(seed, seconds, scene=scene)
    questions = plan_questions(world, num_questions=num_questions, seed=seed, from_second=seconds // 3)
    waiting, rows = list(questions), []
    session = Session(model, fps=1)
    for frame in world.frames(1.0):
        session.observe(frame)
        while waiting and waiting[0].asked_seconds <= frame.pts_seconds:
            question = waiting.pop(0)
            said = session.ask(question.text, max_new_tokens=16)
            is_right, likely = is_truth(question, said.text), list(_TOKENS)
            chosen = session.ask(question.text, question.options)
            rows.append(
                {
                    "seed": seed,
                    "scene": scene,
                    "kind": question.kind,
                    "open": {
                        "mean": float(np.mean(likely)),
                        "least": min(likely),
                        "product": float(np.prod(likely)),
                        "is_right": is_right,
                    },
                    "options": {
                        "share": chosen.confidence,
                        "is_right": is_truth(question, chosen.text),
                    },
                }
            )
    return rows


def bins(confidence: np.ndarray, right: np.ndarray) -> list[dict]:
    """Return how often answers of like confidence are right."""
    place = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        {
            "from": k / NUM_BINS,
            "num_answers": int((place == k).sum()),
            "mean_confidence": float(confidence[place == k].mean()),
            "share_right": float(right[place == k].mean()),
        }
        for k in range(NUM_BINS)
        if (place == k).any()
    ]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the mean distance of confidence and share of right answers, over bins."""
    return sum(
        one["num_answers"] * abs(one["mean_confidence"] - one["share_right"])
        for one in bins(confidence, right)
    ) / len(right)


def area(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return how likely a right answer is surer than a wrong one."""
    if right.all() or not right.any():
        return float("nan")
    good, bad = confidence[right], np.sort(confidence[~right])
    below = np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")
    return float(below.mean() / 2 / len(bad))


def fitted_power(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the power of the confidence that makes the answers' truth likeliest."""
    powers = np.geomspace(0.1, 10, 201)
    safe = np.clip(confidence, 1e-6, 1 - 1e-6)
    likelihood = [np.where(right, power * np.log(safe), np.log1p(-(safe**power))).mean() for power in powers]
    return float(powers[int(np.argmax(likelihood))])


def summed(rows: list[dict], way: str, signal: str) -> dict:
    """Sum answers of one way of asking up under one signal."""
    confidence = np.array([one[way][signal] for one in rows])
    right = np.array([one[way]["is_right"] for one in rows])
    seeds = np.array([one["seed"] for one in rows])
    fits = np.isin(seeds, np.unique(seeds)[::2])
    power = fitted_power(confidence[fits], right[fits])
    rest = ~fits
    return {
        "num_answers": len(rows),
        "accuracy": float(right.mean()),
        "mean_confidence": float(confidence.mean()),
        "calibration_error": calibration_error(confidence, right),
        "calibration_error_interval": _interval(confidence, right, seeds, calibration_error),
        "area_under_curve": area(confidence, right),
        "area_interval": _interval(confidence, right, seeds, area),
        "brier": float(((confidence - right) ** 2).mean()),
        "power": power,
        "other_half": {
            "calibration_error": calibration_error(confidence[rest], right[rest]),
            "calibration_error_with_power": calibration_error(confidence[rest] ** power, right[rest]),
        },
        "bins": bins(confidence, right),
        "clarify": [_asking_back(confidence, right, below) for below in THRESHOLDS],
    }


def _asking_back(confidence: np.ndarray, right: np.ndarray, below: float) -> dict:
    asks = confidence < below
    return {
        "clarify_below": below,
        "asks_when_wrong": float(asks[~right].mean()) if (~right).any() else None,
        "asks_when_right": float(asks[right].mean()) if right.any() else None,
        "share_asked_back": float(asks.mean()),
        "accuracy_of_the_rest": float(right[~asks].mean()) if (~asks).any() else None,
    }


def resampled(seeds: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the places of answers whose stories were drawn again, with replacement."""
    rng, known = np.random.default_rng(0), np.unique(seeds)
    places = {seed: np.flatnonzero(seeds == seed) for seed in known}
    for _ in range(NUM_RESAMPLES):
        yield np.concatenate([places[seed] for seed in rng.choice(known, len(known))])


def _interval(confidence: np.ndarray, right: np.ndarray, seeds: np.ndarray, measure) -> list[float]:
    drawn = [measure(confidence[picked], right[picked]) for picked in resampled(seeds)]
    return [float(one) for one in np.nanpercentile(drawn, [2.5, 97.5])]


def scored(rows: list[dict]) -> dict:
    """Sum all answers up, of both ways of asking."""
    return {
        f"{way}, {signal}": summed(rows, way, signal)
        for way, signals in SIGNALS.items()
        for signal in signals
    }


def draw(scores: dict, path: Path) -> None:
    """Draw how often answers are right, by how sure they are."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.8), sharey=True, layout="constrained")
    for axis, way in zip(axes, SHOWN, strict=True):
        own = scores[way]
        axis.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
        most = max(one["num_answers"] for one in own["bins"])
        axis.bar(
            [one["from"] + 0.05 for one in own["bins"]],
            [one["num_answers"] / most * 0.25 for one in own["bins"]],
            width=0.09,
            color="#cccccc",
        )
        axis.plot(
            [one["mean_confidence"] for one in own["bins"]],
            [one["share_right"] for one in own["bins"]],
            marker="o",
            color="#2266aa",
        )
        axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence")
        axis.set_title(f"{way}: {own['num_answers']} answers, error {own['calibration_error']:.3f}")
    axes[0].set_ylabel("share of right answers")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def options(
    description: str, *, stories: int, seconds: int, questions: int, seed: int
) -> argparse.ArgumentParser:
    """Return the parser of a script that asks about stories, with what it takes by default."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--stories", type=int, default=stories)
    parser.add_argument("--seconds", type=int, default=seconds)
    parser.add_argument("--questions", type=int, default=questions)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", type=Path, help="a stored document, whose answers are summed up anew")
    parser.add_argument("--draw", type=Path)
    return parser


def run(given: argparse.Namespace, *, measured, scored, draw) -> None:
    """Measure, or sum stored answers up again; store, draw and print the scores."""
    if given.again:
        document = json.loads(given.again.read_text(encoding="utf-8"))
        document["scores"] = scored(document["answers"])
    else:
        document = measured(given)
    if out := given.again or given.out:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if given.draw:
        draw(document["scores"], given.draw)
    sys.stdout.write(json.dumps(document["scores"], indent=1) + "\n")


def main() -> None:
    parser = options(__doc__, stories=40, seconds=180, questions=25, seed=83_000)
    run(parser.parse_args(), measured=measured, scored=scored, draw=draw)


def measured(given: argparse.Namespace) -> dict:
    """Watch all stories."""
    noting_more()
    model, scenes, rows = load_model(given.model), list(SCENES), []
    for k in range(given.stories):
        seed, scene = given.seed + k, scenes[k % len(scenes)]
        rows += story(model, seed, scene=scene, seconds=given.seconds, num_questions=given.questions)
        sys.stderr.write(f"{seed} {scene}: {len(rows)} answers\n")
    return {
        "command": f"python {' '.join(sys.argv)}",
        "model": given.model,
        "num_stories": given.stories,
        "seconds": given.seconds,
        "seed": given.seed,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "scores": scored(rows),
        "answers": rows,
    }


if __name__ == "__main__":
    main()
