"""Store what the official video processors of transformers make of the pictures in inputs.py.

Run from the repository's root, in an environment of its own with transformers, torchvision and PyAV:
``python -m tests.data.preprocessing.make``. See the README beside this file.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tests.data.preprocessing.inputs import SETTINGS, synthetic

FOLDER = Path(__file__).parent
CLIPS = {"photograph": "nasa_13013_rotated.mp4", "drawing": "av1_video.mkv"}
CLASSES = {
    "llava_onevision": "LlavaOnevisionVideoProcessor",
    "qwen2_vl": "Qwen2VLVideoProcessor",
    "qwen2_5_vl": "Qwen2VLVideoProcessor",
    "qwen3_vl": "Qwen3VLVideoProcessor",
    "qwen3_vl_bounded": "Qwen3VLVideoProcessor",
    "internvl": "InternVLVideoProcessor",
    "smolvlm": "SmolVLMVideoProcessor",
    "smolvlm_sampling": "SmolVLMVideoProcessor",
}
STORED_VALUES = 2048


def declare_missing_operators() -> torch.library.Library:
    """Name two operators that torchvision registers and that its wheel does not load beside a CPU torch.

    Resizing does not call them.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def read_frames(clip: str) -> NDArray[np.uint8]:
    """Read the first and the thirteenth frame, every second row and column of them."""
    with av.open(str(FOLDER.parent / "media" / clip)) as container:
        frames = [
            frame.to_ndarray(format="rgb24")
            for place, frame in enumerate(container.decode(video=0))
            if place in (0, 12)
        ]
    return np.ascontiguousarray(np.stack(frames)[:, ::2, ::2])


def official_levels(name: str, clip: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[int]]:
    """Return a processor's values before normalisation, 0-255, and the grid of patches where there is one.

    Qwen3-VL bounds the pixels of a whole clip; each temporal patch is given to it as a clip of its own.
    """
    import transformers

    settings = SETTINGS[name]
    processor = getattr(transformers, CLASSES[name]).from_dict(json.loads(json.dumps(settings)))
    if name.startswith("qwen3"):
        clip = np.concatenate([clip, clip[-1:]])[: len(clip) + len(clip) % 2]
        parts = [official_output(processor, pair) for pair in np.split(clip, len(clip) // 2)]
    else:
        parts = [official_output(processor, clip)]
    pixels = torch.cat([pixels for pixels, _ in parts])
    times, rows, columns = (list(sides) for sides in zip(*(grid for _, grid in parts), strict=True))
    mean, std = (torch.tensor(settings[key], dtype=torch.float64) for key in ("image_mean", "image_std"))
    channels = pixels.reshape(len(pixels), 3, -1)
    levels = (channels * std[:, None] + mean[:, None]).reshape(pixels.shape) * 255
    assert float((levels - levels.round()).abs().max()) < 1e-3
    return levels.round().to(torch.uint8).numpy(), [sum(times), rows[0], columns[0]]


def official_output(processor: Any, clip: NDArray[np.uint8]) -> tuple[torch.Tensor, list[int]]:
    """Return a processor's pixel values, frames or patches first, and its grid, 0 without patches."""
    output = processor([clip], do_sample_frames=False, return_tensors="pt")
    if "video_grid_thw" in output:
        return output["pixel_values_videos"], output["video_grid_thw"][0].tolist()
    if "pixel_attention_mask" in output:
        assert bool(output["pixel_attention_mask"].all())
    return output["pixel_values" if "pixel_values" in output else "pixel_values_videos"][0], [0, 0, 0]


def main() -> None:
    """Write vectors.safetensors and vectors.json."""
    library = declare_missing_operators()
    real = {name: read_frames(clip) for name, clip in CLIPS.items()}
    arrays: dict[str, NDArray[Any]] = {f"input.{name}": clip for name, clip in real.items()}
    clips = {**synthetic(), **real}
    outputs: dict[str, Any] = {}
    for name in SETTINGS:
        for case, clip in clips.items():
            levels, grid = official_levels(name, clip)
            rng = np.random.Generator(np.random.PCG64(len(outputs)))
            places = np.sort(rng.permutation(levels.size)[:STORED_VALUES]).astype(np.int32)
            arrays[f"{name}.{case}.places"] = places
            arrays[f"{name}.{case}.levels"] = levels.reshape(-1)[places]
            outputs[f"{name}.{case}"] = {"shape": list(levels.shape), "grid": grid}
    packages = ("transformers", "torch", "torchvision", "pillow", "av", "numpy")
    summary = {
        "versions": {package: importlib.metadata.version(package) for package in packages},
        "inputs": {case: hashlib.sha256(clip.tobytes()).hexdigest() for case, clip in clips.items()},
        "outputs": outputs,
    }
    del library
    save_file(arrays, FOLDER / "vectors.safetensors")
    text = json.dumps(summary, indent=1)
    (FOLDER / "vectors.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
