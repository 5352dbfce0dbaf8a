"""Measure beside the released code: python results/released.py --released FOLDER [--out FILE].

FOLDER is a checkout of the authors' repository. Its two files run as they are, in a program of their own
(``released_side.py``), on the transformers that they were written for, which is installed into ``.released``
on first use. Both sides have the same random weights, frames, prompts and budget, one thread each, and take
turns chunk by chunk in one run. ``released.json`` holds processor seconds, ratios within a round, ours over
theirs, and how many of the tokens that they keep are kept here too.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measure import FOLDER, machine
from safetensors.torch import save_file

from hermes_lab.bench.workload import generate_images
from hermes_lab.training.random_weights import random_model_of
from hermes_lab.training.shapes import SHAPES, build_config
from hermes_stream import Frame, HermesPolicy, Session, VideoModel
from hermes_stream.policies.base import GuidancePrompts
from hermes_stream.policies.named import choose_policy
from hermes_stream.stream.executor import Executor

ENVIRONMENT = FOLDER.parent / ".released"
INSTALLED = ("transformers==4.45.2", "numpy", "safetensors", "sympy", "networkx", "jinja2")
FILES = ("llavaov_online_official.py", "reindex_1d_official.py")
SIZE, NUM_LAYERS, IMAGE_SIZE, SEED = "llava-onevision-0.5b", 8, 384, 0
QUESTION = "What is on the screen now , and what came first of all that was shown so far ?"
RENAMED = {
    "model.language_model.": "language_model.model.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "lm_head.": "language_model.lm_head.",
    "model.": "",
}
PARTS = ("seconds", "encode_seconds", "rest_seconds", "compress_seconds", "question_seconds")
Seconds = dict[str, float]


class ProcessorClock:
    """Adds up the processor seconds of each stage; stands in for ``StageClock``."""

    def __init__(self) -> None:
        self.seconds: Seconds = {}

    @contextmanager
    def timing(self, weights: Mapping[str, float]) -> Iterator[None]:
        """Count what happens inside."""
        began = time.process_time()
        yield
        each = (time.process_time() - began) / sum(weights.values())
        for stage, weight in weights.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + weight * each


class Ours:
    """One session of this project."""

    def __init__(self, model: VideoModel, policy: HermesPolicy, chunk_frames: int) -> None:
        self._clock = ProcessorClock()
        self._session = Session(
            model,
            policy,
            chunk_frames=chunk_frames,
            guidance_from_questions=False,
            executor=Executor(model, stages=self._clock),
        )

    def chunk(self, frames: Sequence[Frame]) -> Seconds:
        """Take frames in, and forget; return processor seconds."""
        self._clock.seconds.clear()
        began = time.process_time()
        self._session.observe(frames)
        seconds, stages = time.process_time() - began, self._clock.seconds
        own = {"encode_seconds": stages["encode"], "compress_seconds": stages.get("compress", 0.0)}
        return own | {"seconds": seconds}

    def question_seconds(self) -> float:
        """Answer with one token; return processor seconds from the call to it."""
        began = time.process_time()
        self._session.ask(QUESTION, max_new_tokens=1)
        return time.process_time() - began

    def kept(self) -> list[set[int]]:
        """Return the visual tokens that each layer holds, numbered as they came, without summaries."""
        cache, size = self._session.cache, self._session.model.card.tokens_per_temporal_patch
        found = []
        for layer, count in enumerate(cache.num_visual_tokens):
            slots = slice(cache.num_prefix_tokens, cache.num_prefix_tokens + count)
            patches, places = (
                cache.records[name][layer, slots].tolist() for name in ("temporal_patch_ids", "grid_indices")
            )
            pairs = zip(patches, places, strict=True)
            found.append({patch * size + place for patch, place in pairs if patch >= 0})
        return found


class Released:
    """The released code, in a program of its own."""

    def __init__(self, python: Path, start: dict[str, Any]) -> None:
        self._program = subprocess.Popen(
            [python, FOLDER / "released_side.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.about = self._ask(start)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps(request), file=self._program.stdin, flush=True)
        line = self._program.stdout.readline()
        if not line:
            raise RuntimeError(f"the released code ended with {self._program.wait()} at {request}")
        return json.loads(line)

    def chunk(self, first: int, count: int) -> Seconds:
        """Take frames in, and forget; return processor seconds."""
        return self._ask({"do": "chunk", "first": first, "count": count})

    def question_seconds(self) -> float:
        """Answer with one token; return processor seconds from the call to it."""
        return self._ask({"do": "question"})["seconds"]

    def kept(self) -> list[set[int]]:
        """Return the visual tokens that each layer holds, as ``Ours.kept``."""
        return [{one for one in layer if one >= 0} for layer in self._ask({"do": "kept"})["kept"]]

    def end(self) -> None:
        """End the program."""
        self._program.communicate()


def environment() -> Path:
    """Make an environment of the old transformers and this torch, if there is none; return its Python."""
    python = ENVIRONMENT / "bin" / "python"
    if (ENVIRONMENT / "complete").exists():
        return python
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *INSTALLED], check=True, stdout=sys.stderr)
    (own,) = ENVIRONMENT.glob("lib/python*/site-packages")
    source = Path(torch.__file__).parents[1]
    for path in (source / "torch", source / "torchgen", *source.glob("torch-*.dist-info")):
        (own / path.name).symlink_to(path)
    (ENVIRONMENT / "complete").touch()
    return python


def build(vocabulary: int) -> tuple[VideoModel, dict[str, Any]]:
    """Return a model of eight layers of the published width, and its numbers for the other side."""
    shape = SHAPES[SIZE]
    text = shape.text._replace(num_hidden_layers=NUM_LAYERS, vocab_size=vocabulary)
    config = build_config(replace(shape, text=text))
    config.vision_config.num_hidden_layers = NUM_LAYERS
    config.image_token_id, config.video_token_id = vocabulary - 2, vocabulary - 1
    prompts = GuidancePrompts()
    texts = (prompts.local_prompt, prompts.global_prompt, QUESTION, "user assistant ; . , ?")
    words = " ".join(texts).replace(",", " , ").replace(".", " . ").replace("-", " - ").split()
    model = random_model_of(config, SIZE, device="cpu", dtype="float32", seed=SEED, words=words)
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "patch_size", "image_size")
    vision = {name: getattr(config.vision_config, name) for name in names}
    vision |= {"num_hidden_layers": NUM_LAYERS, "model_type": "siglip_vision_model", "vision_use_head": False}
    numbers = text._asdict() | {"rope_theta": 1e6, "tie_word_embeddings": shape.tied, "model_type": "qwen2"}
    numbers.pop("head_dim")
    tokens = {"image_token_index": vocabulary - 2, "video_token_index": vocabulary - 1}
    return model, {
        "text_config": numbers,
        "vision_config": vision,
        "tie_word_embeddings": shape.tied,
    } | tokens


def write_weights(model: VideoModel, path: Path) -> None:
    """Write the weights by the names that they have on the other side."""
    found = {}
    for name, tensor in model._model.state_dict().items():
        own = next(own for own in RENAMED if name.startswith(own))
        found[RENAMED[own] + name.removeprefix(own)] = tensor.clone()
    save_file(found, path)


def start_request(
    model: VideoModel, config: dict[str, Any], images: Any, folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Write weights and frames, and return what the other side is made of."""
    write_weights(model, folder / "weights.safetensors")
    np.save(folder / "frames.npy", images)
    prompts, encode = GuidancePrompts(), model.chat.encode
    local, overall = prompts.texts(None)
    question_ids = [0] * len(model.video_end) + model.chat.question_ids(QUESTION)
    texts = {text: encode(text) for text in (local, overall, f"{local}; {overall}")}
    return {
        "inference_folder": str((arguments.released / "inference").resolve()),
        "weights": str(folder / "weights.safetensors"),
        "frames": str(folder / "frames.npy"),
        "config": config,
        "token_ids": texts | {QUESTION: question_ids},
        "prefix_ids": model.chat.prefix_ids,
        "question": QUESTION,
        "budget_tokens": arguments.budget_tokens,
        "tokens_per_frame": model.card.tokens_per_temporal_patch,
    }


def memories(budget_tokens: int) -> dict[str, Any]:
    """Return what is measured: what decides as the released code does, the paper's memory, the default."""
    reference = HermesPolicy.reference_code("llava_onevision", budget_tokens)
    return {
        "as released": replace(reference, guidance_forward="embeddings"),
        "hermes_paper": choose_policy("hermes_paper", budget_tokens, budget_tokens),
        "hermes": choose_policy("hermes", budget_tokens, budget_tokens),
    }


def rounds(
    released: Released, sessions: Mapping[str, Ours], images: Any, arguments: argparse.Namespace
) -> Iterator[tuple[dict[str, Seconds], dict[str, list[float]]]]:
    """Yield the processor seconds of each side's chunk and question, and what is shared in each layer."""
    count, names = arguments.chunk_frames, ["released", *sessions]
    for turn in range(arguments.warm_up_chunks + arguments.rounds):
        first, found = turn * count, {}
        frames = [
            Frame(pts_seconds=2.0 * k, image=images[k % len(images)]) for k in range(first, first + count)
        ]
        turned = names[turn % len(names) :] + names[: turn % len(names)]
        for name in turned:
            found[name] = released.chunk(first, count) if name == "released" else sessions[name].chunk(frames)
            found[name]["rest_seconds"] = found[name]["seconds"] - found[name]["encode_seconds"]
        for name in turned:
            side = released if name == "released" else sessions[name]
            found[name]["question_seconds"] = median(side.question_seconds() for _ in range(3))
        theirs = released.kept()
        yield found, {name: shared(one.kept(), theirs) for name, one in sessions.items()}


def shared(own: Sequence[set[int]], theirs: Sequence[set[int]]) -> list[float]:
    """Return what part of their tokens each layer of ours holds too."""
    return [len(mine & other) / len(other) for mine, other in zip(own, theirs, strict=True)]


def quartiles(values: Sequence[float]) -> list[float]:
    """Return lower and upper quartile."""
    low, _, high = quantiles(values, n=4)
    return [low, high]


def measure(python: Path, arguments: argparse.Namespace, vocabulary: int) -> dict[str, Any]:
    """Measure one vocabulary: with all sides alive, in turns."""
    model, config = build(vocabulary)
    images = np.stack(list(generate_images(SEED, IMAGE_SIZE)))
    with TemporaryDirectory() as name:
        start = start_request(model, config, images, Path(name), arguments)
        released = Released(python, start)
        local, overall = GuidancePrompts().texts(None)
        assert (released.about["local"], released.about["global"]) == (local, overall)
        sessions = {
            name: Ours(model, policy, arguments.chunk_frames)
            for name, policy in memories(arguments.budget_tokens).items()
        }
        turns = list(rounds(released, sessions, images, arguments))
        released.end()
    found = [seconds for seconds, _ in turns[arguments.warm_up_chunks :]]
    frames = arguments.budget_tokens // model.card.tokens_per_temporal_patch
    first = frames // arguments.chunk_frames  # the first chunk after which something is forgotten
    rows = []
    for name in ("released", *sessions):
        row: dict[str, Any] = {"policy": name}
        for part in PARTS:
            ratios = [one[name][part] / one["released"][part] for one in found]
            row[part] = median(one[name][part] for one in found)
            row |= {f"{part}_over_released": median(ratios), f"{part}_quartiles": quartiles(ratios)}
        if name in sessions:
            row["shared_first"], row["shared_last"] = (turns[k][1][name] for k in (first, -1))
        rows.append(row)
    about = {"vocabulary": vocabulary, "num_rounds": len(found), "num_chunks": len(turns)}
    tokens = [len(ids) for ids in start["token_ids"].values()]
    about["num_tokens"] = dict(zip(("local", "global", "mixed", "question"), tokens, strict=True))
    return about | {"released_versions": released.about["versions"], "runs": rows}


def commit_of(folder: Path) -> str | None:
    """Return the commit of a checkout; None for files that were only unpacked."""
    if not (folder / ".git").exists():
        return None
    run = subprocess.run(
        ["git", "-C", folder, "rev-parse", "HEAD"], stdout=subprocess.PIPE, text=True, check=True
    )
    return run.stdout.strip()


def options() -> argparse.Namespace:
    """Read the command line; say what is needed where the folder is not given or is not one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--released", type=Path, help="checkout of the authors' repository")
    parser.add_argument("--commit", help="of the checkout, where the folder cannot tell")
    parser.add_argument("--budget-tokens", type=int, default=1000)
    parser.add_argument("--chunk-frames", type=int, default=2)
    parser.add_argument("--warm-up-chunks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    # The head is small so that it decides nothing: the released code runs it for every token of a chunk.
    parser.add_argument("--vocabularies", default="300", help="sizes, separated by commas")
    parser.add_argument("--out", type=Path, default=FOLDER / "released.json")
    arguments = parser.parse_args()
    wanted = [] if arguments.released is None else [arguments.released / "inference" / name for name in FILES]
    missing = [str(path) for path in wanted if not path.is_file()]
    if arguments.released is None or missing:
        parser.error(
            "--released must name a checkout of the authors' repository (haowei-freesky/HERMES on GitHub) "
            f"with inference/{' and inference/'.join(FILES)} in it; "
            + (f"missing: {', '.join(missing)}" if missing else "no folder was given")
        )
    return arguments


def main() -> None:
    """Measure and write."""
    arguments = options()
    torch.set_num_threads(1)
    python = environment()
    inference = arguments.released / "inference"
    digests = {name: hashlib.sha256((inference / name).read_bytes()).hexdigest() for name in FILES}
    about = {
        "released_commit": arguments.commit or commit_of(arguments.released),
        "released_sha256": digests,
        "num_layers": NUM_LAYERS,
        "size": SIZE,
        "budget_tokens": arguments.budget_tokens,
        "chunk_frames": arguments.chunk_frames,
    }
    found: list[dict[str, Any]] = []
    for vocabulary in arguments.vocabularies.split(","):
        found.append(measure(python, arguments, int(vocabulary)))
        document = machine() | about | {"measured": found}
        document["command"] = document["command"].replace(str(arguments.released), "FOLDER")
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
