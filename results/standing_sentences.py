"""Standing questions in words on a pretrained model: python results/standing_sentences.py --out FILE.

Needs the checkpoint of ``make real-weights``. Short stories, kept whole, say which wording SmolLM2-135M
answers at all; then memories watch other stories with that wording, side by side. A sentence is ten seconds,
so that the minute by which a watch learns what is usual (``calibrate="start"``) is six of them. What is said
at each look is kept, and rules are replayed on it through the product's watches; all tell once.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine
from sentences import policy_of, say

from hermes_lab.evaluation.bootstrap import NUM_RESAMPLES
from hermes_lab.evaluation.event_matching import Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome, f1_difference, scores
from hermes_lab.sentences.checkpoint import FOLDER, TOKENS_PER_FRAME
from hermes_lab.sentences.reader import SentenceReader
from hermes_lab.sentences.standing import (
    CHOSEN,
    WORDINGS,
    Sought,
    look_at,
    look_at_nothing,
    phrase,
    sought_in,
)
from hermes_lab.sentences.stories import QUIET, Story, tell_story
from hermes_stream import load_model
from hermes_stream.policies import FullPolicy
from hermes_stream.stream.watches import Watch, WatchRules

POLICIES = ("full", "hermes", "hermes_paper", "infinipot_v", "recent_n", "window")
BUDGET_TOKENS = 8 * TOKENS_PER_FRAME
CHUNK_FRAMES, NUM_FRAMES, SHORT_FRAMES = 2, 24, 10
SECONDS_PER_FRAME = 10.0
FIRST_FRAME, NUM_EACH = 8, 4
TOLERANCE_FRAMES = 2
AGES = (0, 2, 8)
"""Where ranges of frames since a thing came begin; the budget holds eight frames."""
RULES: dict[str, dict[str, Any]] = {
    "as it is, 0.9": {"raise_at": 0.9},
    "as it is, 0.5": {"raise_at": 0.5},
    "as it is, 0.6": {"raise_at": 0.6},
    "blank taken off, 0.5": {"raise_at": 0.5, "calibrate": "blank"},
    "blank taken off, 0.6": {"raise_at": 0.6, "calibrate": "blank"},
    "own start taken off, 0.5": {"raise_at": 0.5, "calibrate": "start"},
    "own start taken off, 0.6": {"raise_at": 0.6, "calibrate": "start"},
}
BASELINES = ("always", "never", "change")
Document = dict[str, Any]


def auc(yes: Sequence[float], no: Sequence[float]) -> float | None:
    """Return how often the margin of what came is above that of what did not."""
    if not len(yes) or not len(no):
        return None
    one, other = np.asarray(yes)[:, None], np.asarray(no)[None]
    return float((one > other).mean() + (one == other).mean() / 2)


def wordings(model: SentenceReader, seeds: range) -> Document:
    """Ask about short stories, kept whole, in every wording, at their end."""
    margins: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in WORDINGS}
    for seed in seeds:
        story = tell_story(seed, SHORT_FRAMES)
        sought = sought_in(story, num_each=SHORT_FRAMES, first_frame=0)
        asked = [(name, one, phrase(model, name, one.thing)) for name in WORDINGS for one in sought]
        questions = [question for *_, question in asked]
        whole = {"full": FullPolicy()}
        (looks,) = look_at(model, whole, story.sentences, questions, chunk_frames=SHORT_FRAMES).values()
        for (name, one, _), (yes, no) in zip(asked, looks[-1], strict=True):
            margins[name][one.came_frame is None].append(yes - no)
    return {
        name: {
            "num_that_came": len(came),
            "auc": auc(came, never),
            "yes_of_what_came": float(np.mean(np.asarray(came) > 0)),
            "yes_of_what_did_not": float(np.mean(np.asarray(never) > 0)),
        }
        for name, (came, never) in margins.items()
    }


def watched(model: SentenceReader, seed: int) -> Document:
    """Let all memories watch a story; return what each said at each look."""
    story = tell_story(seed, NUM_FRAMES)
    sought = sought_in(story, num_each=NUM_EACH, first_frame=FIRST_FRAME)
    questions = [phrase(model, CHOSEN, one.thing) for one in sought]
    policies = {name: policy_of(name, BUDGET_TOKENS) for name in POLICIES}
    looks = look_at(model, policies, story.sentences, questions, chunk_frames=CHUNK_FRAMES)

    def rounded(values: Sequence[tuple[float, float]]) -> list[list[float]]:
        return [[round(one, 4) for one in pair] for pair in values]

    return {
        "seed": seed,
        "sought": [[one.thing, one.came_frame] for one in sought],
        "blank": rounded(look_at_nothing(model, questions)),
        "looks": {name: [rounded(look) for look in own] for name, own in looks.items()},
    }


def seen_frame(look: int) -> int:
    """Return the newest frame of a look."""
    return (look + 1) * CHUNK_FRAMES - 1


def told(found: Document, policy: str, rule: str, number: int) -> list[Told]:
    """Replay a rule on what a memory said of one thing."""
    rules, usual = dict(RULES[rule]), (0.0, 0.0)
    if rules.get("calibrate") == "blank":
        del rules["calibrate"]
        usual = found["blank"][number]
    watch = Watch(
        WatchRules(question="?", clear_at=0.0, **rules),
        None,
        ("yes", "no"),
        on_event=None,
        leave=lambda _: None,
    )
    events = []
    for look, said in enumerate(found["looks"][policy]):
        yes, no = said[number]
        seconds = seen_frame(look) * SECONDS_PER_FRAME
        events.append(watch.see_scores(seconds, (yes - usual[0], no - usual[1]), is_scheduled=True))
    return [Told(seconds=one.stream_seconds) for one in events if one]


def guessed(story: Story, baseline: str) -> list[Told]:
    """Return what who knows nothing tells: at each look, never, or where something happened."""
    told_at = []
    for look in range(NUM_FRAMES // CHUNK_FRAMES):
        newest = seen_frame(look)
        chunk = story.sentences[newest + 1 - CHUNK_FRAMES : newest + 1]
        if baseline == "always" or (baseline == "change" and not set(chunk) <= set(QUIET)):
            told_at.append(Told(seconds=newest * SECONDS_PER_FRAME))
    return told_at


def outcome(found: Document, sought: Sought, events: list[Told]) -> WatchOutcome:
    """Match what was told of one thing with when it came."""
    due = [] if sought.came_frame is None else [Told(seconds=sought.came_frame * SECONDS_PER_FRAME)]
    tolerance = TOLERANCE_FRAMES * SECONDS_PER_FRAME
    return WatchOutcome(
        story=str(found["seed"]),
        scene="sentences",
        condition="comes" if due else "never comes",
        comes=bool(due),
        matching=match_events(due, events, tolerance_seconds=tolerance),
        watched_seconds=NUM_FRAMES * SECONDS_PER_FRAME,
        num_polls=NUM_FRAMES // CHUNK_FRAMES,
    )


def summed(outcomes: list[WatchOutcome]) -> Document:
    """Score watches, each of which comes once or never."""
    own = scores(outcomes)
    delay = {
        name: None if one is None else one / SECONDS_PER_FRAME for name, one in own["delay_seconds"].items()
    }
    never = [one for one in outcomes if not one.comes]
    return {
        "f1": own["f1"],
        "f1_interval": (own["intervals"] or {}).get("f1"),
        "num_due": own["num_due"],
        "num_right": own["num_right"],
        "num_false": own["num_false"],
        "false_per_hundred_frames": 100 * own["num_false"] / (NUM_FRAMES * len(outcomes)),
        "num_never_raised": sum(bool(one.matching.num_false) for one in never),
        "num_never": len(never),
        "delay_frames": delay,
    }


def never_margins(stories: list[Document]) -> Document:
    """Return the mean margin of what never comes, of a blank sentence and at each look (full cache)."""

    def margins(said: Document, found: Document) -> list[float]:
        return [
            yes - no for (yes, no), (_, frame) in zip(said, found["sought"], strict=True) if frame is None
        ]

    blank = [one for found in stories for one in margins(found["blank"], found)]
    looks = zip(*(found["looks"]["full"] for found in stories), strict=True)
    means = [
        float(
            np.mean([one for said, found in zip(look, stories, strict=True) for one in margins(said, found)])
        )
        for look in looks
    ]
    return {"blank": float(np.mean(blank)), "looks": means}


def wins(stories: list[Document], policy: str, age: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often what came some frames ago has the larger margin, and of how many pairs.

    Both are ``[stories, stories]``: what came in one story against what never did in another.
    """
    longest = min((one for one in AGES if one > age), default=NUM_FRAMES)
    came: list[list[float]] = [[] for _ in stories]
    never: list[list[float]] = [[] for _ in stories]
    for story, found in enumerate(stories):
        for number, (_, frame) in enumerate(found["sought"]):
            for look, said in enumerate(found["looks"][policy]):
                yes, no = said[number]
                if frame is None:
                    never[story].append(yes - no)
                elif age <= seen_frame(look) - frame < longest:
                    came[story].append(yes - no)
    counts = np.array([[len(one) * len(other) for other in never] for one in came])
    won = np.array([[(auc(one, other) or 0.0) * len(one) * len(other) for other in never] for one in came])
    return won, counts


def told_apart(stories: list[Document]) -> Document:
    """Return how well margins tell what came from what did not, by memory and by how long ago it came."""
    even = np.full(len(stories), 1 / len(stories))
    once = np.ones((1, len(stories)))
    draws = np.random.default_rng(0).multinomial(len(stories), even, size=NUM_RESAMPLES)
    found: Document = {}
    for age in AGES:
        values = {}
        for policy in POLICIES:
            won, counts = wins(stories, policy, age)
            values[policy] = [
                ((drawn @ won) * drawn).sum(1) / ((drawn @ counts) * drawn).sum(1) for drawn in (once, draws)
            ]
        for policy, (value, drawn) in values.items():
            above = [own - other for own, other in zip(values["hermes"], (value, drawn), strict=True)]
            found.setdefault(policy, {})[str(age)] = estimate(value, drawn) | {
                "hermes_above": estimate(*above)
            }
    return found


def estimate(value: np.ndarray, drawn: np.ndarray) -> Document:
    """Return a value with its interval."""
    low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
    return {"value": float(value[0]), "low": low, "high": high}


def scored(stories: list[Document]) -> Document:
    """Score every memory and rule, those who know nothing, and how far memories are from the first."""
    sought = {
        one["seed"]: [Sought(thing=thing, came_frame=frame) for thing, frame in one["sought"]]
        for one in stories
    }
    by_rule: Document = {}
    for rule in RULES:
        own = {
            policy: [
                outcome(found, one, told(found, policy, rule, number))
                for found in stories
                for number, one in enumerate(sought[found["seed"]])
            ]
            for policy in POLICIES
        }
        by_rule[rule] = {
            policy: summed(outcomes)
            | {
                "f1_above": {
                    other: f1_difference(outcomes, own[other]) for other in POLICIES if other != policy
                }
            }
            for policy, outcomes in own.items()
        }
    baselines = {
        name: summed(
            [
                outcome(found, one, guessed(tell_story(found["seed"], NUM_FRAMES), name))
                for found in stories
                for one in sought[found["seed"]]
            ]
        )
        for name in BASELINES
    }
    best = max(RULES, key=lambda rule: by_rule[rule]["full"]["f1"] or 0.0)
    return {
        "best_rule_of_full": best,
        "rules": by_rule,
        "baselines": baselines,
        "auc": told_apart(stories),
        "margin_of_what_never_comes": never_margins(stories),
    }


def store(document: Document, path: Path) -> None:
    """Write scores and what was said; the file is whole at any moment."""
    stories = document["stories"]
    head = {name: one for name, one in document.items() if name != "stories"} | scored(stories)
    rows = ",\n".join(json.dumps(one) for one in stories)
    written = path.with_suffix(".part")
    written.write_text(
        json.dumps(head, indent=1)[:-2] + f',\n "stories": [\n{rows}\n ]\n}}\n', encoding="utf-8"
    )
    written.replace(path)


def show(document: Document) -> None:
    """Print what was found."""
    for name, own in document["wordings"].items():
        say(name, json.dumps(own))
    for rule, by_policy in document["rules"].items():
        for policy, own in by_policy.items():
            right, never = (
                f"{own[part]} of {own[whole]}"
                for part, whole in (("num_right", "num_due"), ("num_never_raised", "num_never"))
            )
            told = f"F1 {own['f1'] or 0:.2f} {own['f1_interval']}, right {right}, never {never}"
            say(f"{rule:26} {policy:14} {told}, false {own['num_false']}")
    say(json.dumps(document["baselines"]))
    say(json.dumps(document["auc"], indent=1))


def main() -> None:
    """Ask, watch, score and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=8000, help="of the first story that is watched")
    parser.add_argument("--stories", type=int, default=12)
    parser.add_argument("--short-seed", type=int, default=300, help="of the stories that choose the wording")
    parser.add_argument("--short-stories", type=int, default=12)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--model", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model = SentenceReader(load_model(given.model, device="cpu", dtype=given.dtype))
    document: Document = {
        "budget_tokens": BUDGET_TOKENS,
        "tokens_per_frame": TOKENS_PER_FRAME,
        "chunk_frames": CHUNK_FRAMES,
        "num_frames": NUM_FRAMES,
        "dtype": given.dtype,
        "seed": given.seed,
        "short_seed": given.short_seed,
        "chosen": CHOSEN,
        "wordings": wordings(model, range(given.short_seed, given.short_seed + given.short_stories)),
        "stories": [],
    } | machine()
    for seed in range(given.seed, given.seed + given.stories):
        document["stories"].append(watched(model, seed))
        say(f"story {seed}")
        store(document, given.out)
    show(json.loads(given.out.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
