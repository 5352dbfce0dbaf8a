"""Scenes of the world: python results/scenes.py picture | memories | again.

``picture`` draws docs/pictures/scenes.png: one story in every scene, at five moments, each row a scene.
``memories`` writes scenes.json: memories watch the same stories, each in the next scene, and are asked the
same questions with their options; a memory may stand behind a filter. Pictures come as they are drawn,
without a codec. What is there already is not asked again. ``again`` sums stored answers up anew. All of it:

    python results/scenes.py memories --stories 14 --memories hermes hermes_paper infinipot_v window full \
        "full behind dtd" "hermes behind dtd" hermes:novelty=0 hermes:unlike_share=0
    python results/scenes.py memories --stories 50 --seed 8780 --scenes still --memories "full behind dtd"
    python results/scenes.py memories --stories 21 --seed 8800 --seconds 96
    python results/scenes.py memories --stories 21 --seed 8800 --seconds 192
    python results/scenes.py memories --stories 35 --seed 8750 --seconds 480 --memories hermes hermes_paper \
        infinipot_v window recent_n hermes:novelty=0 hermes:unlike_share=0
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from measure import machine

from hermes_lab.datasets.task_groups import group_of
from hermes_lab.evaluation.bootstrap import MIN_VIDEOS, Bootstrap, Estimate
from hermes_lab.evaluation.shared_encoder import SharedEncoder
from hermes_stream import Frame, Session, load_model
from hermes_stream.errors import CapacityError
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.recording import is_truth
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import generate_world

FOLDER = Path(__file__).parent
PATH = FOLDER / "scenes.json"
PICTURE = FOLDER.parent / "docs" / "pictures" / "scenes.png"
PICTURE_SEED, MOMENTS, SIZE = 31, (9, 10, 22, 30, 44), 120
PICTURE_SECONDS, TRAINING_SECONDS = 48, 48
BUDGET_TOKENS, CHUNK_FRAMES = 138, 16
MEMORIES = ("hermes", "hermes_paper", "infinipot_v", "window", "recent_n", "full")
GROUPS = ("now", "backward", "counting")
QUESTIONS = {48: 40, 480: 60}

Row = dict[str, Any]


def picture() -> None:
    """Draw and write the picture."""
    figure, axes = plt.subplots(len(SCENES), 1, figsize=(6.4, 9.0))
    for axis, scene in zip(axes, SCENES, strict=True):
        world = generate_world(PICTURE_SEED, PICTURE_SECONDS, scene=scene)
        axis.imshow(np.concatenate([world.picture(t, size=SIZE) for t in MOMENTS], axis=1))
        axis.set_ylabel(scene, rotation=0, ha="right", va="center")
        axis.set_xticks([(k + 0.5) * SIZE for k in range(len(MOMENTS))], [])
        axis.set_yticks([])
    axes[-1].set_xticklabels([f"{t} s" for t in MOMENTS])
    figure.savefig(PICTURE, dpi=100, bbox_inches="tight")


def watch(model: Any, seed: int, *, scene: str, seconds: int, memories: list[str]) -> Row | None:
    """Let memories watch one story side by side; return which questions each answered right."""
    world = generate_world(seed, seconds, scene=scene)
    questions = plan_questions(world, num_questions=QUESTIONS.get(seconds, 40), seed=seed)
    encoder, sessions = SharedEncoder(model), {}
    for name in memories:
        policy, _, token_filter = name.partition(" behind ")
        budget = None if policy == "full" else BUDGET_TOKENS
        sessions[name] = Session(
            encoder, policy, budget_tokens=budget, chunk_frames=CHUNK_FRAMES, filter=token_filter or None
        )
    right = dict.fromkeys(sessions, "")
    waiting = list(questions)
    for frame in world.frames(model.card.default_fps):
        for name, session in list(sessions.items()):
            if not _holds(session, frame):
                del sessions[name], right[name]
        while waiting and waiting[0].asked_seconds <= frame.pts_seconds:
            question = waiting.pop(0)
            for name, session in sessions.items():
                answer = session.ask(question.text, question.options)
                right[name] += str(int(is_truth(question, answer.text)))
    asked = questions[: len(questions) - len(waiting)]
    return {
        "scene": scene,
        "seconds": seconds,
        "seed": seed,
        "kinds": [q.kind for q in asked],
        "right": right,
    }


def _holds(session: Session, frame: Frame) -> bool:
    """Show a frame; tell whether the memory had room for it."""
    try:
        session.observe(frame)
    except CapacityError:
        return False
    return True


def memories(given: argparse.Namespace) -> None:
    """Watch what is missing, story by story, and write the file after each."""
    rows: list[Row] = json.loads(PATH.read_text(encoding="utf-8"))["answers"] if PATH.exists() else []
    for model in given.models:
        loaded = load_model(model, device="cpu")
        for number in range(given.stories):
            seed, scene = given.seed + number, given.scenes[number % len(given.scenes)]
            told = {"model": model, "scene": scene, "seconds": given.seconds, "seed": seed}
            own = [row for row in rows if told.items() <= row.items()]
            names = [one for one in given.memories if all(one not in row["right"] for row in own)]
            if not names:
                continue
            row = watch(loaded, seed, scene=scene, seconds=given.seconds, memories=names)
            if own:
                own[0]["right"] |= row["right"]
            else:
                rows.append({"model": model} | row)
            store(rows)
        sys.stderr.write(f"{model}: {len(rows)} stories\n")


def store(rows: list[Row]) -> None:
    """Write answers and scores."""
    head = {
        "machine": machine(),
        "budget_tokens": BUDGET_TOKENS,
        "chunk_frames": CHUNK_FRAMES,
        "scores": list(scores(rows)),
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "answers": [\n'
    PATH.write_text(text + ",\n".join(map(json.dumps, rows)) + "\n ]\n}\n", encoding="utf-8")


def scores(rows: list[Row]) -> Iterator[Row]:
    """Score each memory in each scene, and in all, and compare it with the default, question by question."""
    for model, seconds in sorted({(row["model"], row["seconds"]) for row in rows}):
        own = [row for row in rows if (row["model"], row["seconds"]) == (model, seconds)]
        for scene in ("all", *SCENES):
            shown = [row for row in own if scene in ("all", row["scene"])]
            for name in dict.fromkeys(one for row in shown for one in row["right"]):
                told = {"model": model, "seconds": seconds, "scene": scene, "memory": name}
                watched = [row for row in shown if name in row["right"]]
                # what one scene was asked more of must not outweigh the others
                beside = [row for row in watched if "hermes" in row["right"]]
                yield told | _scored(beside if scene == "all" and beside else watched, name)


def _scored(rows: list[Row], name: str) -> Row:
    # one story in several scenes is one story still
    story = [row["seed"] for row in rows for _ in row["kinds"]]
    kinds = np.array([kind for row in rows for kind in row["kinds"]])
    groups = np.array([group_of(kind) for kind in kinds])
    right = np.array([int(one) for row in rows for one in row["right"][name]], dtype=float)
    bootstrap, parts = Bootstrap(story, seed=0), {group: groups == group for group in GROUPS}
    found: Row = {"num_stories": len(set(story)), "num_shown": len(rows), "num_questions": len(right)}
    found["accuracy"] = {part: _told(bootstrap.mean(right, chosen), story) for part, chosen in parts.items()}
    if name != "hermes" and all("hermes" in row["right"] for row in rows):
        default = np.array([int(one) for row in rows for one in row["right"]["hermes"]], dtype=float)
        parts |= {kind: kinds == kind for kind in np.unique(kinds)} if name == "full" else {}
        found["hermes_minus"] = {
            part: _told(bootstrap.difference(default, right, chosen), story) for part, chosen in parts.items()
        }
    return found


def _told(estimate: Estimate, story: list[int]) -> Row:
    """Return an estimate; without its interval where there are too few stories for one."""
    has_interval = len(set(story)) >= MIN_VIDEOS
    return asdict(estimate) | ({} if has_interval else {"low": None, "high": None})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["picture", "memories", "again"])
    parser.add_argument("--seconds", type=int, default=TRAINING_SECONDS)
    parser.add_argument("--stories", type=int, default=84, help="the scenes take turns")
    parser.add_argument("--seed", type=int, default=8700)
    parser.add_argument("--models", nargs="+", default=["tiny", "tiny-qwen"])
    parser.add_argument("--scenes", nargs="+", default=list(SCENES))
    parser.add_argument("--memories", nargs="+", default=list(MEMORIES))
    given = parser.parse_args()
    if given.what == "picture":
        picture()
    elif given.what == "again":
        store(json.loads(PATH.read_text(encoding="utf-8"))["answers"])
    else:
        memories(given)


if __name__ == "__main__":
    main()
