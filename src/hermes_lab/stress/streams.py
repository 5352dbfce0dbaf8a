"""Isolation: many streams on one engine, one of which fails at each place of its work in turn.

Every other stream must answer, and remember, bit for bit what it would alone; ``step`` must never raise; and
the one that fails must be told, and go on when the fault is over. Where shared forwards round what a stream
remembers (``ROUNDED``), a control without a fault tells by how much, and a fault may not make that ten times
as much; answers, and which tokens are kept, must be the same all the same. Exits 1 where that was not so, or
where a fault never happened.

    python -m hermes_lab.stress.streams --streams 64 --seed 0 --out results/stress_streams.json
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hermes_lab.stress.faults import PLACES, Fault, InjectedError, Place, injected
from hermes_lab.stress.record import write_record
from hermes_stream.errors import VideoError
from hermes_stream.models import VideoModel, load_model
from hermes_stream.policies import (
    HermesPolicy,
    LiveVlmPolicy,
    MemoryPolicy,
    RecentNPolicy,
    RekvPolicy,
    StreamMemPolicy,
    WindowPolicy,
)
from hermes_stream.stream import Answer, Session, StreamHandle
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.stream import Stream
from hermes_stream.video.frame import Frame

CHUNK_FRAMES = 4
QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
TIMES = (1, 2, 6, None)
# Its prototypes are weighted by the attention of a prompt of a few tokens. In which order a product of so few
# rows is summed depends on the other rows of the forward, with or without a fault; so do its last bits.
ROUNDED: tuple[type[MemoryPolicy], ...] = (StreamMemPolicy,)
_MAX_TIMES_CONTROL = 10.0
_NUM_CONTROLS = 3
_SIDE = 64
_MAX_TRIES = 50


def policies(budget_tokens: int = 40) -> tuple[MemoryPolicy, ...]:
    """Return memories of every kind."""
    return (
        HermesPolicy.paper(budget_tokens),
        HermesPolicy.best(budget_tokens),
        HermesPolicy(budget_tokens=budget_tokens, guidance_forward="embeddings"),
        WindowPolicy(budget_tokens=budget_tokens),
        RecentNPolicy(budget_tokens=budget_tokens),
        RekvPolicy(budget_tokens=budget_tokens),
        StreamMemPolicy(budget_tokens=budget_tokens),
        LiveVlmPolicy(budget_tokens=budget_tokens),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What comes to one stream: frames and questions, in order.

    Attributes:
        policy: what its memory keeps.
        rounds: of each round the frames, and the question that follows them or None.
    """

    policy: MemoryPolicy
    rounds: tuple[tuple[tuple[Frame, ...], str | None], ...]

    @classmethod
    def draw(cls, seed: int, policy: MemoryPolicy, num_rounds: int) -> Script:
        """Draw frames of random blocks of colour, up to a chunk and a half a round, and questions."""
        rng, pts_seconds, rounds = np.random.default_rng(seed), 0.0, []
        for number in range(num_rounds):
            frames = []
            for _ in range(rng.integers(1, CHUNK_FRAMES + 3)):
                pts_seconds += float(rng.uniform(0.2, 2.0))
                blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                image = blocks.repeat(_SIDE // 4, axis=0).repeat(_SIDE // 4, axis=1)
                frames.append(Frame(pts_seconds=pts_seconds, image=image))
            asks = number in (0, num_rounds - 1) or rng.random() < 0.4
            question = QUESTIONS[rng.integers(len(QUESTIONS))] if asks else None
            rounds.append((tuple(frames), question))
        return cls(policy=policy, rounds=tuple(rounds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stream answered, and what it remembers.

    Attributes:
        answers: tokens of each.
        contents: keys and values of each layer, copied.
        records: where they stand and what they stand for, and what the stream has counted.
        has_planned: whether its policy was asked for a plan while a fault would last; alone only.
    """

    answers: list[list[int]]
    contents: list[Tensor]
    records: list[Any]
    has_planned: bool = False

    @classmethod
    def of(cls, answers: Sequence[Answer], stream: Stream) -> Outcome:
        """Read the answers to their ends, and the memory."""
        given = []
        for answer in answers:
            assert answer.text is not None
            given.append(answer.token_ids)
        cache, stats = stream.cache, stream.stats
        contents: list[Tensor] = []
        records: list[Any] = [cache.next_position, stats.num_frames, stats.num_pending_frames]
        records += [stats.num_compressions, stats.num_archived_tokens, stats.num_questions]
        for layer in range(cache.layout.num_layers):
            contents += [cache.keys(layer).clone(), cache.values(layer).clone()]
            records += [cache.positions(layer).tolist(), cache.temporal_patch_ids(layer).tolist()]
        return cls(answers=given, contents=contents, records=records)

    def difference(self, other: Outcome) -> float:
        """Return by how much keys and values differ at most; infinite where anything else differs."""
        if self.answers != other.answers or self.records != other.records:
            return math.inf
        pairs = zip(self.contents, other.contents, strict=True)
        return max(float((own - others).abs().max()) for own, others in pairs)


def alone(model: VideoModel, script: Script) -> Outcome:
    """Return what a stream does by itself."""
    session, answers = Session(model, script.policy, chunk_frames=CHUNK_FRAMES, defers_compression=True), []
    for number, (frames, question) in enumerate(script.rounds):
        if number == len(script.rounds) - 2:
            has_planned = session.stats.num_compressions > 0
        session.observe(frames)
        if question is not None:
            answers.append(session.ask(question, max_new_tokens=4))
    return replace(Outcome.of(answers, session._stream), has_planned=has_planned)


@dataclass(slots=True, kw_only=True)
class Victim:
    """The stream that fails, seen by whoever uses it.

    Attributes:
        handle: the stream.
        errors: what was raised, told once each.
        answers: to its questions, failed ones included.
    """

    handle: StreamHandle
    errors: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def observe(self, frames: Sequence[Frame]) -> None:
        """Observe frames, each again until it is taken."""
        for frame in frames:
            for _ in range(_MAX_TRIES):
                try:
                    self.handle.observe(frame)
                    break
                except InjectedError as error:
                    self.errors.append(str(error))
            else:
                raise AssertionError("a frame was refused for ever")

    def ask(self, question: str) -> None:
        """Ask, again until the question is taken."""
        for _ in range(_MAX_TRIES):
            try:
                self.answers.append(self.handle.ask(question, max_new_tokens=4))
                return
            except InjectedError as error:
                self.errors.append(str(error))
            except VideoError:  # all frames so far were left out
                return
        raise AssertionError("a question was refused for ever")

    def read(self) -> int:
        """Read the answers; return how many of them failed. None may read as empty for that."""
        num_failed = 0
        for answer in self.answers:
            try:
                assert answer.text is not None
                assert answer.failure is None, "a failed answer was read as if it were whole"
            except (InjectedError, VideoError):
                num_failed += 1
                assert answer.finish_reason == "failed"
        return num_failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Streams together, one of them failing.

    Attributes:
        model: runs all of them.
        scripts: what comes to each.
        expected: what each does alone.
    """

    model: VideoModel
    scripts: Sequence[Script]
    expected: Sequence[Outcome]

    def control(self, rng: random.Random) -> float:
        """Play all scripts without a fault; return by how much those that are rounded differ from alone.

        Raises:
            AssertionError: another one differs at all.
        """
        engine, handles, answers = self._opened()
        for number in range(len(self.scripts[0].rounds)):
            self._play(number, handles, None, answers)
            for _ in range(rng.randrange(1, 30)):
                engine.step()
        engine.run()
        exact, rounded = self._differences(handles, answers, None)
        assert not any(exact), "streams that share forwards differ from what they are alone, without a fault"
        return max(rounded, default=0.0)

    def run(
        self, fault: Fault, culprit_index: int, rng: random.Random, *, control: float = 0.0
    ) -> dict[str, Any]:
        """Play all scripts; the fault lasts until two rounds before the end.

        Args:
            fault: what happens.
            culprit_index: to which stream.
            rng: decides how many steps are done between rounds.
            control: by how much those that are rounded differ without a fault.

        Returns:
            How many others were right, bit for bit, and what the one that failed was told.
        """
        engine, handles, answers = self._opened()
        victim = Victim(handle=handles[culprit_index])
        num_rounds = len(self.scripts[0].rounds)
        with injected(fault, engine, victim.handle):
            for number in range(num_rounds - 2):
                self._play(number, handles, victim, answers)
                for _ in range(rng.randrange(1, 30)):
                    engine.step()
            engine.run()
        for number in range(num_rounds - 2, num_rounds):
            self._play(number, handles, victim, answers)
        engine.run()
        exact, rounded = self._differences(handles, answers, victim.handle)
        num_failed = victim.read()
        stats = victim.handle.stats
        goes_on = victim.answers[-1].failure is None and stats.num_pending_frames < CHUNK_FRAMES
        return {
            "num_others": len(exact) + len(rounded),
            "num_bitwise": exact.count(0) + rounded.count(0),
            "num_right": exact.count(0) + sum(one <= _MAX_TIMES_CONTROL * control for one in rounded),
            "max_rounding": finite(max(rounded, default=0.0)),
            "num_raised": fault.num_raised,
            "num_told": len(victim.errors) + num_failed,
            "num_failed_frames": stats.num_failed_frames,
            "goes_on": goes_on,
            "num_steps": engine.num_steps,
        }

    def _opened(self) -> tuple[Engine, list[StreamHandle], list[list[Answer]]]:
        engine = Engine(self.model, step_tokens=400, memory_bytes=2**40)
        handles = [
            engine.add(
                script.policy,
                chunk_frames=CHUNK_FRAMES,
                guidance_from_questions=True,
                defers_compression=True,
            )
            for script in self.scripts
        ]
        return engine, handles, [[] for _ in handles]

    def _differences(
        self, handles: Sequence[StreamHandle], answers: list[list[Answer]], culprit: StreamHandle | None
    ) -> tuple[list[float], list[float]]:
        """Return how streams differ from what they are alone: those that must not, and those rounded."""
        exact: list[float] = []
        rounded: list[float] = []
        for handle, given, expected in zip(handles, answers, self.expected, strict=True):
            if handle is not culprit:
                difference = Outcome.of(given, handle.stream).difference(expected)
                (rounded if isinstance(handle.stream.policy, ROUNDED) else exact).append(difference)
        return exact, rounded

    def _play(
        self,
        number: int,
        handles: Sequence[StreamHandle],
        victim: Victim | None,
        answers: list[list[Answer]],
    ) -> None:
        for handle, script, given in zip(handles, self.scripts, answers, strict=True):
            frames, question = script.rounds[number]
            if victim is not None and handle is victim.handle:
                victim.observe(frames)
                if question is not None:
                    victim.ask(question)
                continue
            handle.observe(frames)
            if question is not None:
                given.append(handle.ask(question, max_new_tokens=4))


def trials(
    model: VideoModel,
    num_streams: int,
    *,
    seed: int,
    num_rounds: int = 8,
    times: Sequence[int | None] = TIMES,
) -> Iterator[dict[str, Any]]:
    """Yield what happened with a fault at each place, that often.

    Args:
        model: runs the streams.
        num_streams: at least 2.
        seed: of frames, questions, steps and which stream fails.
        num_rounds: of frames, at least 3.
        times: how often a fault happens; None until two rounds before the end.
    """
    rng, kinds = random.Random(seed), policies()
    scripts = [
        Script.draw(rng.randrange(2**32), kinds[index % len(kinds)], num_rounds)
        for index in range(num_streams)
    ]
    trial = Trial(model=model, scripts=scripts, expected=[alone(model, script) for script in scripts])
    control = max(trial.control(rng) for _ in range(_NUM_CONTROLS))
    for place in PLACES:
        able = able_to_fail(trial.expected, place)
        for count in times:
            culprit = rng.choice(able)
            found = trial.run(Fault(place, count), culprit, rng, control=control)
            policy = type(scripts[culprit].policy).__name__
            head = {"model": model.card.name, "place": place, "times": count, "policy": policy}
            yield {**head, "control_rounding": control, **found, "is_right": is_right(found)}


def able_to_fail(expected: Sequence[Outcome], place: Place) -> list[int]:
    """Return which streams do what is to fail; a memory that is never over its budget makes no plan.

    Raises:
        ValueError: none does.
    """
    able = [index for index, one in enumerate(expected) if place != "plan" or one.has_planned]
    if not able:
        raise ValueError("no memory is compressed while the fault lasts; take more rounds")
    return able


def is_right(found: Mapping[str, Any]) -> bool:
    """Tell whether all others were right; a fault that never happened has shown nothing."""
    return found["num_raised"] > 0 and found["num_right"] == found["num_others"] and found["goes_on"]


def finite(number: float) -> float | None:
    """Return a number as JSON has it: None for what is infinite."""
    return number if math.isfinite(number) else None


def main() -> None:
    """Run all trials with both embedded models; exit 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)  # with several, a product's sums depend on how many rows share it
    began = time.perf_counter()
    rows = [
        row
        for name in ("tiny", "tiny-qwen")
        for row in trials(load_model(name), given.streams, seed=given.seed, num_rounds=given.rounds)
    ]
    num_wrong = sum(not row["is_right"] for row in rows)
    numbers = {"seed": given.seed, "num_streams": given.streams, "num_rounds": given.rounds}
    took = {"num_trials": len(rows), "num_wrong": num_wrong, "seconds": time.perf_counter() - began}
    write_record(given.out, "streams", {**numbers, **took, "trials": rows})
    raise SystemExit(1 if num_wrong else 0)


if __name__ == "__main__":
    main()
