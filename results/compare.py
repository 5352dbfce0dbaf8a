"""Make the folder comparison/MODEL here: python results/compare.py tiny|tiny-qwen [--workers N] [--work DIR].

``short`` asks about streams as long as any that was learned whole, the full cache beside. ``long`` compares
every bounded memory, and variants of HERMES, on streams ten times as long, at 32 % of the tokens that the
full cache holds of a short one. ``budgets`` asks some of them there with half and with twice as much.
``kinds`` asks the default and the full cache a thousand questions of each kind in short streams,
``new_kinds`` what standing questions and "not seen" need, in every scene. ``guidance`` asks, on long streams
of its own, what a cheaper guidance costs the default, and none. ``present`` and ``ages`` ask far more about
two things in which the default came nearest to its aims: now, on long streams in every scene, beside what
knows it best, and how long ago, in short ones, beside the full cache.
``aims.json`` says, with intervals, what came of what was aimed at. A run that was stopped goes on where it
was; ``--work`` keeps its videos and answers.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hermes_lab.evaluation.bootstrap import Bootstrap, Estimate
from hermes_stream.synthetic.questions import QUESTION_KINDS

FOLDER = Path(__file__).parent / "comparison"
SHARE = 0.32
TIMES_AS_LONG = 10
PICTURE_SIZE = 240
STORIES = {
    # Ours was chosen on those from 9000 on.
    "long": {"seed": 9100, "streams": 36, "questions": 60, "fps": 2, "size": PICTURE_SIZE},
    "short": {"seed": 9500, "streams": 40, "questions": 40, "fps": 2, "size": PICTURE_SIZE},
    "guidance": {"seed": 71000, "streams": 14, "questions": 60, "fps": 2, "size": PICTURE_SIZE},
    "kinds": {"seed": 15000, "streams": 500, "questions": 40, "fps": 2, "size": PICTURE_SIZE},
    "present": {
        **{"seed": 72000, "streams": 35, "questions": 60, "fps": 2, "size": PICTURE_SIZE},
        **{"kinds": "now", "scene": "all"},
    },
    "ages": {
        **{"seed": 77000, "streams": 400, "questions": 8, "fps": 2, "size": PICTURE_SIZE},
        **{"kinds": "how_long_ago"},
    },
    "new_kinds": {
        **{"seed": 9800, "streams": 70, "questions": 40, "fps": 2, "size": PICTURE_SIZE},
        **{"kinds": "standing,recall,never_shown", "cast-shapes": 3, "scene": "all"},
    },
}
NUM_SEEDS = 3
OURS = ("hermes", "hermes_paper")
RIVALS = (
    "window",
    "streaming_vlm",
    "recent_n",
    "uniform",
    "random",
    "stratified",
    "infinipot_v",
    "streammem",
    "livevlm",
    "rekv_bounded",
    "resv_bounded",
)
VARIANTS = (
    "hermes:same_tokens=false,averaged_tokens=3",
    "hermes:unlike_share=0",
    "hermes:averaged_tokens=3",
    "hermes:same_tokens=false",
    "hermes:novelty=0",
    "hermes:protect_recent_patches=6",
    "hermes:protect_recent_patches=0",
    "hermes:summarize=true",
    "hermes:guidance_forward=embeddings",
    "hermes:gaps=scaled",
    "hermes:reindex=eager",
    "hermes:reindex=eager,gaps=scaled",
    "hermes_paper:summarize=false",
    "hermes_paper:summary_place=end",
    "hermes_paper:summary_place=middle",
    "hermes_paper:reindex_axes=all",
    "hermes_paper:smoothing=[0,0,0]",
    "hermes_paper:smoothing_match=index,smoothing_recursive=true",
    "hermes_paper:guidance_forward=embeddings",
    "hermes_paper:tier_budget_weights=[0.7,1,1.3]",
)
CHEAPER_GUIDANCE = (
    "hermes:guidance_forward=embeddings",
    # Recency alone, which reads no prompt.
    "hermes:sensory_share=1,long_term_share=0",
)
POLICIES = {
    "short": (*OURS, "full", "window"),
    "long": (*OURS, *VARIANTS, *RIVALS, "full"),
    "budgets": (*OURS, "window", "infinipot_v"),
    "guidance": ("hermes", *CHEAPER_GUIDANCE),
    "kinds": ("hermes", "full"),
    "present": ("hermes", "recent_n"),
    "ages": ("hermes", "full"),
    "new_kinds": ("hermes", "full", "window"),
}
LONG = ("long", "budgets", "guidance", "present")
TIMES_THE_BUDGET = (0.5, 1, 2)
BUDGETS_STREAMS = 8
NEWEST = ("window", "streaming_vlm", "recent_n")
"""Memories of the newest frames."""


def hermes(*words: object) -> None:
    """Run the command as a user would; it tells how far it is."""
    subprocess.run([sys.executable, "-m", "hermes_stream", *map(str, words)], check=True)


def compare(
    part: str, model: str, work: Path, *, seconds: int, budgets: list[int], asked: argparse.Namespace
) -> Path:
    """Write the stories of one part where they are missing, and compare memories on them."""
    story = "long" if part == "budgets" else part
    videos, out = work / story, work / f"{part}-{model}"
    if not (videos / "annotations.json").exists():
        options = [word for name, value in STORIES[story].items() for word in (f"--{name}", value)]
        hermes("world", "--out", videos, "--seconds", seconds, *options, "--force")
    limit = asked.stories or {"budgets": BUDGETS_STREAMS}.get(part)
    limited = ["--limit", limit] if limit else []
    how = [*limited, "--model", model, "--budgets", ",".join(map(str, budgets)), "--seeds", asked.seeds]
    policies = [name for name in POLICIES[part] if asked.policies is None or name in asked.policies]
    what = [videos / "annotations.json", "--videos", videos, "--policies", ";".join(policies)]
    hermes("compare", *what, *how, "--workers", asked.workers, "--out", out)
    kept = FOLDER / model / part
    kept.mkdir(parents=True, exist_ok=True)
    for file in ("comparison.json", "budget.png", "delay.png", "ttft.png"):
        if (out / file).exists():  # what was seen just now has no delay to draw
            shutil.copy(out / file, kept / file)
    return out


def rights(videos: Path, out: Path, policy: str, part: str) -> tuple[list[float], list[str]]:
    """Return how often each question of a group or kind is answered right, and the video of each."""
    from hermes_lab.datasets import load_annotations
    from hermes_lab.datasets.task_groups import group_of
    from hermes_lab.evaluation.run_folder import RunFolder
    from hermes_lab.evaluation.scorers import strict

    budgets = json.loads((out / "comparison.json").read_text(encoding="utf-8"))["manifest"]["budgets"]
    episodes = load_annotations(videos / "annotations.json")
    answers: dict[str, list[bool]] = {}
    for run in RunFolder(out).runs(episodes).values():
        if run.key.policy == policy and run.key.budget_tokens in (*budgets, None):
            for one in run.predictions:
                answers.setdefault(one.question.question_id, []).append(strict(one) is True)
    asked = [(one.name, question) for one in episodes for question in one.questions]
    chosen = [
        (video, answers[question.question_id])
        for video, question in asked
        if part in (question.kind, group_of(question.kind)) and question.question_id in answers
    ]
    return [sum(own) / len(own) for _, own in chosen], [video for video, _ in chosen]


def aims(model: str, work: Path, *, long: Path, short: Path, kinds: Path | None) -> list[dict[str, Any]]:
    """Say what came of the aims; open is what the intervals do not decide."""
    found = []
    for policy in OURS:
        asked = _Asked(work, long, short, kinds, policy)
        own = asked.aims_of_the_paper() if policy == "hermes_paper" else asked.aims_of_the_default()
        found.append({"model": model, "policy": policy} | own)
    return found


class _Asked:
    """What was answered about long stories and short ones, and what one of ours was to reach."""

    def __init__(self, work: Path, long: Path, short: Path, kinds: Path | None, policy: str) -> None:
        self._work, self._long, self._short, self._policy = work, long, short, policy
        self._of_kinds = (work / "short", short) if kinds is None else (work / "kinds", kinds)
        scores = json.loads((long / "comparison.json").read_text(encoding="utf-8"))["scores"]
        compared = {row["policy"] for row in scores}
        self._rivals = [one for one in (*RIVALS, *OURS) if one in compared and one != policy]
        self._has_full = "full" in compared

    def aims_of_the_paper(self) -> dict[str, Any]:
        """Compare the present in long stories with that of the full cache in short ones."""
        from hermes_lab.evaluation.bootstrap import unpaired_difference

        full = rights(self._work / "short", self._short, "full", "now")
        own = rights(self._work / "long", self._long, self._policy, "now")
        away = unpaired_difference(own, full, seed=0)
        return {
            "now_within_2_points_of_full_in_training_length": _judged(away, -0.02),
            "first_of_bounded_policies_on_backward": self._first_on_backward(),
        }

    def aims_of_the_default(self) -> dict[str, Any]:
        """Compare it with its rivals in long stories, and kind by kind with the full cache in short ones."""
        now, rival, _ = self._nearest("now", [one for one in self._rivals if one in NEWEST])
        return {
            "now_within_1_point_of_the_best_memory_of_the_newest": _judged(now, -0.01) | {"beside": rival},
            "first_of_bounded_policies_on_backward": self._first_on_backward(),
            "half_of_the_distance_to_full_on_backward": self._half_way(),
            "within_1_point_of_full_in_every_kind_in_training_length": self._kinds(),
        }

    def _first_on_backward(self) -> dict[str, Any]:
        own, video_of = rights(self._work / "long", self._long, self._policy, "backward")
        rivals = {name: self._away("backward", name) for name in self._rivals}
        is_first = all(one.low is not None and one.low > 0 for one in rivals.values())
        is_beaten = any(one.high is not None and one.high < 0 for one in rivals.values())
        return {
            "accuracy": asdict(_bootstrap(video_of).mean(own)),
            f"{self._policy}_minus": {name: asdict(one) for name, one in rivals.items()},
            "verdict": "met" if is_first else "missed" if is_beaten else "open",
        }

    def _half_way(self) -> dict[str, Any]:
        """Compare it with the middle between the best rival and the full cache, where that knows more."""
        if not self._has_full:
            return {"verdict": "not asked: the full cache does not hold so long a stream"}
        own, video_of = rights(self._work / "long", self._long, self._policy, "backward")
        rivals = [one for one in self._rivals if one not in OURS]
        _, rival, rivals_own = self._nearest("backward", rivals)
        full, _ = rights(self._work / "long", self._long, "full", "backward")
        if sum(full) <= sum(rivals_own):
            return {"verdict": "not asked: the full cache knows no more than the best rival"}
        half_way = [(one + other) / 2 for one, other in zip(rivals_own, full, strict=True)]
        return _judged(_bootstrap(video_of).difference(own, half_way), 0.0) | {"beside": rival}

    def _kinds(self) -> dict[str, Any]:
        (videos, out), away, number = self._of_kinds, {}, {}
        for kind in QUESTION_KINDS:
            own, video_of = rights(videos, out, self._policy, kind)
            full, _ = rights(videos, out, "full", kind)
            away[kind], number[kind] = _bootstrap(video_of).difference(own, full), len(own)
        verdicts = {_judged(one, -0.01)["verdict"] for one in away.values()}
        worst = "missed" if "missed" in verdicts else "open" if "open" in verdicts else "met"
        by_kind = {kind: asdict(one) | {"num_questions": number[kind]} for kind, one in away.items()}
        return {"by_kind": by_kind, "verdict": worst}

    def _nearest(self, group: str, names: Sequence[str]) -> tuple[Estimate, str, list[float]]:
        """Return by how much it exceeds the best of some, which that is, and what that one answered."""
        answers = {name: rights(self._work / "long", self._long, name, group)[0] for name in names}
        best = max(answers, key=lambda name: sum(answers[name]))
        return self._away(group, best), best, answers[best]

    def _away(self, group: str, other: str) -> Estimate:
        own, video_of = rights(self._work / "long", self._long, self._policy, group)
        return _bootstrap(video_of).difference(own, rights(self._work / "long", self._long, other, group)[0])


def _bootstrap(video_of: Sequence[str]) -> Bootstrap:
    return Bootstrap(video_of, seed=0)


def _judged(away: Estimate, least: float) -> dict[str, Any]:
    """Say whether a difference is at least so much, which its interval may leave open."""
    if away.low is None or away.high is None:
        verdict = "open"
    else:
        verdict = "met" if away.low >= least else "missed" if away.high < least else "open"
    return {"difference": asdict(away), "verdict": verdict}


def main() -> None:
    """Compare, judge and store."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=["tiny", "tiny-qwen"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--stories", type=int, help="the first N stories of each part only")
    parser.add_argument("--policies", nargs="+", help="these alone, of those that a part compares")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS, help="of policies that draw")
    parser.add_argument("--work", type=Path, default=Path(".comparison"))
    arguments = parser.parse_args()
    from hermes_stream import load_model

    model = load_model(arguments.model, device="cpu")
    card = model.card
    seconds = round(card.training_frames / card.default_fps)
    per_frame = model.num_tokens(PICTURE_SIZE, PICTURE_SIZE)
    budget = round(SHARE * card.training_frames / card.frames_per_temporal_patch * per_frame)
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    made = {}
    for part in arguments.parts:
        made[part] = compare(
            part,
            arguments.model,
            work,
            seconds=seconds * (TIMES_AS_LONG if part in LONG else 1),
            budgets=[round(budget * k) for k in (TIMES_THE_BUDGET if part == "budgets" else (1,))],
            asked=arguments,
        )
    made |= {part: out for part in POLICIES if (out := work / f"{part}-{arguments.model}").exists()}
    if {"short", "long"} <= set(made):
        found = aims(arguments.model, work, long=made["long"], short=made["short"], kinds=made.get("kinds"))
        path = FOLDER / arguments.model / "aims.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
