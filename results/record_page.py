"""Writes the measured part of docs/record.md from stored results: python results/record_page.py [--check]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "record.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"
THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
SHOWN = (("open, mean", "open words"), ("options, share", "with options"))
SIGNAL_NAMES = {
    "content": "content, against all that is remembered (digests)",
    "place": "each place, against what was there before (describing watches)",
    "pixels": "difference of pictures",
}


def weights(document: dict) -> str:
    """Return which weights were measured, if not the embedded ones."""
    return f" (weights: {document['weights']})" if "weights" in document else ""


def confidence(document: dict) -> str:
    """Return what was measured of confidences."""
    scores = document["scores"]
    lines = [
        "## Measured",
        "",
        f"`results/confidence.json` (`results/confidence.py`): `{document['model']}`{weights(document)}, "
        f"{document['num_stories']} stories of {document['seconds']} s in all scenes, "
        f"{scores['open, mean']['num_answers']} questions, "
        "each asked in open words and with its options. The calibration error is the mean distance of "
        "confidence and share of right answers over ten bins, with a 95 % interval over stories; the area is "
        "how often a right answer is surer than a wrong one.",
        "",
        "| signal | accuracy | mean | calibration error | area |",
        "|---|---|---|---|---|",
    ]
    for name, own in scores.items():
        low, high = own["calibration_error_interval"]
        lines.append(
            f"| {name} | {own['accuracy']:.2f} | {own['mean_confidence']:.2f} | "
            f"{own['calibration_error']:.2f} ({low:.2f} to {high:.2f}) | {own['area_under_curve']:.2f} |"
        )
    lines += [
        "",
        "![How often answers are right, by how sure they are](pictures/confidence.png)",
        "",
        "How often a question comes back:",
        "",
        "| `clarify_below` | asked in | when it would be wrong | when right | accuracy of the others |",
        "|---|---|---|---|---|",
    ]
    for below in THRESHOLDS:
        for name, words in SHOWN:
            one = next(row for row in scores[name]["clarify"] if row["clarify_below"] == below)
            lines.append(
                f"| {below} | {words} | {one['asks_when_wrong']:.0%} | {one['asks_when_right']:.0%} | "
                f"{one['accuracy_of_the_rest']:.0%} |"
            )
    half = scores["open, mean"]["other_half"]
    lines += [
        "",
        "`confidence` is the mean in open words and the share among options. Raised to a power fitted on "
        "half of the stories the mean's error on the other half goes from "
        f"{half['calibration_error']:.2f} to {half['calibration_error_with_power']:.2f}, so that it is left "
        "as it is read. The least and the product shrink with an answer's length, whatever it says.",
    ]
    return "\n".join(lines)


def unseen(document: dict, file: str, picture: str | None = None) -> str:
    """Return what was measured of "not seen"."""
    scores = document["scores"]
    counts = scores["options"]["num_answers"]
    lines = [
        f"`results/{file}.json` (`results/unseen.py`): `{document['model']}` (weights "
        f"{document['weights_sha256'][:12]}), {document['num_stories']} stories of {document['seconds']} s "
        f'in all scenes. With options, half of the stories chose {scores["unseen_at"]:g} for "not seen"; '
        f"what follows is of the other half, {counts['recall']} questions about what was shown, "
        f"{counts['never_shown']} about what was not, and {counts['others']} of the world's other kinds.",
        "",
        '| asked | "not seen" is | recall | recall lost | never shown | others lost |',
        "|---|---|---|---|---|---|",
    ]
    for way, words in (("options", "with options"), ("open", "in open words")):
        own = scores[way]
        alone = own["says_so_by_itself"]["never_shown"]
        lines.append(f"| {words} | not offered | {own['without']['recall']:.1%} | | {alone:.1%} | |")
        for name, told in (
            ("at_likeliest", "from 0.5 on"),
            ("at_threshold", f"from {scores['unseen_at']:g} on"),
        ):
            at, sure = own[name], own[f"{name}_intervals"]
            lines.append(
                f"| {words} | {told} | "
                + " | ".join(
                    f"{at[one]:.1%} ({sure[one][0]:.1%} to {sure[one][1]:.1%})"
                    for one in ("recall", "recall_lost", "never_shown", "others_lost")
                )
                + " |"
            )
    with_options, in_words = (scores[way] for way in ("options", "open"))
    if picture:
        lines += ["", f"![Share never shown by the score, and what a threshold costs](pictures/{picture})"]
    lines += [
        "",
        "As a probability that the answer was never shown the score is "
        f"{with_options['calibration_error']:.3f} off with options and {in_words['calibration_error']:.3f} "
        "in open words (mean over ten bins); it is higher where that is so in "
        f"{with_options['area_under_curve']:.1%} and {in_words['area_under_curve']:.1%} of pairs.",
        *flat(with_options["trade_off"]),
    ]
    return "\n".join(lines)


def flat(trade_off: list[dict]) -> list[str]:
    """Say between which thresholds nothing changes, where 0.5 is among them."""
    names = ("recall", "never_shown", "others")
    middle = next(row for row in trade_off if row["threshold"] == 0.5)
    same = [row["threshold"] for row in trade_off if all(row[one] == middle[one] for one in names)]
    if len(same) < 3:
        return []
    return [
        "",
        f"With options no threshold from {same[0]:g} to {same[-1]:g} changes an answer of the other half, so "
        "that the checkpoint names none of its own, and 0.5 holds.",
    ]


def chapters(document: dict) -> str:
    """Return what was measured of chapters."""
    lines = [
        f"`results/chapters.json` (`results/chapters.py`): {document['num_stories']} stories of "
        f"{document['seconds']} s in all scenes{weights(document)}; a cut is right where a thing enters in "
        "that second or the one before. In brackets a 95 % interval over stories. The area is how often a "
        "second with an entrance is newer than one without.",
        "",
        "| pace | newness of | cuts | right | evenly spaced | area |",
        "|---|---|---|---|---|---|",
    ]
    for pace, signals in document["scores"].items():
        for name, own in signals.items():
            low, high = own["interval"]
            lines.append(
                f"| {pace} | {SIGNAL_NAMES[name]} | {own['num_cuts']} | "
                f"{own['share_of_cuts_at_an_entrance']:.0%} ({low:.0%} to {high:.0%}) | "
                f"{own['of_evenly_spaced_cuts']:.0%} | {own['area_under_curve_of_entrances']:.2f} |"
            )
    scenes = ", ".join(
        f"{scene} {own['share_of_cuts_at_an_entrance']:.0%} of {own['num_cuts']}"
        for scene, own in document["content_by_scene"].items()
    )
    return "\n".join([*lines, "", f"By scene, of content: {scenes}."])


def main() -> int:
    read = [
        json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("confidence", "unseen", "unseen_qwen", "chapters")
    ]
    parts = (
        confidence(read[0]),
        unseen(read[1], "unseen", "unseen.png"),
        unseen(read[2], "unseen_qwen"),
        chapters(read[3]),
    )
    measured = "\n\n".join(parts) + "\n"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    made = f"{before}{BEGIN}{measured}{END}{after}"
    if "--check" in sys.argv:
        return int(made != page)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
