"""Write the tables of docs/real-weights.md: python results/real_weights_page.py [--check].

A table stands between ``<!-- NAME ARGUMENT -->`` and ``<!-- end -->``.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tables import FOLDER, filled, table, write_pages

PAGE = FOLDER.parent / "docs" / "real-weights.md"
PARTS = ("all", "now", "backward", "order")
_NOT_YET = "Not measured yet."
Document = dict[str, Any]


def read(name: str) -> Document:
    """Read a stored document."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def percent(estimate: Document) -> str:
    """Write a share with its interval."""
    value = f"{100 * estimate['value']:.1f}"
    if estimate["low"] is None:
        return value
    return f"{value} ({100 * estimate['low']:.0f} to {100 * estimate['high']:.0f})"


def points(estimate: Document, scale: float = 100, digits: int = 1) -> str:
    """Write a difference with its interval, bold where the interval leaves 0 out."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if low is None:
        return f"{scale * value:+.{digits}f}"
    text = f"{scale * value:+.{digits}f} ({scale * low:+.{digits}f} to {scale * high:+.{digits}f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def rows_of(times: str) -> list[Document]:
    """Return the scores at one length, the full cache first, then the best about the past."""
    rows = [one for one in read("sentences")["scores"] if one["times"] == int(times)]
    return sorted(
        rows,
        key=lambda one: (one["policy"] != "full", -one["parts"]["backward"]["accuracy"]["value"]),
    )


def sentences(times: str) -> str:
    """Write what each memory knows at one length."""
    rows = rows_of(times)
    if not rows:
        return _NOT_YET
    head = ["memory", *PARTS, "nats on the past"]
    lines = [
        [
            f"`{one['policy']}`",
            *(percent(one["parts"][part]["accuracy"]) for part in PARTS if part in one["parts"]),
            f"{one['parts']['backward']['log_probability']['value']:.2f}",
        ]
        for one in rows
    ]
    head = [name for name in head if name not in PARTS or name in rows[0]["parts"]]
    counted = ", ".join(
        f"{part} {own['num_questions']}" for part, own in rows[0]["parts"].items() if part in PARTS
    )
    said = f"{rows[0]['num_stories']} stories; questions: {counted}; a guesser has 25 %."
    return f"{table(head, lines)}\n\n{said}"


def against(times: str) -> str:
    """Write paired differences about the past."""
    rows = [one for one in rows_of(times) if one["policy"] != "full"]
    if not rows:
        return _NOT_YET
    others = sorted({name for one in rows for name in one["parts"]["backward"]["minus"]} - {"full"})
    head = ["memory", *(f"minus `{name}`, {unit}" for unit in ("points", "nats") for name in others)]
    lines = []
    for one in rows:
        minus = one["parts"]["backward"]["minus"]
        right = [points(minus[name]["accuracy"]) if name in minus else "" for name in others]
        sure = [points(minus[name]["log_probability"], 1, 2) if name in minus else "" for name in others]
        lines.append([f"`{one['policy']}`", *right, *sure])
    return table(head, lines)


def verdict(times: str) -> str:
    """Write the best other bounded memory of each group beside the default, in points and in nats."""
    rows = [one for one in rows_of(times) if one["policy"] not in ("full", "hermes")]
    if not rows:
        return _NOT_YET
    lines = []
    for part in PARTS:
        line = [part]
        for measure, scale, digits in (("accuracy", 100, 1), ("log_probability", 1, 2)):
            best = max(rows, key=lambda one, of=measure: one["parts"][part][of]["value"])
            minus = points(best["parts"][part]["minus"]["hermes"][measure], scale, digits)
            ahead = [
                f"`{one['policy']}`"
                for one in rows
                if one["parts"][part]["minus"]["hermes"][measure]["low"] > 0
            ]
            line += [f"`{best['policy']}` {minus}", ", ".join(ahead) or "none"]
        lines.append(line)
    head = ["group"]
    for unit in ("points", "nats"):
        head += [f"best other minus `hermes`, {unit}", "ahead, apart from 0"]
    return table(head, lines)


def delay(times: str) -> str:
    """Write recall against delay."""
    rows = rows_of(times)
    if not rows:
        return _NOT_YET
    ranges = rows[0]["backward_by_delay_frames"]
    head = ["frames since", *(f"{one['from']} to {one['below'] - 1}" for one in ranges)]
    counts = ["questions", *(str(one["num_questions"]) for one in ranges)]
    lines = [
        [
            f"`{one['policy']}`",
            *(f"{100 * own['accuracy']['value']:.0f}" for own in one["backward_by_delay_frames"]),
        ]
        for one in rows
    ]
    return table(head, [counts, *lines])


def identities(_: str) -> str:
    """Write how far logits are from plain transformers in float32."""
    own = read("real_weights")["identities"]
    lines = [
        (f"full cache, float32, chunks of {chunk}", one)
        for chunk, one in own["full_cache_by_chunk_frames"].items()
    ]
    lines += [
        ("streams packed in one forward, beside each alone", own["packed"]),
        ("keys and values in 8 bits, float32", own["eight_bits"]),
        ("bfloat16", own["bfloat16"]),
        ("bfloat16, keys and values in 8 bits", own["bfloat16_eight_bits"]),
        ("plain transformers in bfloat16", own["bfloat16_plain_transformers"]),
        ("for comparison: another last sentence", own["another_last_sentence"]),
    ]
    rows = [
        [
            name,
            f"{one['largest']:.1e}" if one["largest"] < 0.01 else f"{one['largest']:.2f}",
            f"{abs(one['divergence']):.0e}",
            f"{100 * one['same_choice']:.0f} %",
        ]
        for name, one in lines
    ]
    counted = (
        f"{own['num_stories']} stories of {own['num_visual_tokens']} tokens, {own['num_questions']} questions"
    )
    said = f"{counted}; the spread of logits is {own['logits_spread']:.1f}."
    return f"{table(['what', 'largest difference', 'divergence, nats', 'same choice'], rows)}\n\n{said}"


def compressions(_: str) -> str:
    """Write what a long memory is like."""
    own = read("real_weights")["compressions"]
    rows = [
        ["compressions, one after each sentence", f"{own['num_compressions']:,}"],
        ["positions closed up", f"{own['num_reindexed']:,}"],
        ["tokens of a layer, fewest and most", " and ".join(map(str, own["num_visual_tokens"]))],
        ["keys or values that a compression changed and kept", str(own["num_kept_changed"])],
        ["logits, largest difference from the recomputation", f"{own['recomputed']['largest']:.1e}"],
        ["the same, the question five positions off", f"{own['shifted']['largest']:.1e}"],
    ]
    return table(["what", "found"], rows)


def layers(name: str) -> str:
    """Write what each layer attends to."""
    own = read("real_weights")["attention"]
    study = own["studies"][name]
    padding = study["padding_share_of_attention"]
    rows = [
        [
            str(index),
            f"{one['recency_index']:.2f}",
            "" if one["periodicity"] is None else f"{one['periodicity']:.2f}",
            f"{100 * one['video_share']:.0f}",
            f"{100 * padding[index]:.0f}",
        ]
        for index, one in enumerate(study["layers"])
    ]
    head = ["layer", "recency index", "periodicity", "of its attention on the video, %"]
    return table([*head, "of that on padding, %"], rows)


def wordings(own: Document) -> str:
    """Write what each wording of a standing question is worth on short stories that are kept whole."""
    rows = [
        [
            f"**{name}**" if name == own["chosen"] else name,
            f"{one['auc']:.2f}",
            f"{100 * one['yes_of_what_came']:.0f}",
            f"{100 * one['yes_of_what_did_not']:.0f}",
        ]
        for name, one in own["wordings"].items()
    ]
    return table(["wording", "AUC", "yes of what came, %", "yes of what did not, %"], rows)


def told_apart(own: Document) -> str:
    """Write how well what came is told from what never did, by how long ago, and how far `hermes` leads."""
    ages = list(own["auc"]["full"])
    head = [f"{age} to {int(after) - 1}" for age, after in pairwise(ages)]
    head.append(f"{ages[-1]} and more")
    rows = [
        [
            f"`{name}`",
            *(f"{one[age]['value']:.2f} ({one[age]['low']:.2f} to {one[age]['high']:.2f})" for age in ages),
            "" if name == "hermes" else points(one[ages[-1]]["hermes_above"], 1, 2),
        ]
        for name, one in own["auc"].items()
    ]
    return table(["came frames ago", *head, f"`hermes` above, {head[-1]}"], rows)


def by_rule(own: Document) -> str:
    """Write what the full cache tells by each rule."""
    rows = [[name, *told(one["full"])] for name, one in own["rules"].items()]
    return table(["rule", *_TOLD], rows)


def by_memory(own: Document) -> str:
    """Write what each memory tells by the rule that is best of the full cache, and those who know nothing."""
    found = own["rules"][own["best_rule_of_full"]]
    above = found["hermes"]["f1_above"]
    rows = [
        [f"`{name}`", *told(one), points(above[name], 1, 2) if name in above else ""]
        for name, one in found.items()
    ]
    rows += [[f"who speaks {_GUESSERS[name]}", *told(one), ""] for name, one in own["baselines"].items()]
    return table(["memory", *_TOLD, "`hermes` above, F1"], rows)


_GUESSERS = {"always": "at each look", "never": "never", "change": "where something happened"}
_TOLD = ("F1", "told in time", "told of what never comes", "false in 100 frames", "delay, frames")


def told(one: Document) -> list[str]:
    """Write the scores of watches, as ``_TOLD`` names them; the delay in the median and in 95 %."""
    delay, interval = one["delay_frames"], one["f1_interval"]
    f1 = f"{one['f1'] or 0:.2f}"
    return [
        f"{f1} ({interval[0]:.2f} to {interval[1]:.2f})" if interval else f1,
        f"{one['num_right']} of {one['num_due']}",
        f"{one['num_never_raised']} of {one['num_never']}",
        f"{one['false_per_hundred_frames']:.2f}",
        "" if delay["median"] is None else f"{delay['median']:.0f}, {delay['p95']:.1f}",
    ]


STANDING: dict[str, Callable[[Document], str]] = {
    "wordings": wordings,
    "rules": by_rule,
    "memories": by_memory,
    "apart": told_apart,
}


def standing(part: str) -> str:
    """Write one table of standing questions in words."""
    return STANDING[part](read("standing_sentences"))


TABLES: dict[str, Callable[[str], str]] = {
    "sentences": sentences,
    "against": against,
    "verdict": verdict,
    "delay": delay,
    "identities": identities,
    "compressions": compressions,
    "layers": layers,
    "standing": standing,
}


def write(name: str, argument: str) -> str:
    """Write one table, or that it is not there yet."""
    try:
        return TABLES[name](argument)
    except (KeyError, FileNotFoundError):
        return _NOT_YET


def fill(page: str) -> str:
    """Return the page with all its tables written anew."""
    return filled(page, write)


if __name__ == "__main__":
    write_pages({PAGE: fill}, __doc__)
