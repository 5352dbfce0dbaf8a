"""When "not seen" should be the answer: scores where the answer was shown, and where it was not.

    python results/unseen.py --model NAME|FOLDER --out results/unseen.json --draw docs/pictures/unseen.png
    python results/unseen.py --again results/unseen.json    sums stored answers up anew

Each story is watched with the default memory in one of the scenes, and asked at its planned moments: the
world's recall and never shown, and its other questions, whose answer is always there. Each is asked with its
options and in open words. Stories with an even seed choose the threshold, with options; all that is told of
it is of the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from confidence import area, bins, calibration_error, options, resampled, run

from hermes_stream import Session, load_model
from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.models.loading.load import EMBEDDED, embedded_folder
from hermes_stream.synthetic.moment import Question
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import QUESTION_KINDS
from hermes_stream.synthetic.recording import is_truth
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.unseen_questions import NOT_SEEN, RECALL_KINDS, UNSEEN_KINDS
from hermes_stream.synthetic.world import Pace, generate_world

WAYS = ("options", "open")
GROUPS = ("recall", "never_shown", "others")
LIKELIEST = 0.5
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def story(model, seed: int, *, scene: str, seconds: int, num_questions: int) -> list[dict]:
    """Watch one story; return scores and answers. In every third, a shape never comes."""
    pace = Pace(cast_shapes=3) if seed % 3 == 0 else Pace()
    world = generate_world(seed, seconds, scene=scene, pace=pace)
    unseen = [*RECALL_KINDS, *UNSEEN_KINDS]
    waiting = []
    for kinds in (unseen, list(QUESTION_KINDS)):
        waiting += plan_questions(
            world, num_questions=num_questions // 2, seed=seed, from_second=seconds // 4, kinds=kinds
        )
    waiting.sort(key=lambda one: one.asked_seconds)
    session, rows = Session(model, fps=1), []
    for frame in world.frames(1.0):
        session.observe(frame)
        while waiting and waiting[0].asked_seconds <= frame.pts_seconds:
            rows.append({"seed": seed, "scene": scene, **asked(session, waiting.pop(0))})
    return rows


def asked(session: Session, question: Question) -> dict:
    """Ask in both ways, with "not seen" offered and without."""
    group = "never_shown" if question.kind in UNSEEN_KINDS else "others"
    group = "recall" if question.kind in RECALL_KINDS else group
    row = {"kind": question.kind, "group": group}
    for way in WAYS:
        options = [one for one in question.options if one != NOT_SEEN] if way == "options" else None
        plain = session.ask(question.text, options, max_new_tokens=16).text
        offered = session.ask(question.text, options, max_new_tokens=16, allow_unseen=True)
        row[way] = {
            "score": offered.unseen_score,
            "is_right": is_truth(question, plain),
            "says_so_by_itself": plain.strip() == NOT_SEEN,
        }
    return row


class Answers:
    """Stored answers in one way of asking, as arrays."""

    def __init__(self, rows: list[dict], way: str) -> None:
        self.score = np.array([one[way]["score"] for one in rows])
        self.right = np.array([one[way]["is_right"] for one in rows])
        self.by_itself = np.array([one[way]["says_so_by_itself"] for one in rows])
        self.group = np.array([one["group"] for one in rows])
        self.kind = np.array([one["kind"] for one in rows])
        self.seed = np.array([one["seed"] for one in rows])
        self.scene = np.array([one["scene"] for one in rows])
        self.is_open = way == "open"

    def where(self, those: np.ndarray) -> Answers:
        """Return some of them."""
        part = object.__new__(Answers)
        for name, value in vars(self).items():
            setattr(part, name, value[those] if isinstance(value, np.ndarray) else value)
        return part

    def unseen(self, threshold: float) -> np.ndarray:
        """Return which are answered "not seen"."""
        # what the model says by itself stays
        bound = min(threshold, LIKELIEST) if self.is_open else threshold
        return self.score >= bound

    def accuracy(self, threshold: float) -> np.ndarray:
        """Return which are right with "not seen" offered."""
        unseen = self.unseen(threshold)
        return np.where(self.group == "never_shown", unseen | self.by_itself, self.right & ~unseen)

    def means(self, threshold: float) -> dict[str, float]:
        """Return the share of right answers by group, and their trade."""
        right = self.accuracy(threshold)
        found = {name: float(right[self.group == name].mean()) for name in GROUPS}
        recall = self.group == "recall"
        others = self.group == "others"
        plain_never = (self.by_itself | self.right)[self.group == "never_shown"].mean()
        found["recall_lost"] = float(self.right[recall].mean()) - found["recall"]
        found["others_lost"] = float(self.right[others].mean()) - found["others"]
        found["never_shown_won"] = found["never_shown"] - float(plain_never)
        found["balanced"] = (found["recall"] + found["never_shown"]) / 2
        return found


def chosen_threshold(answers: Answers) -> float:
    """Return the threshold of the best mean of recall and never shown; of several, the middle."""
    known = np.unique(np.round(answers.score, 3))
    edges = np.unique(np.clip(np.concatenate([known + 5e-4, [0.001, 0.999]]), 0.001, 0.999))
    values = np.array([answers.means(float(one))["balanced"] for one in edges])
    best = edges[values >= values.max() - 1e-12]
    return float(round(best[len(best) // 2], 3))


def intervals(answers: Answers, threshold: float) -> dict[str, list[float]]:
    """Return 95 % intervals of the means, over stories."""
    drawn = [answers.where(picked).means(threshold) for picked in resampled(answers.seed)]
    return {
        name: [float(one) for one in np.percentile([d[name] for d in drawn], [2.5, 97.5])]
        for name in drawn[0]
    }


def scored(rows: list[dict]) -> dict:
    """Choose the threshold on half of the stories, and tell what it does on the others."""
    ways = {way: Answers(rows, way) for way in WAYS}
    fitted = {way: one.where(one.seed % 2 == 0) for way, one in ways.items()}
    unseen_at = chosen_threshold(fitted["options"])
    document = {"unseen_at": unseen_at, "best_of_open_words": chosen_threshold(fitted["open"])}
    for way, every in ways.items():
        fresh = every.where(every.seed % 2 == 1)
        pair = fresh.where(fresh.group != "others")
        shown = pair.group == "never_shown"
        right = fresh.accuracy(unseen_at)
        document[way] = {
            "num_answers": {name: int((fresh.group == name).sum()) for name in GROUPS},
            "without": {name: float(fresh.right[fresh.group == name].mean()) for name in GROUPS},
            "says_so_by_itself": {
                name: float(fresh.by_itself[fresh.group == name].mean()) for name in GROUPS
            },
            "at_threshold": fresh.means(unseen_at),
            "at_threshold_intervals": intervals(fresh, unseen_at),
            "at_likeliest": fresh.means(LIKELIEST),
            "at_likeliest_intervals": intervals(fresh, LIKELIEST),
            "by_kind": {
                str(kind): {
                    "num_answers": int((fresh.kind == kind).sum()),
                    "right": float(right[fresh.kind == kind].mean()),
                    "right_without": float(fresh.right[fresh.kind == kind].mean()),
                    "not_seen": float(fresh.unseen(unseen_at)[fresh.kind == kind].mean()),
                }
                for kind in np.unique(fresh.kind)
            },
            "by_scene": {scene: fresh.where(fresh.scene == scene).means(unseen_at) for scene in SCENES},
            "trade_off": [{"threshold": one, **fresh.means(one)} for one in THRESHOLDS],
            "reliability": bins(pair.score, shown),
            "calibration_error": calibration_error(pair.score, shown),
            "area_under_curve": area(pair.score, shown),
        }
    return document


def draw(scores: dict, path: Path) -> None:
    """Draw how often an answer was never shown, by its score, and what each threshold wins and costs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
    left.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
    for way, colour in zip(WAYS, ("#2266aa", "#cc7722"), strict=True):
        own = scores[way]
        left.plot(
            [one["mean_confidence"] for one in own["reliability"]],
            [one["share_right"] for one in own["reliability"]],
            marker="o",
            color=colour,
            label=f"{'with options' if way == 'options' else 'open words'}, "
            f"error {own['calibration_error']:.3f}",
        )
        lines = own["trade_off"]
        right.plot(
            [one["recall"] for one in lines], [one["never_shown"] for one in lines], marker=".", color=colour
        )
        at = own["at_threshold"]
        right.plot([at["recall"]], [at["never_shown"]], marker="s", markersize=8, color=colour)
        right.plot([own["without"]["recall"]], [own["says_so_by_itself"]["never_shown"]], "x", color=colour)
    left.set(xlim=(0, 1), ylim=(0, 1.02), xlabel='score of "not seen"', ylabel="share never shown")
    left.legend(loc="lower right", frameon=False, fontsize=8)
    right.set(xlabel="recall", ylabel="never shown", title=f"square: {scores['unseen_at']:g}; x: not offered")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def measured(given: argparse.Namespace) -> dict:
    """Watch all stories."""
    model, scenes = load_model(given.model), list(SCENES)
    is_embedded = given.model in EMBEDDED
    weights = (embedded_folder(given.model) if is_embedded else Path(given.model)) / "model.safetensors"
    digest = sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None
    # a run that was cut short goes on, with the weights that it began with
    is_begun = given.out is not None and given.out.exists()
    begun = json.loads(given.out.read_text(encoding="utf-8")) if is_begun else {}
    rows = begun["answers"] if begun and begun.get("weights_sha256") == digest else []
    known = {one["seed"] for one in rows}
    for k in range(given.stories):
        seed, scene = given.seed + k, scenes[k // 2 % len(scenes)]
        if seed in known:
            continue
        rows += story(model, seed, scene=scene, seconds=given.seconds, num_questions=given.questions)
        sys.stderr.write(f"{seed} {scene}: {len(rows)} answers\n")
        sys.stderr.flush()
        if given.out:
            begun = {"weights_sha256": digest, "answers": rows}
            given.out.write_text(json.dumps(begun), encoding="utf-8")
    return {
        "command": f"python results/unseen.py --model {given.model if is_embedded else 'FOLDER'} "
        f"--stories {given.stories} --seconds {given.seconds} --questions {given.questions} "
        f"--seed {given.seed} --out {given.out}",
        "model": given.about or given.model,
        "weights_sha256": digest,
        "num_stories": given.stories,
        "seconds": given.seconds,
        "seed": given.seed,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "scores": scored(rows),
        "answers": rows,
    }


def main() -> None:
    parser = options(__doc__, stories=42, seconds=120, questions=48, seed=85_000)
    parser.add_argument("--about", help="what the model is, where its folder's name does not say it")
    run(parser.parse_args(), measured=measured, scored=scored, draw=draw)


if __name__ == "__main__":
    main()
