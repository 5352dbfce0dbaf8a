"""Whether to answer again, with frames fetched from an archive, where the memory alone is not sure.

    python results/when_unsure.py shapes --model tiny-qwen --out results/when_unsure_shapes.json
    python results/when_unsure.py sentences --out results/when_unsure_sentences.json
    python results/when_unsure.py again --out FILE    sums stored answers up anew

The memory is ``hermes`` with the same tokens in all layers; all that it evicts stays in an archive, which is
more than any bounded one has. Each question is answered from the memory alone, and beside the 1, 2 or 4
frames whose mean key answers the question's mean query best, in each layer; what the memory holds of them is
not read twice. Fetched tokens stand between those of the memory by time, and older ones move back to make
room. Stories with an even seed choose below which confidence it is worth it; all that is told of it is of the
others. With ``evidence`` the frames that decide are fetched, which nobody knows who asks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from measure import machine
from torch import Tensor

from hermes_lab.datasets.task_groups import group_of
from hermes_lab.evaluation.bootstrap import Bootstrap
from hermes_stream import HermesPolicy, Session, load_model
from hermes_stream.memory.rope import rotate
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.retrieval.workspace import Workspace
from hermes_stream.stream.context import question_segment
from hermes_stream.stream.stream import Stream
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.recording import is_truth
from hermes_stream.synthetic.world import generate_world

EXTRA_FRAMES = (1, 2, 4)
MEMORY, EVIDENCE = "memory", "evidence"
SHAPE_TOKENS, SENTENCE_TOKENS = 138, 128
SHAPE_SECONDS, SENTENCE_TIMES, SENTENCE_CHUNK = 480, 10, 4
GROUPS = {"shapes": ("now", "backward"), "sentences": ("now", "backward", "order")}


class Laid(Workspace):
    """A workspace whose tokens stand where they are told, and not at their slots."""

    def lay_at(self, layer_idx: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Put tokens right before the question.

        Args:
            layer_idx: of the layer.
            keys: raw, ``[kv_heads, tokens, head_dim]``.
            values: likewise.
            positions: ``[axes, tokens]``.
        """
        start = self.num_context_tokens - keys.shape[1]
        cos, sin = self.layout.rotary.cos_sin(positions)
        turned = rotate(keys.float(), cos, sin).to(keys.dtype)
        self._keys[layer_idx][:, start : self.num_context_tokens] = turned
        self._values[layer_idx][:, start : self.num_context_tokens] = values
        self._starts[layer_idx] = start


class FrameArchive:
    """Receives what a memory evicts, the same tokens in all layers, and keeps all of it."""

    def __init__(self, cache: Any) -> None:
        self._cache, self._parts = cache, []
        self._whole: dict[str, Any] | None = None

    def receive(self, plan: Any) -> dict[str, Any]:
        """Copy what a plan evicts."""
        state = self._cache.state(shows_keys=True, shows_values=True)
        evicted = evicted_mask(plan.keep, state.present)
        assert (evicted == evicted[:1]).all()
        index = evicted[0].nonzero()[:, 0]
        layers = range(state.num_layers)
        return {
            "patches": state.temporal_patch_ids[0, index],
            "places": state.grid_indices[0, index],
            "seconds": state.pts_seconds[0, index],
            "keys": torch.stack([state.raw_keys[k][:, index] for k in layers], dim=1),
            "values": torch.stack([state.values[k][:, index] for k in layers], dim=1),
        }

    def commit(self, evicted: dict[str, Any]) -> None:
        """Take it in."""
        self._parts.append(evicted)
        self._whole = None

    @property
    def whole(self) -> dict[str, Any]:
        """All that left; tokens lie along the first axis, or the third of keys and values."""
        if self._whole is None:
            axis = {"keys": 2, "values": 2}
            self._whole = {
                name: torch.cat([part[name] for part in self._parts], dim=axis.get(name, 0))
                for name in self._parts[0]
            }
        return self._whole


class Beside:
    """What a question reads: the memory of a stream, and frames of its archive."""

    def __init__(self, stream: Stream, archive: FrameArchive, *, num_frames: int, frame_tokens: int) -> None:
        self._memory, self._archive, self._num_frames = stream.memory, archive, num_frames
        room = max(stream.cache.num_tokens) + 2 * frame_tokens * max(num_frames, 4)
        self._workspace = Laid(stream.cache.layout, num_context_tokens=room, text_tokens=stream.text_tokens)
        self.wanted_seconds: Sequence[float] | None = None

    def prepare(self) -> Iterator[Any]:
        """Do nothing: frames are chosen in the question's own forward."""
        return self._memory.prepare()

    def num_prefill_tokens(self, num_new_tokens: int) -> int:
        """Return what frames that wait take."""
        return num_new_tokens

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Clear the workspace at the end."""
        try:
            yield
        finally:
            self._workspace.clear()

    def extend(self, embeddings: Tensor, observation: Any = None) -> Any:
        """Reserve slots for text; the first text of a question fetches frames."""
        recall = None
        if self._workspace.is_clear:
            start = self._memory._question_start()
            self._next = self._memory.cache.next_position if start is None else start
            recall = self._recall
        start, self._next = self._next, self._next + len(embeddings)
        return question_segment(
            self._workspace, embeddings, start=start, recall=recall, observation=observation
        )

    def _recall(self, layer_idx: int, queries: Tensor) -> None:
        cache, kept = self._memory.cache, self._archive.whole
        prefix, visual = cache.num_prefix_tokens, cache.visual_slots(layer_idx)
        keys, values = cache.keys(layer_idx), cache.values(layer_idx)
        positions = cache.positions(layer_idx)
        state = cache.records
        patches = state["temporal_patch_ids"][layer_idx, visual]
        places = state["grid_indices"][layer_idx, visual]
        index = self._chosen(layer_idx, queries)
        fetched = kept["patches"][index]
        all_patches = torch.cat([patches, fetched])
        all_places = torch.cat([places, kept["places"][index]])
        order = (all_patches * 1000 + all_places).argsort(stable=True)
        is_held = (torch.arange(len(order)) < len(patches))[order]
        own_positions = positions[:, prefix:]
        where = torch.zeros(positions.shape[0], len(order), dtype=torch.long)
        where[:, : len(patches)] = own_positions
        if positions.shape[0] > 1:  # rows and columns of a place are the same in all frames
            of_place = {int(p): own_positions[1:, k] for k, p in enumerate(places.tolist())}
            for k, place in enumerate(kept["places"][index].tolist(), start=len(patches)):
                where[1:, k] = of_place[place]
        where = where[:, order]
        where[0] = torch.tensor(
            laid_out(
                all_patches[order].tolist(), where[0].tolist(), is_held.tolist(), positions.shape[0] == 1
            )
        )
        own = positions[:, :prefix].clone()
        own[0] += min(0, int(where[0].min()) - int(own[0].max()) - 1)
        self._workspace.lay_at(
            layer_idx,
            torch.cat(
                [
                    keys[:, :prefix],
                    torch.cat([keys[:, prefix:], kept["keys"][:, layer_idx, index]], 1)[:, order],
                ],
                1,
            ),
            torch.cat(
                [
                    values[:, :prefix],
                    torch.cat([values[:, prefix:], kept["values"][:, layer_idx, index]], 1)[:, order],
                ],
                1,
            ),
            torch.cat([own, where], dim=1),
        )

    def _chosen(self, layer_idx: int, queries: Tensor) -> Tensor:
        """Return which archived tokens a layer reads, those of whole frames."""
        kept = self._archive.whole
        if self.wanted_seconds is not None:
            near = [int((kept["seconds"] - one).abs().argmin()) for one in self.wanted_seconds]
            best = kept["patches"][torch.tensor(near, dtype=torch.long)]
        else:
            keys = kept["keys"][:, layer_idx].float()
            frames, frame_of = kept["patches"].unique(return_inverse=True)
            means = torch.zeros(keys.shape[0], len(frames), keys.shape[2]).index_add(1, frame_of, keys)
            means = means / frame_of.bincount()[:, None]
            query = queries.float().mean(dim=1).unflatten(0, (keys.shape[0], -1)).sum(dim=1)
            scores = (means * query[:, None]).sum(dim=(0, 2))
            best = frames[scores.topk(min(self._num_frames, len(frames))).indices]
        return torch.isin(kept["patches"], best).nonzero()[:, 0]


def laid_out(patches: list[int], now: list[int], held: list[bool], each_token: bool) -> list[int]:
    """Return positions on axis t of tokens in order: what is held keeps its distance to what is newer.

    Args:
        patches: temporal patch of each token, ascending.
        now: position of what is held; of others anything.
        held: whether the memory holds it.
        each_token: tokens of a patch stand one behind the other, and not at one position.
    """
    found, shift, last, newer = list(now), 0, None, None
    for k in range(len(patches) - 1, -1, -1):
        step = 1 if each_token or patches[k] != newer else 0
        place = (now[k] if held[k] else _between(k, patches, now, held)) + shift
        if last is not None:
            place = min(place, last - step) if patches[k] != newer or each_token else last
        if held[k]:
            shift = place - now[k]
        found[k], last, newer = place, place, patches[k]
    return found


def _between(k: int, patches: list[int], now: list[int], held: list[bool]) -> int:
    """Return where a fetched token stood, by the time of what is held beside it."""
    after = next((j for j in range(k + 1, len(held)) if held[j]), None)
    before = next((j for j in range(k - 1, -1, -1) if held[j]), None)
    if after is None or before is None or patches[after] == patches[before]:
        return now[after] - 1 if after is not None else now[before]
    share = (patches[k] - patches[before]) / (patches[after] - patches[before])
    return now[before] + round(share * (now[after] - now[before]))


def shapes(given: argparse.Namespace, model: Any, seed: int) -> list[dict[str, Any]]:
    """Watch one story of shapes; return what was answered in each way."""
    world = generate_world(seed, SHAPE_SECONDS)
    waiting = deque(
        plan_questions(world, num_questions=given.questions, seed=seed, from_second=SHAPE_SECONDS // 8)
    )
    policy = replace(HermesPolicy.best(SHAPE_TOKENS), same_tokens=True)
    session = Session(model, policy, guidance_from_questions=False)
    stream, rows = session._stream, []
    archive = stream.memory.retriever = FrameArchive(stream.cache)
    frame_tokens = model.num_tokens(240, 240)
    for frame in world.frames(model.card.default_fps):
        session.observe(frame)
        while waiting and waiting[0].asked_seconds <= frame.pts_seconds:
            question = waiting.popleft()
            session.flush()
            row = {"seed": seed, "kind": question.kind, "group": group_of(question.kind), "ways": {}}
            for way in (MEMORY, *map(str, EXTRA_FRAMES), EVIDENCE):
                stream.context = stream.memory
                if way != MEMORY:
                    extra = len(question.evidence) if way == EVIDENCE else int(way)
                    beside = Beside(stream, archive, num_frames=extra, frame_tokens=frame_tokens)
                    if way == EVIDENCE:
                        beside.wanted_seconds = [sum(span) / 2 for span in question.evidence]
                    stream.context = beside
                began = time.perf_counter()
                answer = session.ask(question.text, question.options)
                row["ways"][way] = {
                    "is_right": is_truth(question, answer.text),
                    "confidence": round(answer.confidence, 4),
                    "seconds": round(time.perf_counter() - began, 4),
                }
            rows.append(row)
            stream.context = stream.memory
    return rows


def sentences(given: argparse.Namespace, model: Any, seed: int) -> list[dict[str, Any]]:  # noqa: ARG001
    """Watch one story of sentences; return what was answered in each way."""
    from hermes_lab.sentences.checkpoint import TOKENS_PER_FRAME
    from hermes_lab.sentences.reader import frame_of
    from hermes_lab.sentences.stories import GROUPS as OF_GROUP
    from hermes_lab.sentences.stories import tell_story
    from hermes_lab.sentences.watching import _chances, continuation, open_stream, run_together
    from hermes_stream.stream.executor import Executor

    story = tell_story(seed, SENTENCE_TIMES * SENTENCE_TOKENS // TOKENS_PER_FRAME)
    policy = replace(HermesPolicy.best(SENTENCE_TOKENS), same_tokens=True)
    stream, executor = open_stream(model, policy, chunk_frames=SENTENCE_CHUNK), Executor(model)
    archive = stream.memory.retriever = FrameArchive(stream.cache)
    waiting, rows = deque(story.questions), []
    for shown, sentence in enumerate(story.sentences, start=1):
        stream.intake.accept(frame_of(sentence, float(shown)))
        if stream.has_full_chunk:
            run_together(executor, [stream.fold()])
        while waiting and waiting[0].asked_frames == shown:
            question = waiting.popleft()
            group = next(name for name, kinds in OF_GROUP.items() if question.kind in kinds)
            row = {"seed": seed, "kind": question.kind, "group": group, "ways": {}}
            for way in (MEMORY, *map(str, EXTRA_FRAMES), EVIDENCE):
                stream.context = stream.memory
                if way != MEMORY:
                    extra = 1 if way == EVIDENCE else int(way)
                    beside = Beside(stream, archive, num_frames=extra, frame_tokens=TOKENS_PER_FRAME)
                    if way == EVIDENCE:
                        beside.wanted_seconds = [float(question.asked_frames - question.delay_frames)]
                    stream.context = beside
                began = time.perf_counter()
                (logits,) = run_together(executor, [continuation(stream, question.text)])
                chances = np.exp(_chances(model, logits, question))
                second, best = np.sort(chances)[-2:]
                row["ways"][way] = {
                    "is_right": int(chances.argmax()) == question.answer_index,
                    "confidence": round(float(best - second), 4),
                    "seconds": round(time.perf_counter() - began, 4),
                }
            rows.append(row)
            stream.context = stream.memory
    return rows


def summed(rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
    """Say what answering again always, when unsure, and where it helps would gain, in shares of questions."""
    seeds = np.array([one["seed"] for one in rows])
    fits, groups = seeds % 2 == 0, np.array([one["group"] for one in rows])
    right = {w: np.array([one["ways"][w]["is_right"] for one in rows], float) for w in rows[0]["ways"]}
    sure = np.array([one["ways"][MEMORY]["confidence"] for one in rows])
    seconds = {w: np.array([one["ways"][w]["seconds"] for one in rows]) for w in right}
    rest = ~fits
    bootstrap = Bootstrap(seeds[rest], seed=0)
    parts = {"all": np.ones(int(rest.sum()), bool)} | {g: groups[rest] == g for g in GROUPS[what]}
    found: dict[str, Any] = {
        "num_stories": len(np.unique(seeds)),
        "num_questions": len(rows),
        "num_stories_of_the_other_half": len(np.unique(seeds[rest])),
        "memory": {p: asdict(bootstrap.mean(right[MEMORY][rest], chosen)) for p, chosen in parts.items()},
        "seconds_of_memory": float(np.median(seconds[MEMORY])),
        "ways": {},
    }
    for way, own in right.items():
        if way == MEMORY:
            continue
        gain = own - right[MEMORY]
        below = max(
            np.unique(np.append(sure[fits], [0.0, 1.01])), key=lambda t: (gain[fits & (sure < t)].sum(), -t)
        )
        again = sure < below
        gains = {
            "always": gain,
            "when_unsure": np.where(again, gain, 0.0),
            "where_it_helps": np.maximum(gain, 0.0),
        }
        found["ways"][way] = {
            "below": float(below),
            "asked_again": float(again[rest].mean()),
            "seconds": float(np.median(seconds[way])),
            "gain": {
                name: {p: asdict(bootstrap.mean(one[rest], chosen)) for p, chosen in parts.items()}
                for name, one in gains.items()
            },
        }
    return found


def watched(given: argparse.Namespace) -> None:
    """Watch the stories that are missing in the file, and write it after each."""
    stored = SimpleNamespace(rows=[])
    if given.out.exists():
        stored.rows = json.loads(given.out.read_text(encoding="utf-8"))["answers"]
    done = {one["seed"] for one in stored.rows}
    seeds = [seed for seed in range(given.seed, given.seed + given.stories) if seed not in done]
    if given.what == "sentences":
        from hermes_lab.sentences.checkpoint import FOLDER
        from hermes_lab.sentences.reader import SentenceReader

        model: Any = SentenceReader(load_model(given.model or FOLDER, device="cpu", dtype="bfloat16"))
    else:
        model = load_model(given.model or "tiny-qwen", device="cpu")
    watch = {"shapes": shapes, "sentences": sentences}[given.what]
    for seed in seeds:
        began = time.perf_counter()
        stored.rows += watch(given, model, seed)
        write(given, stored.rows)
        sys.stderr.write(f"{seed}: {len(stored.rows)} answers, {time.perf_counter() - began:.0f} s\n")


def write(given: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write settings, scores and answers."""
    head = {
        "machine": machine(),
        "world": given.what,
        "model": Path(given.model).name if given.model else None,
        "policy": "hermes:same_tokens=true",
        "budget_tokens": SHAPE_TOKENS if given.what == "shapes" else SENTENCE_TOKENS,
        "seed": given.seed,
        "scores": summed(rows, given.what) if len({one["seed"] % 2 for one in rows}) == 2 else None,
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "answers": [\n'
    text += ",\n".join(json.dumps(one) for one in rows) + "\n ]\n}\n"
    given.out.write_text(text, encoding="utf-8")


def main() -> None:
    """Watch, sum up, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["shapes", "sentences", "again"])
    parser.add_argument("--model")
    parser.add_argument("--stories", type=int, default=24)
    parser.add_argument("--questions", type=int, default=40, help="of a story of shapes")
    parser.add_argument("--seed", type=int, default=86_000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.what == "again":
        document = json.loads(given.out.read_text(encoding="utf-8"))
        document["scores"] = summed(document["answers"], document["world"])
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    else:
        watched(given)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
