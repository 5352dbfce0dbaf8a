"""Tables of docs/evidence.md from scenes.json: every scene, and streams that get longer."""

import json
from pathlib import Path
from typing import Any

from tables import percent, points, table

from hermes_stream.synthetic.scenes import SCENES

PATH = Path(__file__).parent / "scenes.json"
GROUPS = ("now", "backward", "counting")
OURS = ("hermes", "hermes_paper")
LENGTHS = (48, 96, 192, 480)
NOT_YET = "Not measured yet."


def scenes(model: str) -> str:
    """Write what memories score in every scene within the training length."""
    return _scenes(model, 48)


def scenes_long(model: str) -> str:
    """Write what memories score in every scene at ten times the training length."""
    return _scenes(model, 480)


def _scene_scores(model: str, seconds: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what each memory scores in each scene, and in all."""
    stored = json.loads(PATH.read_text(encoding="utf-8"))["scores"]
    own = [one for one in stored if (one["model"], one["seconds"]) == (model, seconds)]
    return {(one["scene"], one["memory"]): one for one in own}


def _scenes(model: str, seconds: int) -> str:
    own = _scene_scores(model, seconds)
    if not own:
        return NOT_YET
    memories = sorted(
        {memory for _, memory in own if all((scene, memory) in own for scene in SCENES)},
        # ties by name, as a set has no order of its own
        key=lambda memory: (-own["all", memory]["accuracy"]["backward"]["value"], memory),
    )
    lines = []
    for memory in memories:
        in_all = own["all", memory]["accuracy"]
        cells = [percent(in_all[group], "value") for group in GROUPS]
        for scene in SCENES:
            found = own[scene, memory]["accuracy"]
            cells.append(" / ".join(f"{100 * found[group]['value']:.0f}" for group in ("now", "backward")))
        lines.append([f"`{memory}`", *cells])
    number = own["all", memories[0]]
    told = f"{number['num_stories']} stories, {number['num_questions']:,} questions."
    filtered = own.get(("still", "full behind dtd"))
    if filtered is not None and filtered["num_stories"] > own["still", "hermes"]["num_stories"]:
        told += (
            f" Still ones of the full cache behind `dtd` are more: now "
            f"{percent(filtered['accuracy']['now'], 'value')}, {filtered['num_stories']} stories, "
            f"{filtered['num_questions']} questions of all kinds."
        )
    head = ["now / backward, %", *(f"{group}, all" for group in GROUPS), *SCENES]
    return f"{table(head, lines)}\n\n{told}"


def scenes_gain(model: str) -> str:
    """Write by how much the default exceeds the best rivals in every scene, at ten times the length."""
    own = _scene_scores(model, 480)
    rivals = sorted(
        {memory for scene, memory in own if scene == "all" and ":" not in memory} - {*OURS, "full"},
        key=lambda memory: -own["all", memory]["accuracy"]["backward"]["value"],
    )
    lines = [
        [
            f"{group}, minus `{rival}`",
            *(points(own[scene, rival]["hermes_minus"][group]) for scene in ("all", *SCENES)),
        ]
        for group, rival in (("now", "recent_n"), ("backward", rivals[0]))
    ]
    return table(["`hermes`, in points", "all", *SCENES], lines)


def lengths(model: str) -> str:
    """Write what memories and the full cache score as streams get longer, in all scenes."""
    at = {seconds: _scene_scores(model, seconds) for seconds in LENGTHS}
    memories = [one for one in ("full", *OURS, "infinipot_v", "window") if ("all", one) in at[LENGTHS[1]]]

    def scored(memory: str, seconds: int) -> str:
        found = at[seconds].get(("all", memory))
        if found is None:
            return ""
        return " / ".join(f"{100 * found['accuracy'][group]['value']:.0f}" for group in GROUPS)

    def behind(group: str, seconds: int) -> str:
        full = at[seconds].get(("all", "full"))
        return "" if full is None else points(full["hermes_minus"][group])

    lines = [[f"`{memory}`", *(scored(memory, one) for one in LENGTHS)] for memory in memories]
    lines += [
        [f"`hermes` minus `full`, {group}", *(behind(group, one) for one in LENGTHS)] for group in GROUPS
    ]
    told = "; ".join(
        f"{one} s: {found['num_stories']} stories, {found['num_questions']:,} questions"
        for one in LENGTHS
        for found in [at[one]["all", "hermes"]]
    )
    head = ["now / backward / counting, %", *(f"{one} s" for one in LENGTHS)]
    return f"{table(head, lines)}\n\n{told}."
