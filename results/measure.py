"""Make the JSON files in this folder: python results/measure.py NAME [--out FILE].

``world`` asks about many stories that training never saw, with every memory, in options and in open words.
``places`` asks the same of two more variants of HERMES. ``models`` asks both embedded models, in open words.
``length`` asks the same question after streams of growing length; policies take turns within one run, so that
timings may be compared with each other, and with nothing else. ``attention`` analyzes stories, and draws the
pictures of docs/. ``training`` gathers the curve and the recipe of the run in ``.training``,
``training_qwen2_5_vl`` those of the second checkpoint's, and ``plain_qwen2_5_vl`` asks that one with
transformers alone. Files whose names begin with ``first_model`` or ``second_model`` tell of earlier
checkpoints.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parent
PICTURES = FOLDER.parent / "docs" / "pictures"
WORLD_SEED = 5000
WORLD_STREAMS = 130
WORLD_SECONDS = 48
WORLD_FULL_TOKENS = 432
WORLD_BUDGET_TOKENS = 138  # 32 % of them
PLAIN_STREAMS = 40
MODELS_STREAMS = 60
WORKERS = 2
ATTENTION_STREAMS = 12
LENGTHS = (16, 64, 256, 1024, 4096)
REPEATS = 101


def machine() -> dict[str, Any]:
    """Say where and with what the numbers were made."""
    packages = ("hermes-stream", "torch", "transformers", "av", "numpy")
    processor = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    return {
        "processor": processor[0] if processor else platform.processor(),
        "num_processors": len(processor),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "command": " ".join(["python", *sys.argv]),
    }


def cpu_lines() -> list[str]:
    """Read what Linux says of its processors."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def hermes(*words: object) -> dict[str, Any]:
    """Run the command as a user would, and return the JSON document that it prints last."""
    command = [sys.executable, "-m", "hermes_stream", *map(str, words), "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def world() -> dict[str, Any]:
    """Ask the embedded model about stories that training never saw, from every memory."""
    policies = ("full", "hermes_paper", "hermes_paper:summarize=false", "window")
    return ask_stories(policies, chosen_by=("full", "hermes_paper"))


def places() -> dict[str, Any]:
    """Ask the same from variants of HERMES that might keep its sense of place with the summary token."""
    return ask_stories(("hermes_paper:protect_recent_patches=2", "hermes_paper:reindex=eager"))


def models(num_streams: int = MODELS_STREAMS) -> dict[str, Any]:
    """Ask both embedded models about the first of these stories, with the same memories."""
    policies = ("full", "hermes", "hermes_paper", "hermes_paper:summarize=false", "window")
    found = {
        model: ask_stories(policies, model=model, num_streams=num_streams) for model in ("tiny", "tiny-qwen")
    }
    shared = {
        name: value for name, value in found["tiny"].items() if name not in ("short_answers", "choices")
    }
    return shared | {"models": {model: one["short_answers"] for model, one in found.items()}}


def ask_stories(
    policies: Sequence[str],
    *,
    chosen_by: Sequence[str] = (),
    model: str = "tiny",
    num_streams: int = WORLD_STREAMS,
) -> dict[str, Any]:
    """Write the stories, ask each policy for short answers, and some to choose among options."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as workers:
        options = ["--seed", WORLD_SEED, "--streams", num_streams, "--seconds", WORLD_SECONDS]
        hermes("world", *options, "--out", folder, "--force")

        def ask(policy: str, *style: str) -> Future[dict[str, Any]]:
            budget = () if policy == "full" else ("--budget-tokens", WORLD_BUDGET_TOKENS)
            words = ["eval", Path(folder) / "annotations.json", "--videos", folder, "--model", model]
            return workers.submit(hermes, *words, "--policy", policy, *budget, *style)

        found = {policy: ask(policy, "--short-answers") for policy in policies}
        chosen = {policy: ask(policy) for policy in chosen_by}
        documents = {
            "short_answers": {policy: one.result() for policy, one in found.items()},
            "choices": {policy: one.result() for policy, one in chosen.items()},
        }
    for document in (one for style in documents.values() for one in style.values()):
        document.pop("annotations"), document.pop("videos")
    return {
        "seed": WORLD_SEED,
        "streams": num_streams,
        "seconds": WORLD_SECONDS,
        "tokens_of_full_cache": WORLD_FULL_TOKENS,
        **documents,
    }


def stream(num_frames: int) -> Iterator[Any]:
    """Play the world's pictures over and over."""
    from hermes_stream import Frame
    from hermes_stream.synthetic.world import generate_world

    pictures = [frame.image for frame in generate_world(0, 64).frames(1)]
    for k in range(num_frames):
        yield Frame(pts_seconds=float(k), image=pictures[k % len(pictures)])


def length() -> dict[str, Any]:
    """Ask after streams of growing length; the sessions take turns."""
    from hermes_stream import HermesPolicy, Session, WindowPolicy, load_model

    model = load_model("tiny", device="cpu")
    budget = model.card.default_budget_tokens
    policies = {"hermes_paper": HermesPolicy.paper(budget), "window": WindowPolicy(budget_tokens=budget)}
    rows = []
    sessions = {}
    for name, policy in policies.items():
        for num_frames in LENGTHS:
            session = sessions[name, num_frames] = Session(model, policy)
            session.observe(stream(num_frames))
            session.flush()
    ttft: dict[tuple[str, int], list[float]] = {key: [] for key in sessions}
    for turn in range(REPEATS + 3):
        for key, session in sessions.items():
            answer = session.ask("what came first?", max_new_tokens=1)
            if turn >= 3:
                ttft[key].append(answer.ttft_seconds)
    for (name, num_frames), session in sessions.items():
        rows.append(
            {
                "policy": name,
                "num_frames": num_frames,
                "ttft_seconds": median(ttft[name, num_frames]),
                "ttft_over_64_frames": median(ttft[name, num_frames]) / median(ttft[name, 64]),
                "cache_bytes": session.stats.cache_bytes,
                "num_visual_tokens_kept": session.stats.num_visual_tokens_kept,
                "num_visual_tokens_seen": session.stats.num_visual_tokens_seen,
            }
        )
    return {"model": "tiny", "budget_tokens": budget, "repeats": REPEATS, "runs": rows}


def training(family: str = "llava_onevision") -> dict[str, Any]:
    """Gather what a run of training left behind."""
    folder = Path(".training") / family
    lines = (folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    if recipe["start_from"]:
        recipe["start_from"] = "/".join(Path(recipe["start_from"]).parts[-2:])
    return {"recipe": recipe, "curve": [json.loads(line) for line in lines]}


def plain_qwen2_5_vl() -> dict[str, Any]:
    """Ask the second embedded checkpoint with transformers alone."""
    from plain import ask_plainly

    folder = FOLDER.parent / "src" / "hermes_stream" / "tiny" / "weights_qwen2_5_vl"
    return ask_plainly(folder, seed=WORLD_SEED, num_streams=PLAIN_STREAMS, num_seconds=WORLD_SECONDS)


def attention() -> dict[str, Any]:
    """Analyze stories that training never saw; draw the first for docs/evidence.md."""
    stories: dict[str, list[dict[str, Any]]] = {"full": [], "hermes_paper": []}
    for seed in range(WORLD_SEED, WORLD_SEED + ATTENTION_STREAMS):
        for policy, found in stories.items():
            budget = () if policy == "full" else ("--budget-tokens", WORLD_BUDGET_TOKENS)
            is_shown = policy == "hermes_paper" and seed == WORLD_SEED
            out = ("--out", PICTURES) if is_shown else ()
            words = ["analyze", "--seed", seed, "--seconds", WORLD_SECONDS, "--policy", policy]
            found.append(hermes(*words, *budget, *out))
    (PICTURES / "analysis.json").unlink()
    proposal = stories["full"][0]["attention"]["proposal"]
    shares = ",".join(f"{name}={proposal[name]:g}" for name in ("sensory_share", "long_term_share"))
    return {
        "seed": WORLD_SEED,
        "streams": ATTENTION_STREAMS,
        "seconds": WORLD_SECONDS,
        "layers": mean_layers([one["attention"]["layers"] for one in stories["full"]]),
        "proposals": [one["attention"]["proposal"] for one in stories["full"]],
        "decided": {policy: decided(found) for policy, found in stories.items()},
        "tried": tried(("hermes_paper", "hermes_paper:summarize=false", f"hermes_paper:{shares}")),
        "shown": stories["hermes_paper"][0],
    }


def tried(policies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Ask about the same stories with other boundaries of the tiers."""
    found = {}
    with TemporaryDirectory() as folder:
        options = ["--seed", WORLD_SEED, "--streams", ATTENTION_STREAMS, "--seconds", WORLD_SECONDS]
        hermes("world", *options, "--out", folder, "--force")
        for policy in policies:
            words = ["eval", Path(folder) / "annotations.json", "--videos", folder, "--policy", policy]
            found[policy] = hermes(*words, "--budget-tokens", WORLD_BUDGET_TOKENS, "--short-answers")
    for document in found.values():
        document.pop("annotations"), document.pop("videos")
    return found


def mean_layers(studies: list[list[dict[str, Any]]]) -> list[dict[str, float]]:
    """Take the mean of each layer's numbers over stories."""
    names = ("video_share", "recency_index", "periodicity")
    return [
        {name: round(mean(one[name] for one in own), 6) for name in names}
        for own in zip(*studies, strict=True)
    ]


def decided(documents: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Compare attention to the moments that decide with what even attention gives, over all answers."""
    answers = [one for document in documents for one in document["answers"] if one["decided_seconds"]]
    groups = {
        "right": [one for one in answers if one["answer"] == one["truth"]],
        "wrong": [one for one in answers if one["answer"] != one["truth"]],
    }
    return {
        name: {
            "num_answers": len(own),
            **{
                key: round(mean(one[key] for one in own), 6)
                for key in ("decided_share", "decided_token_share", "summary_share", "video_share")
                if own
            },
        }
        for name, own in groups.items()
    }


MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "world": world,
    "places": places,
    "models": models,
    "length": length,
    "training": training,
    "training_qwen2_5_vl": lambda: training("qwen2_5_vl"),
    "plain_qwen2_5_vl": plain_qwen2_5_vl,
    "attention": attention,
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(MEASUREMENTS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--streams", type=int, help="ask about so many stories; of `models` alone")
    arguments = parser.parse_args()
    limited = {} if arguments.streams is None else {"num_streams": arguments.streams}
    result = {"machine": machine(), **MEASUREMENTS[arguments.what](**limited)}
    out = arguments.out or FOLDER / f"{arguments.what}.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
