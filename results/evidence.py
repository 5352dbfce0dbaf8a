"""Fill the tables of docs/evidence.md from the folder comparison: python results/evidence.py [--check].

A table stands between ``<!-- NAME MODEL -->`` and ``<!-- end -->``; what is between them is written anew.
With ``--check`` nothing is written, and the exit code says whether anything would change.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scene_tables
import tables
from scene_tables import GROUPS, NOT_YET, OURS
from tables import percent, points, table, write_page

FOLDER = Path(__file__).parent / "comparison"
PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"
KINDS = {
    "now": ("now_what", "now_where", "now_moving"),
    "backward": ("first", "before", "after", "colour", "was_there", "how_long_ago"),
    "counting": ("counting",),
}
IN_WORDS = ("full", "hermes", "hermes_paper", "hermes_paper:summarize=false", "window")


def comparison(model: str, part: str) -> dict[str, Any]:
    """Read a stored comparison."""
    return json.loads((FOLDER / model / part / "comparison.json").read_text(encoding="utf-8"))


def _rows(model: str, part: str, *, variants: bool) -> list[dict[str, Any]]:
    return [row for row in comparison(model, part)["scores"] if (":" in row["policy"]) == variants]


def _asked(rows: list[dict[str, Any]]) -> str:
    """Say of how many stories and questions a table tells."""
    counts = {(row["num_videos"], row["num_questions"]) for row in rows}
    return (
        "\n\n" + "; ".join(f"{videos} stories, {questions:,} questions" for videos, questions in counts) + "."
    )


def rivals(model: str, part: str = "long") -> str:
    """Write what each memory scores, best on the past first."""
    rows = _rows(model, part, variants=False)
    rows.sort(key=lambda row: -row["accuracy_by_group"]["backward"]["accuracy"])
    groups = [*GROUPS, "all"]
    lines = []
    for row in rows:
        by_group = row["accuracy_by_group"] | {"all": row}
        kept = str(row["num_visual_tokens_kept"])
        lines.append([f"`{row['policy']}`", kept, *(percent(by_group[name]) for name in groups)])
    chance = rows[0]["accuracy_by_group"] | {"all": rows[0]}
    lines.append(["*a guesser*", "", *(f"{100 * chance[name]['chance']:.1f}" for name in groups)])
    return table(["memory", "tokens", *groups], lines) + _asked(rows)


def short(model: str) -> str:
    """Write what memories score within the training length."""
    return rivals(model, "short")


def ablations(model: str) -> str:
    """Write by how much variants differ from what they vary, question by question."""
    rows = _rows(model, "long", variants=True)
    rows.sort(
        key=lambda row: (
            row["policy"].split(":")[0],
            -row["accuracy_by_group"]["backward"]["difference"]["value"],
        )
    )
    reference = comparison(model, "long")["reference"]
    plain = _rows(model, "long", variants=False)
    ours = [row for row in plain if row["policy"] in OURS and row["policy"] != reference]
    lines = [
        [f"`{row['policy']}`", *(points(row["accuracy_by_group"][name]["difference"]) for name in GROUPS)]
        for row in ours + rows
    ]
    return table([f"minus `{reference}`, in points", *GROUPS], lines) + _asked(rows)


def guidance(model: str) -> str:
    """Write what the default scores, what cheaper guidance changes, and what a chunk takes."""
    rows = comparison(model, "guidance")["scores"]
    timed = json.loads((FOLDER.parent / "guidance_cost.json").read_text(encoding="utf-8"))["runs"]
    cost = {(one["policy"], one["chunk_frames"]): one for one in timed if one["model"] == model}
    lines = [
        [
            f"`{row['policy']}`",
            *(percent(row["accuracy_by_group"][name]) for name in GROUPS),
            *(points(row["accuracy_by_group"][name]["difference"]) for name in GROUPS),
            *(f"{cost[row['policy'], frames]['over_window']:.2f}" for frames in (16, 1)),
        ]
        for row in rows
    ]
    minus = [f"{name}, minus `hermes`" for name in GROUPS]
    head = ["memory", *GROUPS, *minus, "a chunk of 16 frames, `window` = 1", "of one"]
    return table(head, lines) + _asked(rows)


def _backward(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in row["accuracy_by_delay"]["by_group"]["backward"] if one["num_questions"]]


def delay(model: str) -> str:
    """Write recall of the past against the time since the evidence left the screen."""
    rows = _rows(model, "long", variants=False)
    bins = _backward(rows[0])
    head = [f"{one['from_seconds']:.0f} to {one['until_seconds']:.0f} s" for one in bins]
    lines = [
        [
            f"`{row['policy']}`",
            *(f"{100 * one['accuracy']:.0f}" for one in _backward(row)),
        ]
        for row in sorted(rows, key=lambda row: -row["accuracy_by_group"]["backward"]["accuracy"])
    ]
    lines.append(["*questions*", *(str(one["num_questions"]) for one in bins)])
    return table(["right, %", *head], lines)


def budgets(model: str) -> str:
    """Write what memories score with half and with twice the budget."""
    rows = comparison(model, "budgets")["scores"]
    rows.sort(key=lambda row: (row["policy"], row["budget_tokens"]))
    lines = [
        [
            f"`{row['policy']}`",
            str(row["budget_tokens"]),
            *(percent(row["accuracy_by_group"][name]) for name in GROUPS),
        ]
        for row in rows
    ]
    return table(["memory", "tokens", *GROUPS], lines) + _asked(rows)


def costs(model: str) -> str:
    """Write what memories take."""
    lines = [
        [
            f"`{row['policy']}`",
            f"{row['cache_bytes'] / 1e6:.1f} MB",
            f"{row['host_bytes'] / 1e6:.1f} MB",
            f"{1000 * row['ttft_seconds']:.0f} ms",
        ]
        for row in _rows(model, "long", variants=False)
    ]
    return table(["memory", "buffers", "on the host", "time to first token, beside other work"], lines)


def aims(model: str) -> str:
    """Write what came of the aims."""
    lines = []
    for found in json.loads((FOLDER / model / "aims.json").read_text(encoding="utf-8")):
        for name, one in found.items():
            if isinstance(one, dict):
                told = _measured(one, found["policy"])
                lines.append([f"`{found['policy']}`", name.replace("_", " "), told, one["verdict"]])
    return table(["memory", "aim", "measured", "verdict"], lines)


def _measured(aim: dict[str, Any], policy: str) -> str:
    """Write what an aim was judged by."""
    if "difference" in aim:
        beside = f", beside `{aim['beside']}`" if "beside" in aim else ""
        return f"{points(aim['difference'])} points{beside}"
    if "by_kind" in aim:
        kind, worst = min(aim["by_kind"].items(), key=lambda item: item[1]["value"])
        asked = min(one["num_questions"] for one in aim["by_kind"].values())
        return (
            f"at worst {points(worst)} points, *{kind.replace('_', ' ')}*; {asked} questions a kind or more"
        )
    if "accuracy" not in aim:
        return ""
    rival, nearest = min(aim[f"{policy}_minus"].items(), key=lambda item: item[1]["value"])
    return f"{percent(aim['accuracy'], 'value')}; {points(nearest)} points over the next, `{rival}`"


def _in_words_streams() -> int:
    return json.loads((FOLDER.parent / "models.json").read_text(encoding="utf-8"))["streams"]


def _in_words(model: str) -> dict[str, dict[str, Any]]:
    return json.loads((FOLDER.parent / "models.json").read_text(encoding="utf-8"))["models"][model]


def kinds(model: str) -> str:
    """Write what memories score within the training length, in words of their own, by kind."""
    found = _in_words(model)

    def line(name: str, of: Callable[[dict[str, Any]], dict[str, Any]]) -> list[str]:
        own = [of(found[policy]) for policy in IN_WORDS]
        return [name, f"{100 * own[0]['chance']:.1f}", *(f"{100 * one['accuracy']:.1f}" for one in own)]

    lines = [
        line(kind.replace("_", " "), lambda run, kind=kind: run["accuracy_by_kind"][kind])
        for group in KINDS.values()
        for kind in group
    ]
    lines += [
        line(f"**{group}**", lambda run, group=group: run["accuracy_by_group"][group])
        for group in ("now", "backward")
    ]
    asked = sum(one["num_questions"] for one in found[IN_WORDS[0]]["accuracy_by_kind"].values())
    head = ["right, %", "*a guesser*", *(f"`{policy}`" for policy in IN_WORDS)]
    return table(head, lines) + f"\n\n{_in_words_streams()} stories, {asked:,} questions."


def kinds_delay(model: str) -> str:
    """Write the same of *backward* questions, against the time since their evidence left the screen."""
    found = _in_words(model)
    bins = {policy: _backward(found[policy]) for policy in IN_WORDS}
    lines = [
        [
            f"{own[0]['from_seconds']:.0f} to {own[0]['until_seconds']:.0f} s ago",
            f"{100 * own[0]['chance']:.1f}",
            str(own[0]["num_questions"]),
            *(f"{100 * one['accuracy']:.1f}" for one in own),
        ]
        for own in zip(*bins.values(), strict=True)
    ]
    head = ["evidence left the screen", "*a guesser*", "questions", *(f"`{policy}`" for policy in IN_WORDS)]
    return table(head, lines)


def layers(model: str) -> str:  # noqa: ARG001
    """Write how layers attend; measured on one model."""
    found = json.loads((FOLDER.parent / "attention.json").read_text(encoding="utf-8"))["layers"]
    names = {
        "recency index": "recency_index",
        "periodicity": "periodicity",
        "share of the video": "video_share",
    }
    lines = [[name, *(f"{one[key]:.2f}" for one in found)] for name, key in names.items()]
    return table(["layer", *map(str, range(len(found)))], lines)


def new_kinds(model: str) -> str:
    """Write what the kinds score that standing questions and "not seen" need."""
    rows = {row["policy"]: row for row in comparison(model, "new_kinds")["scores"]}
    policies = ("full", "hermes", "window")
    by_kind = rows["full"]["accuracy_by_kind"]
    lines = [
        [
            kind.replace("_", " "),
            f"{100 * own['chance']:.1f}",
            str(own["num_questions"]),
            *(percent(rows[policy]["accuracy_by_kind"][kind]) for policy in policies),
        ]
        for kind, own in by_kind.items()
    ]
    head = ["right, %", "*a guesser*", "questions", *(f"`{policy}`" for policy in policies)]
    return f"{table(head, lines)}\n\n{rows['full']['num_videos']} stories."


def more_questions(model: str) -> str:
    """Write what came of two aims where far more was asked."""
    lines = []
    for part, other, what in (
        ("present", "recent_n", "now, 480 s, every scene"),
        ("ages", "full", "how long ago, 48 s"),
    ):
        if not (FOLDER / model / part).exists():
            lines.append([what, *4 * [""], NOT_YET])
            continue
        rows = {row["policy"]: row for row in comparison(model, part)["scores"]}
        own, beside = rows["hermes"], rows[other]
        away = beside["difference"]  # of the other from the default
        value, low, high = (-100 * away[name] for name in ("value", "high", "low"))
        lines.append(
            [
                what,
                f"{own['num_questions']:,} in {own['num_videos']} stories",
                percent(own),
                f"`{other}` {percent(beside)}",
                f"{value:+.2f} ({low:+.2f} to {high:+.2f})",
                "met" if low >= -1 else "missed" if high < -1 else "open",
            ]
        )
    return table(["asked", "questions", "`hermes`", "beside", "`hermes` minus that", "within 1 point"], lines)


def when_unsure(world: str) -> str:
    """Write what answering again beside fetched frames gains, always, when unsure, and where it helps."""
    path = FOLDER.parent / f"when_unsure_{world}.json"
    if not path.exists():
        return NOT_YET
    found = json.loads(path.read_text(encoding="utf-8"))["scores"]
    lines = []
    for way, own in found["ways"].items():
        gains = [points(own["gain"][name]["all"]) for name in ("when_unsure", "where_it_helps")]
        counts = f"{own['num_better']} better, {own['num_worse']} worse"
        lines.append(
            [
                "those that decide" if way == "evidence" else way,
                f"{points(own['always_of_all_stories'])}; {counts}",
                *gains,
                f"{100 * own['asked_again']:.0f} %",
                f"{own['seconds'] / found['seconds_of_memory']:.1f}",
            ]
        )
    head = ["frames fetched", "always", "when unsure", "where it helps", "asked again"]
    told = (
        f"Points over the memory alone, which has {100 * found['memory_of_all_stories']:.1f} %. Always: "
        f"{found['num_stories']} stories, {found['num_questions']:,} questions; the others: the "
        f"{found['num_stories_of_the_other_half']} stories that did not choose the bound."
    )
    return table([*head, "time of an answer, memory = 1"], lines) + f"\n\n{told}"


TABLES: dict[str, Callable[[str], str]] = {
    "rivals": rivals,
    "short": short,
    "ablations": ablations,
    "guidance": guidance,
    "delay": delay,
    "budgets": budgets,
    "costs": costs,
    "aims": aims,
    "layers": layers,
    "kinds": kinds,
    "kinds_delay": kinds_delay,
    "scenes": scene_tables.scenes,
    "scenes_long": scene_tables.scenes_long,
    "scenes_gain": scene_tables.scenes_gain,
    "lengths": scene_tables.lengths,
    "new_kinds": new_kinds,
    "more_questions": more_questions,
    "when_unsure": when_unsure,
}


def filled(page: str) -> str:
    """Return the page with all its tables written anew."""
    return tables.filled(page, lambda name, model: TABLES[name](model))


if __name__ == "__main__":
    write_page(PAGE, filled, __doc__)
