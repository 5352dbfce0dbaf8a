"""A plan of a policy from another package is looked at before it moves anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames
from tests.contracts.test_policies_in_streams import everything, policy_of, same
from tests.policies.states import make_state

from hermes_stream import POLICIES, Session, load_model
from hermes_stream.errors import PolicyError
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan
from hermes_stream.policies import MemoryPolicy
from hermes_stream.policies.asked import plan_of
from hermes_stream.policies.base import PolicyFacts

LENGTHS = [9, 7, 9]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs(MemoryPolicy):
    """Answers what it is given."""

    facts: ClassVar[PolicyFacts] = PolicyFacts(summary="of a test", paper=None)
    answer: Callable[[MemoryState], Any]
    budget_tokens: int = 4

    def plan(self, state: MemoryState) -> RetentionPlan:
        return self.answer(state)


def rows(*kept: list[int]) -> RetentionPlan:
    keep = torch.tensor(kept, dtype=torch.long).reshape(len(kept), -1)
    return RetentionPlan(keep=keep, summarize=torch.zeros(len(kept), dtype=torch.bool))


def unchecked(plan: RetentionPlan, **wrong: Any) -> RetentionPlan:
    """The plan with fields that no check of types would let pass."""
    plan = replace(plan)
    for name, value in wrong.items():
        object.__setattr__(plan, name, value)
    return plan


def merging(**changed: list[list[float]]) -> RetentionPlan:
    """Layer 0 keeps two of nine tokens and merges two into one; the others keep one."""
    joins, weights = torch.full((3, 9), -1), torch.zeros(3, 9)
    joins[0, 2:4], weights[0, 2:4] = 0, 0.5
    slots = MergedSlots(slot_of_token=joins, weights=weights, source_indices=torch.tensor([[3], [-1], [-1]]))
    slots = replace(slots, **{name: torch.tensor(value) for name, value in changed.items()})
    return replace(rows([0, 1], [0, -1], [0, -1]), merge=slots)


def joining(layer: int, token: int, slot: int) -> list[list[int]]:
    joins = merging().merge.slot_of_token.clone()
    joins[layer, token] = slot
    return joins.tolist()


def weighing(token: int, weight: float) -> list[list[float]]:
    weights = merging().merge.weights.clone()
    weights[0, token] = weight
    return weights.tolist()


GOOD = rows([0, 8], [1, 6], [3, -1])
LAST = torch.tensor([True, False, False])
SOUND = {
    "good": GOOD,
    "nothing": rows([-1], [-1], [-1]),
    "no column": rows([], [], []),
    "summaries": replace(rows([0, 1, 2]), keep=rows([0, 1, 2], [1, 6, -1], [3, -1, -1]).keep, summarize=LAST),
    "merged": merging(),
    "counted": replace(GOOD, num_kept=(2, 2, 1), num_new=(0, 0, 0)),
    "shared": replace(rows([0, 6], [0, 6], [0, 6]), is_shared=True),
}
WRONG = {
    "no plan": (None, "it must return a RetentionPlan; got NoneType"),
    "no tensor": (unchecked(GOOD, keep=[[0]]), r"keep must be torch.int64 \[3, any\] on cpu; got list"),
    "floats": (
        unchecked(GOOD, keep=GOOD.keep.float()),
        r"keep must be .*; got torch.float32 \[3, 2\] on cpu",
    ),
    "flat": (unchecked(GOOD, keep=GOOD.keep[0]), r"keep must be .*; got torch.int64 \[2\]"),
    "few layers": (rows([0], [0]), r"keep must be .* \[3, any\] .*; got torch.int64 \[2, 1\]"),
    "whole numbers": (unchecked(GOOD, summarize=LAST.long()), r"summarize must be torch.bool \[3\]"),
    "behind the end": (rows([0], [7], [8]), "keep must be below .* layer 1 holds 7, got 7"),
    "below -1": (rows([0], [1], [-2]), "keep must be below .* layer 2 holds 9, got -2"),
    "padding within": (rows([0, 1], [-1, 3], [4, 5]), "keep must have its padding, -1, on the right"),
    "twice": (rows([0, 1], [3, 3], [4, 5]), "keep must ascend within a layer, each index once"),
    "falling": (rows([0, 1], [3, 2], [4, 5]), "keep must ascend within a layer"),
    "too many": (rows([*range(5)], [*range(5)], [*range(5)]), "layer 0 would hold 5 of its 9 .* may hold 4"),
    "too many of one": (
        rows([0, 1, 2, 3, -1], [*range(5)], [0, -1, -1, -1, -1]),
        "layer 1 would hold 5 of its 7",
    ),
    "too many summaries": (
        replace(rows([*range(4)], [*range(4)], [*range(4)]), summarize=LAST),
        "layer 0 would hold 5 of its 9",
    ),
    "kept by its word": (replace(GOOD, num_kept=(2, 1, 1)), r"num_kept is \(2, 1, 1\), .* have \(2, 2, 1\)"),
    "new by its word": (replace(GOOD, num_new=(0, 0, 1)), r"num_new is \(0, 0, 1\), .* have \(0, 0, 0\)"),
    "not alike": (replace(GOOD, is_shared=True), "layers keep different indices"),
    "no merge": (unchecked(GOOD, merge="mean"), "merge must be MergedSlots or None; got str"),
    "both": (replace(merging(), summarize=LAST), "merge or summarize, not both"),
    "source": (merging(source_indices=[[3], [7], [-1]]), "source_indices must be below"),
    "no such slot": (merging(slot_of_token=joining(0, 5, 1)), "slot_of_token must be -1, or a slot"),
    "slot of another": (merging(slot_of_token=joining(1, 5, 0)), "slot_of_token must be -1, or a slot"),
    "below no slot": (merging(slot_of_token=joining(0, 5, -2)), "slot_of_token must be -1, or a slot"),
    "half": (merging(weights=weighing(2, 0.1)), "weights must be finite, and sum to 1"),
    "no number": (merging(weights=weighing(8, float("nan"))), "weights must be finite"),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plan_is_taken_as_it_is(name):
    plan = SOUND[name]
    assert plan_of(Theirs(answer=lambda _: plan), make_state(LENGTHS)) is plan


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_is_refused_with_what_is_wrong(name):
    plan, message = WRONG[name]
    with pytest.raises(PolicyError, match=rf"^Theirs.plan: .*{message}.*docs/adding-a-policy.md$"):
        plan_of(Theirs(answer=lambda _: plan), make_state(LENGTHS))


def test_a_policy_that_fails_is_named():
    with pytest.raises(PolicyError, match=r"^Theirs.plan: ZeroDivisionError: division by zero; mend"):
        plan_of(Theirs(answer=lambda _: 1 / 0), make_state(LENGTHS))


def test_want_of_memory_is_not_a_policys_fault():
    def answer(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        plan_of(Theirs(answer=answer), make_state(LENGTHS))


def test_padding_is_no_token_to_join():
    joins, weights = joining(1, 8, 0), weighing(2, 0.5)
    weights[1][8] = 1.0
    plan = merging(slot_of_token=joins, weights=weights, source_indices=[[3], [6], [-1]])
    with pytest.raises(PolicyError, match="for tokens that there are"):
        plan_of(Theirs(answer=lambda _: plan), make_state(LENGTHS))


@pytest.mark.parametrize("name", ["tiny", "tiny-qwen"])
def test_a_stream_is_as_it_was_when_its_policy_plans_wrongly(name):
    frames = random_frames(30)
    wrong: list[bool] = []

    def answer(state: MemoryState) -> RetentionPlan:
        kept = torch.arange(40).expand(state.num_layers, -1)
        return replace(rows(*kept.tolist()), keep=kept.flip(1) if wrong else kept)

    session = Session(load_model(name), Theirs(answer=answer, budget_tokens=60), chunk_frames=4)
    session.observe(frames[:20])
    session.flush()
    before, wrong[:] = everything(session), [True]
    with pytest.raises(PolicyError, match="must ascend"):
        session.observe(frames[20:])
    assert same(before, everything(session))
    wrong.clear()
    session.flush()
    assert session.stats.num_frames == 24, "a chunk of four, from which on it failed, waited"
    assert session.ask("what came first?", max_new_tokens=2).text


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_of_this_package_would_pass_elsewhere(model, name):
    own = policy_of(name)
    theirs = type("Elsewhere", (type(own),), {"__slots__": (), "__module__": __name__})
    theirs = theirs(**{field.name: getattr(own, field.name) for field in fields(own) if field.init})
    sessions = [Session(model, policy, chunk_frames=4, text_tokens=64) for policy in (own, theirs)]
    for session in sessions:
        session.observe(random_frames(5 * TOKENS_PER_TEMPORAL_PATCH))
        session.flush()
    assert same(*map(everything, sessions))
