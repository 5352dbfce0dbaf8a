"""Threads: cameras and people who ask share sessions, and the sessions share a model.

No call may fail, and every answer must be the one that a single thread gets when it does the same in the
order in which the session did it. Exits 1 where that was not so.

    python -m hermes_lab.stress.threads --threads 8 --seconds 600 --seed 0 --out results/stress_threads.json
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

import numpy as np

from hermes_lab.stress.record import write_record
from hermes_stream.models import VideoModel, load_model
from hermes_stream.policies import HermesPolicy, MemoryPolicy, RecentNPolicy, RekvPolicy
from hermes_stream.stream import Answer, Session
from hermes_stream.stream.work import Work
from hermes_stream.video.frame import Frame

Kind = Literal["ask", "logits", "flush"]
CHUNK_FRAMES = 4
QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
OPTIONS = ("a circle", "a square", "a star")
POLICIES: tuple[MemoryPolicy, ...] = (
    HermesPolicy(budget_tokens=60, guidance_forward="embeddings"),
    HermesPolicy.paper(60),
    RekvPolicy(budget_tokens=60),
    RecentNPolicy(budget_tokens=40),
)
_BOUT_SECONDS = 30.0
_NEW_TOKENS = 5
_SIDE = 64
_IMAGES = (
    np.random.default_rng(0)
    .integers(0, 256, (64, 4, 4, 3), dtype=np.uint8)
    .repeat(_SIDE // 4, axis=1)
    .repeat(_SIDE // 4, axis=2)
)


def frame(index: int) -> Frame:
    """Return one frame of the stream that every camera shows."""
    return Frame(pts_seconds=index / 2, image=_IMAGES[index % len(_IMAGES)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One moment at which the session folded in what waited.

    Attributes:
        kind: of the reading.
        num_frames: that the stream had taken by then.
        answer: to the question; None where something else was read.
        options: of the question, if any.
        text_tokens: room that logits wanted behind the frames.
    """

    kind: Kind
    num_frames: int
    answer: Answer | None = None
    options: Sequence[str] | None = None
    text_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class Bout:
    """One session under several threads, for a while.

    Attributes:
        model: shared with other sessions.
        policy: what the memory keeps.
        journal: what the session did, in its own order.
        errors: that any call raised.
        calls: how often each kind of call was made.
    """

    model: VideoModel
    policy: MemoryPolicy
    journal: list[Entry] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def _session(self) -> Session:
        return Session(self.model, self.policy, chunk_frames=CHUNK_FRAMES, defers_compression=True)

    def begin(self) -> Session:
        """Open the session; its journal is written where the lock is held, so that the order is its own."""
        session = self._session()
        stream = session._stream
        prepare, ask, fold = stream.prepare, stream.ask, stream.fold

        def note(kind: Kind, **what: Any) -> None:
            self.journal.append(Entry(kind=kind, num_frames=stream.intake.num_accepted, **what))

        def noting_prepare(num_frames: int | None = None, text_tokens: int | None = None) -> Work[Any]:
            if num_frames is None:  # a question was noted when it was asked
                note("logits", text_tokens=text_tokens)
            return prepare(num_frames, text_tokens)

        def noting_fold(max_frames: int | None = None, text_tokens: int | None = None) -> Work[None]:
            if max_frames is None and not stream.has_full_chunk:
                note("flush")
            return fold(max_frames, text_tokens)

        def noting_ask(text: str, options: Sequence[str] | None, sampling: Any) -> tuple[Answer, Work[None]]:
            answer, work = ask(text, options, sampling)
            note("ask", answer=answer, options=options)
            return answer, work

        noting = {"prepare": noting_prepare, "ask": noting_ask, "fold": noting_fold}
        for name, function in noting.items():
            setattr(stream, name, function)
        session.observe(frame(0))
        return session

    def film(self, session: Session, over: Event) -> None:
        """Observe frames until it is over."""
        index = 1
        while not over.is_set():
            self._attempt("observe", lambda: session.observe(frame(index)))  # noqa: B023 - called at once
            index += 1
            time.sleep(0)

    def question(self, session: Session, over: Event, rng: random.Random) -> None:
        """Ask in all ways until it is over."""
        ways: dict[str, Callable[[Answer], object]] = {
            "read": lambda answer: answer.text,
            "iterate": list,
            "close": Answer.close,
            "read a piece and close": _read_a_piece,
            "leave open": lambda _: None,
            "iterate asynchronously": lambda answer: asyncio.run(_read(answer)),
        }
        while not over.is_set():
            text, options = rng.choice(QUESTIONS), rng.choice((None, None, OPTIONS))
            draw = rng.random()
            if draw < 0.1:
                self._attempt("stats", lambda: session.stats)
            elif draw < 0.2:
                self._attempt("logits", lambda: session.next_token_logits(text))  # noqa: B023
            elif draw < 0.3:
                self._attempt("flush", session.flush)
            else:
                way = rng.choice(tuple(ways))
                self._attempt(
                    way,
                    lambda: ways[way](session.ask(text, options, max_new_tokens=_NEW_TOKENS)),  # noqa: B023
                )

    def _attempt(self, kind: str, call: Callable[[], object]) -> None:
        self.calls[kind] += 1
        try:
            call()
        except Exception as error:
            self.errors.append(f"{kind}: {type(error).__name__}: {error}")

    def num_wrong(self) -> int:
        """Do the same in one thread; return how many answers are not those."""
        session, wrong, num_frames = self._session(), 0, 0
        for entry in self.journal:
            session.observe(frame(index) for index in range(num_frames, entry.num_frames))
            num_frames = entry.num_frames
            if entry.kind == "flush":
                session.flush()
            elif entry.kind == "logits":
                session._executor.run(session._stream.prepare(text_tokens=entry.text_tokens))
            if entry.answer is None:
                continue
            given = entry.answer
            answer = session.ask(given.question, entry.options, max_new_tokens=_NEW_TOKENS)
            if given.finish_reason != "abandoned":
                assert answer.text is not None
            else:
                while len(answer.token_ids) < len(given.token_ids) and next(answer, None) is not None:
                    pass
                answer.close()
            wrong += answer.token_ids[: len(given.token_ids)] != given.token_ids
            wrong += (answer.finish_reason, answer.option_index) != (given.finish_reason, given.option_index)
        return wrong


def _read_a_piece(answer: Answer) -> None:
    next(answer, None)
    answer.close()


async def _read(answer: Answer) -> list[str]:
    return [piece async for piece in answer]


def run_bouts(
    model: VideoModel, *, num_threads: int, seconds: float, seed: int, bout_seconds: float = _BOUT_SECONDS
) -> dict[str, Any]:
    """Let threads at sessions, bout after bout.

    Args:
        model: shared by all sessions.
        num_threads: of all sessions together, at least 3; each has one that films, the others ask.
        seconds: that the threads run, checking them not counted.
        seed: of what is asked, and how.
        bout_seconds: after which the sessions are new.

    Returns:
        Numbers for the record.
    """
    num_sessions = max(1, num_threads // 4)
    calls: Counter[str] = Counter()
    errors: list[str] = []
    num_bouts = num_wrong = num_answers = 0
    ran_seconds = 0.0
    while ran_seconds < seconds:
        kinds = [POLICIES[(num_bouts * num_sessions + k) % len(POLICIES)] for k in range(num_sessions)]
        bouts = [Bout(model=model, policy=policy) for policy in kinds]
        began = time.perf_counter()
        _run(bouts, num_threads, min(bout_seconds, seconds - ran_seconds), f"{seed} {num_bouts}")
        ran_seconds += time.perf_counter() - began
        num_bouts += 1
        for bout in bouts:
            calls += bout.calls
            errors += bout.errors
            num_answers += sum(entry.answer is not None for entry in bout.journal)
            num_wrong += bout.num_wrong()
    return {
        "num_threads": num_threads,
        "num_sessions": num_bouts * num_sessions,
        "seconds": ran_seconds,
        "calls": dict(calls),
        "num_answers": num_answers,
        "num_wrong": num_wrong,
        "num_errors": len(errors),
        "errors": errors[:10],
    }


def _run(bouts: Sequence[Bout], num_threads: int, seconds: float, seed: str) -> None:
    over, threads = Event(), []
    sessions = [bout.begin() for bout in bouts]
    for number in range(num_threads):
        bout, session = bouts[number % len(bouts)], sessions[number % len(bouts)]
        if number < len(bouts):
            threads.append(Thread(target=bout.film, args=(session, over)))
        else:
            rng = random.Random(f"{seed} {number}")
            threads.append(Thread(target=bout.question, args=(session, over, rng)))
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()
    for session in sessions:
        session.flush()  # finishes what was left open


def main() -> None:
    """Run bouts with the embedded model; exit 1 if a call failed or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = load_model("tiny")
    numbers = run_bouts(model, num_threads=given.threads, seconds=given.seconds, seed=given.seed)
    write_record(given.out, "threads", {"seed": given.seed, **numbers})
    raise SystemExit(1 if numbers["num_errors"] or numbers["num_wrong"] else 0)


if __name__ == "__main__":
    main()
