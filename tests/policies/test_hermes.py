from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from tests.policies.states import check_contract, kept_rows, make_state, states

from hermes_stream import Engine, Session
from hermes_stream.memory.novelty import novelty
from hermes_stream.memory.positions import PositionRule
from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES
from hermes_stream.policies.base import GuidancePrompts
from hermes_stream.policies.hermes import HermesPolicy

examples = settings(max_examples=60, deadline=None)
policies = st.sampled_from(
    [
        HermesPolicy.paper(),
        HermesPolicy.reference_code("llava_onevision"),
        HermesPolicy.reference_code("qwen2_5_vl"),
        HermesPolicy(summarize=False),
        HermesPolicy(tier_budget_weights=(0.7, 1.0, 1.3), protect_recent_patches=2, reindex="eager"),
        HermesPolicy(same_tokens=True, summary_place="middle"),
    ]
)


@examples
@given(policies, states, st.integers(1, 16))
def test_contract(policy: HermesPolicy, state: MemoryState, budget_tokens: int) -> None:
    policy = replace(policy, budget_tokens=budget_tokens)
    plan = policy.plan(state)
    check_contract(plan, state, policy.layer_budgets(state.num_layers))
    assert torch.equal(plan.keep, policy.plan(state).keep)


def working_scores(policy: HermesPolicy, layer: int, num_layers: int, attention: list[float]) -> list[float]:
    decay = oracles.working_value(layer, num_layers, *policy.working_decay)
    return oracles.importance(
        attention, decay, oracles.working_value(layer, num_layers, *policy.working_recency_weight)
    )


@pytest.mark.parametrize(
    "policy",
    [HermesPolicy.paper(5), HermesPolicy.reference_code("llava_onevision", 5)],
)
def test_plan_follows_the_equations(policy: HermesPolicy) -> None:
    state = make_state([9, 8, 9, 7, 9, 9, 9, 9, 9, 6])
    names = oracles.tier_names(10)
    raw, ids = [], []
    for layer, name in enumerate(names):
        length = int(state.lengths[layer])
        attention = state.attention[layer, :length].tolist()
        if name == "working":
            raw.append(working_scores(policy, layer, 10, attention))
        else:
            raw.append(oracles.importance(attention, 20.0, 1.0 if name == "sensory" else 0.0))
        ids.append(state.token_ids[layer, :length].tolist())
    strength = [{"sensory": 0.1, "working": 0.3, "long_term": 0.4}[name] for name in names]
    scores = oracles.smooth(raw, ids, strength, policy.smoothing_match, policy.smoothing_recursive)
    for layer, kept in enumerate(kept_rows(policy.plan(state))):
        none = [False] * len(scores[layer])
        assert kept == oracles.select(scores[layer], 5 - (names[layer] == "long_term"), none)


def test_long_term_layers_summarize_and_keep_one_token_less() -> None:
    plan = HermesPolicy.paper(6).plan(make_state([6] * 10))
    assert plan.summarize.tolist() == [False] * 7 + [True] * 3
    assert [len(kept) for kept in kept_rows(plan)] == [6] * 7 + [5] * 3


def test_no_summary_where_there_is_no_room_for_one() -> None:
    plan = HermesPolicy.paper(1).plan(make_state([6] * 10))
    assert not plan.summarize.any()
    assert [len(kept) for kept in kept_rows(plan)] == [1] * 10
    plan = HermesPolicy.paper(2).plan(make_state([6] * 10))
    assert plan.summarize.tolist() == [False] * 7 + [True] * 3
    assert [len(kept) for kept in kept_rows(plan)] == [2] * 7 + [1] * 3


def test_a_layer_under_its_budget_keeps_all() -> None:
    plan = HermesPolicy.paper(5).plan(make_state([9] * 9 + [3]))
    assert kept_rows(plan)[9] == [0, 1, 2]


def test_budget_smaller_than_a_frame() -> None:
    policy = HermesPolicy(budget_tokens=2, protect_recent_patches=1)
    state = make_state([20] * 10, tokens_per_temporal_patch=10)
    plan = policy.plan(state)
    check_contract(plan, state, policy.layer_budgets(10))
    assert all(min(kept) >= 10 for kept in kept_rows(plan))


def test_recent_patches_stay_whole() -> None:
    plan = HermesPolicy(budget_tokens=8, protect_recent_patches=2).plan(make_state([21] * 10))
    assert all(set(range(15, 21)) <= set(kept) for kept in kept_rows(plan))


def test_summaries_and_padding_are_not_recent() -> None:
    state = make_state([7] * 9 + [6], padding=1)
    patches, attention = state.temporal_patch_ids.clone(), state.attention.clone()
    patches[:, 0], attention[:, 0] = -1, 9.0  # an old summary that all prompts attend to
    state = replace(state, temporal_patch_ids=patches, attention=attention)
    plan = HermesPolicy(budget_tokens=6, protect_recent_patches=5, summarize=False).plan(state)
    assert kept_rows(plan)[:9] == [[1, 2, 3, 4, 5, 6]] * 9


def test_no_tokens_and_one_token() -> None:
    assert HermesPolicy.paper(3).plan(make_state([0] * 4)).keep.shape == (4, 0)
    assert kept_rows(HermesPolicy.paper(3).plan(make_state([1] * 4))) == [[0]] * 4


def test_deep_heavy_budgets() -> None:
    policy = HermesPolicy(budget_tokens=6000, tier_budget_weights=(0.7, 1.0, 1.3))
    budgets = policy.layer_budgets(36)
    assert budgets == (*(3938,) * 3, *(5625,) * 22, *(7313,) * 4, *(7312,) * 7)
    assert list(budgets) == oracles.layer_budgets([7] * 3 + [10] * 22 + [13] * 11, 6000)
    assert HermesPolicy.paper(4000).layer_budgets(28) == (4000,) * 28


def test_trigger() -> None:
    assert not HermesPolicy.paper(10).exceeds(10, 10, 5)
    assert HermesPolicy.paper(10).exceeds(11, 10, 0)
    assert HermesPolicy.reference_code("qwen2_5_vl", 10).exceeds(10, 10, 5)
    assert not HermesPolicy.reference_code("qwen2_5_vl", 10).exceeds(5, 10, 5)


def test_each_tier_reads_its_own_prompt() -> None:
    prompts = GuidancePrompts()
    guidance = HermesPolicy.paper().guidance(10, prompts, None)
    assert guidance.prompts == (f"{prompts.local_prompt}; {prompts.global_prompt}", prompts.global_prompt)
    assert guidance.prompt_of_layer == (None, 0, 0, 0, 0, 0, 0, 1, 1, 1)


def test_prompts_open_with_the_last_conversation() -> None:
    talk = "Question: Who? Answer: She"
    mixed, global_text = HermesPolicy.paper().guidance(10, GuidancePrompts(), talk).prompts
    assert global_text.startswith(f"Context summary: {talk}.")
    assert mixed.startswith(f"Find recent details related to: {talk}.")
    assert mixed.endswith(f"; {global_text}")


@pytest.mark.parametrize("reindex", ["lazy", "eager"])
def test_reindex(reindex: str) -> None:
    assert HermesPolicy(reindex=reindex).plan(make_state([3] * 4)).reindex == (reindex == "eager")


def test_layers_may_keep_the_same_tokens() -> None:
    """Layers of one budget keep the same; a smaller budget keeps the best of them."""
    policy = HermesPolicy(budget_tokens=6, same_tokens=True, summarize=False)
    rows = kept_rows(policy.plan(make_state([14] * 10)))
    assert all(row == rows[0] for row in rows)
    assert rows != kept_rows(HermesPolicy(budget_tokens=6, summarize=False).plan(make_state([14] * 10)))
    nested = kept_rows(replace(policy, tier_budget_weights=(0.5, 1.0, 1.0)).plan(make_state([14] * 10)))
    assert set(nested[0]) < set(nested[-1])


def test_a_summary_may_stand_in_the_middle_of_what_it_stands_for() -> None:
    policy = HermesPolicy(budget_tokens=5, summary_place="middle")
    state = make_state([12] * 10)
    plan, end = policy.plan(state), HermesPolicy(budget_tokens=5).plan(state)
    assert torch.equal(plan.keep, end.keep)
    assert not plan.summarize.any()
    for layer, kept in enumerate(kept_rows(plan)):
        evicted = [token for token in range(12) if token not in kept]
        sources = plan.merge.source_indices[layer].tolist()
        if not end.summarize[layer]:
            assert sources == [-1]
            continue
        assert sources == [evicted[(len(evicted) - 1) // 2]]
        assert plan.merge.slot_of_token[layer].tolist() == [0 if i in evicted else -1 for i in range(12)]
        assert plan.merge.weights[layer].sum() == pytest.approx(1)


def test_a_summary_takes_a_position_of_its_own_in_the_reference_presets_alone() -> None:
    own = PositionRule(axes="all", summary="end")
    assert HermesPolicy.reference_code("llava_onevision").position_rule == own
    assert HermesPolicy.reference_code("qwen2_5_vl").position_rule == own
    for policy in (HermesPolicy.paper(), HermesPolicy.best(), HermesPolicy(summary_place="middle")):
        assert policy.position_rule == PositionRule(axes="t", summary="newest")


def test_plan_without_attention_is_refused() -> None:
    with pytest.raises(ValueError, match=r"state\.attention is None"):
        HermesPolicy.paper().plan(replace(make_state([3]), attention=None))


def test_scores_are_multiplied_by_novelty() -> None:
    state = make_state([9] * 10)
    plain = HermesPolicy.paper().scores(state)
    new = novelty(state.raw_keys, state.grid_indices)
    assert torch.equal(HermesPolicy(novelty=2.0).scores(state), plain * new**2.0)


def test_half_of_the_budget_goes_to_the_newest_and_to_old_tokens_least_like_them() -> None:
    state = make_state([30] * 10)
    policy = HermesPolicy(budget_tokens=20, unlike_share=0.5, protect_recent_patches=1, summarize=False)
    newest = {27, 28, 29}  # one patch of three tokens
    for layer, kept in enumerate(kept_rows(policy.plan(state))):
        like = [0.0] * 30
        for i in range(30):
            place = state.grid_indices[layer, i]
            mates = [j for j in newest if state.grid_indices[layer, j] == place]
            keys = state.raw_keys[layer]
            cosines = [torch.cosine_similarity(keys[:, i], keys[:, j], dim=-1).mean().item() for j in mates]
            like[i] = sum(cosines) / len(cosines) if cosines else 0.0
        old = sorted(set(range(30)) - newest, key=lambda i: like[i])
        assert newest | set(old[: 10 - len(newest)]) <= set(kept)
        assert len(kept) == 20


def test_scores_are_averaged_over_neighbours() -> None:
    state = make_state([9] * 9 + [4])
    plain = HermesPolicy.paper().scores(state)
    averaged = HermesPolicy(averaged_tokens=3).scores(state)
    for layer, count in enumerate(state.lengths.tolist()):
        for i in range(count):
            near = plain[layer, max(i - 1, 0) : min(i + 2, count)]
            assert averaged[layer, i].item() == pytest.approx(near.mean().item(), abs=1e-6)
        assert torch.all(averaged[layer, count:] == 0)


@pytest.mark.parametrize("missing", ["raw_keys", "grid_indices"])
def test_novelty_without_keys_or_grid_indices_is_refused(missing: str) -> None:
    state = replace(make_state([3] * 10), **{missing: None})
    with pytest.raises(ValueError, match=r"novelty=1\.0 needs a state that shows raw_keys and grid_indices"):
        HermesPolicy.best().scores(state)
    assert HermesPolicy.paper().scores(state).isfinite().all()


@pytest.mark.parametrize(
    "fields",
    [
        {"budget_tokens": 0},
        {"sensory_share": 0.9},
        {"sensory_decay": -0.5},
        {"working_decay": (20.0, -0.5)},
        {"working_decay": (20.0, float("nan"))},
        {"working_recency_weight": (1.2, 0.0)},
        {"smoothing": (0.1, 0.3, -0.4)},
        {"tier_budget_weights": (0.0, 1.0, 1.0)},
        {"smoothing_match": "place"},
        {"reindex": "never"},
        {"summary_place": "start"},
        {"reindex_axes": "h"},
        {"gaps": "kept"},
        {"gaps": "scaled", "reindex_axes": "all"},
        {"unlike_share": 1.1},
        {"averaged_tokens": 2},
        {"averaged_tokens": 0},
        {"protect_recent_patches": -1},
    ],
)
def test_fields_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|at least|at most|must come"):
        HermesPolicy(**fields)


def test_the_ends_of_all_ranges_are_accepted() -> None:
    HermesPolicy(
        budget_tokens=1,
        sensory_decay=0.0,
        working_decay=(0.0, 0.0),
        working_recency_weight=(1.0, 0.0),
        smoothing=(0.0, 1.0, 0.0),
        novelty=0.0,
        protect_recent_patches=0,
    )


def test_unknown_back_end_is_refused() -> None:
    with pytest.raises(ValueError, match="backend must be one of llava_onevision, qwen2_5_vl; got 'gpt'"):
        HermesPolicy.reference_code("gpt")


PAPER = {
    "budget_tokens": 4000,
    "sensory_share": 0.1,
    "long_term_share": 0.3,
    "sensory_decay": 20.0,
    "working_decay": (20.0, 8.0),
    "working_recency_weight": (0.75, 0.15),
    "smoothing": (0.1, 0.3, 0.4),
    "smoothing_match": "identity",
    "smoothing_recursive": False,
    "same_tokens": False,
    "novelty": 0.0,
    "unlike_share": 0.0,
    "averaged_tokens": 1,
    "summarize": True,
    "summary_place": "newest",
    "tier_budget_weights": (1.0, 1.0, 1.0),
    "reindex": "lazy",
    "reindex_axes": "t",
    "gaps": "ranked",
    "protect_recent_patches": 0,
    "prompts": None,
    "guidance_forward": "true",
    "trigger_counts_prefix": False,
}


def test_presets_have_the_published_numbers() -> None:
    assert asdict(HermesPolicy.paper()) == PAPER
    released = {
        "smoothing_match": "index",
        "smoothing_recursive": True,
        "summary_place": "end",
        "reindex_axes": "all",
        "trigger_counts_prefix": True,
    }
    assert asdict(HermesPolicy.reference_code("qwen2_5_vl")) == PAPER | released
    llava = {"working_decay": (20.0, 0.5), "working_recency_weight": (1.0, 0.1)}
    assert asdict(HermesPolicy.reference_code("llava_onevision")) == PAPER | released | llava
    best = {
        "same_tokens": True,
        "novelty": 1.0,
        "unlike_share": 0.5,
        "summarize": False,
        "protect_recent_patches": 2,
    }
    assert asdict(HermesPolicy.best(4000)) == PAPER | best


def test_fields_are_the_serial_form_and_their_defaults_the_paper() -> None:
    assert HermesPolicy.paper() == HermesPolicy() == HermesPolicy(**asdict(HermesPolicy.paper()))


def test_the_best_is_the_default_and_the_paper_has_a_name_of_its_own(model) -> None:
    assert POLICIES["hermes"](budget_tokens=7) == POLICIES["hermes_best"](budget_tokens=7)
    assert POLICIES["hermes"](budget_tokens=7) == HermesPolicy.best(7)
    assert POLICIES["hermes_paper"](budget_tokens=7) == HermesPolicy.paper(7)
    for stream in (Session(model)._stream, Session(model, "hermes")._stream, Engine(model).add().stream):
        assert stream.policy == HermesPolicy.best(model.card.default_budget_tokens)


def test_an_open_budget_is_the_models_and_means_nothing_without_one(model) -> None:
    assert HermesPolicy.best().budget_tokens is None
    assert Session(model, HermesPolicy.best()).policy == HermesPolicy.best(model.card.default_budget_tokens)
    assert Session(model, HermesPolicy.best(50)).policy == HermesPolicy.best(50)
    with pytest.raises(ValueError, match="the budget is open; name budget_tokens"):
        HermesPolicy.best().plan(make_state([3] * 10))


@pytest.mark.parametrize("prompts", [("one",), ("one", ""), "two", ("one", 2)])
def test_prompts_are_two_texts(prompts):
    with pytest.raises(ValueError, match="prompts must be two texts"):
        HermesPolicy(prompts=prompts)


@pytest.mark.parametrize("averaged_tokens", [1, 3])
def test_one_layer_is_planned_for_all_that_hold_and_keep_the_same(averaged_tokens: int) -> None:
    state = make_state([30] * 10)
    ids, patches, grid = (
        one[:1].expand(10, -1).contiguous()
        for one in (state.token_ids, state.temporal_patch_ids, state.grid_indices)
    )
    state = replace(state, token_ids=ids, temporal_patch_ids=patches, grid_indices=grid, grid_size=3)
    policy = replace(HermesPolicy.best(20), same_tokens=True, averaged_tokens=averaged_tokens)
    apart, together = policy.plan(state), policy.plan(replace(state, layers_alike=True))
    assert together.is_shared
    assert not apart.is_shared
    assert torch.equal(together.keep, apart.keep)
    torch.testing.assert_close(policy.scores(replace(state, layers_alike=True)), policy.scores(state))
    uneven = replace(policy, tier_budget_weights=(1.0, 2.0, 1.0))
    assert not uneven.plan(replace(state, layers_alike=True)).is_shared


def test_a_layer_that_evicts_nothing_makes_no_summary() -> None:
    held = (6,) * 9 + (5,)
    plan = HermesPolicy.paper(6).plan(replace(make_state([*held]), num_held=held))
    assert (plan.num_kept[6:], plan.num_new[6:]) == ((6, 5, 5, 5), (0, 1, 1, 0))
