"""Compare memories on streams of sentences through SmolLM2-135M: python results/sentences.py --out FILE.

Needs the checkpoint of ``make real-weights``. Memories watch the same stories side by side, 3 times and
10 times as long as the budget holds, and are asked the same clozes. The file holds every answer; a
run that was stopped goes on with the same ``--out``, and more stories or policies are added to it. Scores are
made anew from all answers.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine

from hermes_lab.evaluation.bootstrap import Bootstrap
from hermes_lab.sentences.checkpoint import FOLDER, TOKENS_PER_FRAME
from hermes_lab.sentences.reader import SentenceReader
from hermes_lab.sentences.stories import GROUPS, NUM_OPTIONS, Story, tell_story
from hermes_lab.sentences.watching import watch_story
from hermes_stream import load_model
from hermes_stream.policies import MemoryPolicy
from hermes_stream.policies.named import policy_named

POLICIES = (
    *("full", "hermes", "hermes:unlike_share=0", "hermes_paper", "infinipot_v", "recent_n", "window"),
)
TIMES_THE_BUDGET = (3, 10)
DELAYS = (4, 8, 16, 32, 80)
"""Ends of the ranges of delay, in frames."""
REFERENCES = ("full", "hermes", "hermes_paper", "infinipot_v")
"""Policies that the others are compared with, where they took part."""
SETTINGS = ("budget_tokens", "chunk_frames", "dtype", "tokens_per_frame")

Document = dict[str, Any]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7000, help="of the first story; the others follow it")
    parser.add_argument("--stories", type=int, default=24)
    parser.add_argument("--budget-tokens", type=int, default=8 * TOKENS_PER_FRAME)
    parser.add_argument("--times", type=int, nargs="+", default=list(TIMES_THE_BUDGET))
    parser.add_argument("--chunk-frames", type=int, default=4)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), help="NAME or NAME:FIELD=VALUE,...")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--model", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def policy_of(name: str, budget_tokens: int) -> MemoryPolicy:
    """Return a policy with the budget, if it takes one."""
    named = policy_named(name)
    return named.with_budget(budget_tokens if named.takes_budget else None, budget_tokens)


def open_document(arguments: argparse.Namespace) -> Document:
    """Return what is stored, or an empty document; answers made in different ways are not mixed.

    Raises:
        SystemExit: the file was made with other settings.
    """
    settings = {
        "budget_tokens": arguments.budget_tokens,
        "chunk_frames": arguments.chunk_frames,
        "dtype": arguments.dtype,
        "tokens_per_frame": TOKENS_PER_FRAME,
    }
    if not arguments.out.exists():
        document = settings | {"memories": {}, "answers": []}
    else:
        document = json.loads(arguments.out.read_text(encoding="utf-8"))
    if (stored := {name: document[name] for name in SETTINGS}) != settings:
        sys.exit(f"{arguments.out} was made with {stored}, not {settings}; give another --out")
    forget_changed(document, arguments)
    return document


def forget_changed(document: Document, arguments: argparse.Namespace) -> None:
    """Drop the answers of policies whose name means another policy by now, or none; they watch anew."""
    memories = document["memories"]
    for name in sorted({*memories, *arguments.policies}):
        try:
            means = repr(policy_of(name, arguments.budget_tokens))
        except ValueError:
            means = ""
        if memories.get(name, means) != means:
            say(f"{name} is not what it was: its answers are dropped")
            document["answers"] = [one for one in document["answers"] if one["policy"] != name]
        memories[name] = means


def missing(document: Document, arguments: argparse.Namespace) -> Iterator[tuple[int, Story, list[str]]]:
    """Yield which policies have still to watch which story of which length."""
    done = {(one["times"], one["seed"], one["policy"]) for one in document["answers"]}
    for seed in range(arguments.seed, arguments.seed + arguments.stories):
        for times in arguments.times:
            names = [name for name in arguments.policies if (times, seed, name) not in done]
            if names:
                yield times, tell_story(seed, times * arguments.budget_tokens // TOKENS_PER_FRAME), names


def answers_of(document: Document, times: int) -> dict[str, dict[int, Document]]:
    """Return what each policy answered about the stories of one length that all of them watched."""
    own: dict[str, dict[int, Document]] = {}
    for one in document["answers"]:
        if one["times"] == times:
            own.setdefault(one["policy"], {})[one["seed"]] = one
    shared = set.intersection(*(set(stories) for stories in own.values()))
    return {name: {seed: stories[seed] for seed in sorted(shared)} for name, stories in own.items()}


def scores_of(document: Document, times: int) -> Iterator[Document]:
    """Score each policy, and compare it with the references, question by question."""
    answers = answers_of(document, times)
    seeds = list(next(iter(answers.values())))
    if not seeds:
        return
    frames = times * document["budget_tokens"] // document["tokens_per_frame"]
    asked = [(seed, one) for seed in seeds for one in tell_story(seed, frames).questions]
    bootstrap = Bootstrap([seed for seed, _ in asked], seed=0)
    kinds = np.array([one.kind for _, one in asked])
    delays = np.array([one.delay_frames for _, one in asked])
    right = {
        name: np.array([int(sign) for seed in seeds for sign in stories[seed]["right"]], dtype=float)
        for name, stories in answers.items()
    }
    chances = {
        name: np.array([value for seed in seeds for value in stories[seed]["log_probability"]])
        for name, stories in answers.items()
    }
    parts = {"all": kinds != ""} | {name: np.isin(kinds, own) for name, own in GROUPS.items()}
    parts |= {kind: kinds == kind for own in GROUPS.values() if len(own) > 1 for kind in own}
    past = np.isin(kinds, GROUPS["backward"])
    ranges = dict(zip((0, *DELAYS), DELAYS, strict=False))
    for name in answers:
        yield {
            "times": times,
            "policy": name,
            "num_stories": len(seeds),
            "parts": {
                part: {
                    "num_questions": int(chosen.sum()),
                    "accuracy": asdict(bootstrap.mean(right[name], chosen)),
                    "log_probability": asdict(bootstrap.mean(chances[name], chosen)),
                    "minus": {
                        other: {
                            "accuracy": asdict(bootstrap.difference(right[name], right[other], chosen)),
                            "log_probability": asdict(
                                bootstrap.difference(chances[name], chances[other], chosen)
                            ),
                        }
                        for other in REFERENCES
                        if other in answers and other != name
                    },
                }
                for part, chosen in parts.items()
                if chosen.any()
            },
            "backward_by_delay_frames": [
                {"from": low, "below": high, "num_questions": int(chosen.sum())}
                | {"accuracy": asdict(bootstrap.mean(right[name], chosen))}
                for low, high in ranges.items()
                if (chosen := past & (delays >= low) & (delays < high)).any()
            ],
        }


def store(document: Document, path: Path) -> None:
    """Write scores and answers; the file is whole at any moment."""
    lengths = sorted({one["times"] for one in document["answers"]})
    scores = [one for times in lengths for one in scores_of(document, times)]
    own = {name: value for name, value in document.items() if name not in ("answers", "scores")}
    head = own | {"chance": 1 / NUM_OPTIONS} | machine()
    lines = ",\n".join(json.dumps(one) for one in document["answers"])
    rows = ",\n".join(json.dumps(one) for one in scores)
    written = path.with_suffix(".part")
    text = json.dumps(head, indent=1)[:-2] + f',\n "scores": [\n{rows}\n ],\n "answers": [\n{lines}\n ]\n}}\n'
    written.write_text(text, encoding="utf-8")
    written.replace(path)


def say(*words: object) -> None:
    """Print a line at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def show(path: Path) -> None:
    """Print the scores."""
    for one in json.loads(path.read_text(encoding="utf-8"))["scores"]:
        parts = {part: f"{100 * own['accuracy']['value']:.1f}" for part, own in one["parts"].items()}
        say(one["times"], one["policy"], *(f"{part} {value}" for part, value in parts.items()))


def main() -> None:
    """Watch, score and store."""
    arguments = parse()
    document = open_document(arguments)
    waiting = list(missing(document, arguments))
    if waiting:
        model = SentenceReader(load_model(arguments.model, device="cpu", dtype=arguments.dtype))
    for index, (times, story, names) in enumerate(waiting, start=1):
        began = time.perf_counter()
        policies = [policy_of(name, arguments.budget_tokens) for name in names]
        watched = watch_story(model, policies, story, chunk_frames=arguments.chunk_frames)
        document["answers"] += [
            {
                "times": times,
                "seed": story.seed,
                "policy": name,
                "right": "".join(str(int(one.is_right)) for one in replies),
                "log_probability": [round(one.log_probability, 3) for one in replies],
            }
            for name, replies in zip(names, watched, strict=True)
        ]
        seconds = f"{time.perf_counter() - began:.1f} s"
        say(f"{index}/{len(waiting)}", story.seed, f"x{times}", len(names), "memories", seconds)
        store(document, arguments.out)
    store(document, arguments.out)
    show(arguments.out)


if __name__ == "__main__":
    main()
