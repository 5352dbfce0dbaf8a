"""How alike a vision tower sees a story in different scenes: python results/steady.py.

Share of the variance of the visual tokens before a plain wall by which those of the same story in a scene are
away, without a codec; where the camera moves there is no such story. Of the embedded checkpoints, and of
folders that hold other weights of theirs (``--also tiny=FOLDER``). Stored as ``steady.json``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from measure import machine
from transformers import LlavaOnevisionForConditionalGeneration, Qwen2_5_VLForConditionalGeneration

from hermes_lab.training.family import Family
from hermes_lab.training.qwen2_5_vl import with_patch_attention
from hermes_lab.training.recipe import Recipe
from hermes_lab.training.stories import draw_worlds
from hermes_lab.training.train import FAMILIES
from hermes_lab.training.vision import encode_samples, render_samples
from hermes_stream.models.loading.load import embedded_folder
from hermes_stream.synthetic.scenes import SCENES

PATH = Path(__file__).parent / "steady.json"
FAMILY_OF = {"tiny": "llava_onevision", "tiny-qwen": "qwen2_5_vl"}
NUM_STORIES, NUM_SECONDS, SEED = 24, 16, 95_000


def load(name: str, folder: Path) -> tuple[Family, torch.nn.Module]:
    """Load a checkpoint as training does."""
    if name == "tiny":
        model = LlavaOnevisionForConditionalGeneration.from_pretrained(str(folder), dtype=torch.float32)
    else:
        model = with_patch_attention(
            Qwen2_5_VLForConditionalGeneration.from_pretrained(str(folder), dtype=torch.float32)
        )
    return FAMILIES[FAMILY_OF[name]][0], model.eval().requires_grad_(False)


def away_by_scene(name: str, folder: Path) -> dict[str, float]:
    """Return how far the tokens of each scene are from those of a plain wall."""
    family, model = load(name, folder)
    plain = draw_worlds(NUM_STORIES, NUM_SECONDS, Recipe().steady.pace, SEED)

    def tokens(scene: str) -> torch.Tensor:
        worlds = tuple(replace(one, scene=scene) for one in plain)
        samples = render_samples(family, worlds, NUM_SECONDS, through_codec=False)
        return encode_samples(family, model, samples, noise=0.0, seed=0).flatten(0, 1)

    wanted = tokens("still")
    spread = wanted.var(dim=(0, 1)).mean()
    names = [name for name, scene in SCENES.items() if name != "still" and not scene.shift]
    return {one: round(float((tokens(one) - wanted).square().mean() / spread), 4) for one in names}


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME=FOLDER")
    given = parser.parse_args()
    found = {name: {"embedded": away_by_scene(name, embedded_folder(name))} for name in FAMILY_OF}
    for name, _, folder in (one.partition("=") for one in given.also):
        found[name]["before"] = away_by_scene(name, Path(folder))
    command = "python results/steady.py" + " --also tiny=FOLDER tiny-qwen=FOLDER" * bool(given.also)
    document = {
        "machine": machine() | {"command": command},
        "num_stories": NUM_STORIES,
        "num_seconds": NUM_SECONDS,
        "seed": SEED,
        "away": found,
    }
    PATH.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
