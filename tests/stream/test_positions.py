"""Where chunks stand on the axes, before and after compressions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.families import FAMILIES, pictures

from hermes_stream import FullPolicy, HermesPolicy, Session, load_model


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    family = FAMILIES["qwen2_5_vl"]
    return load_model(family.save(tmp_path_factory.mktemp("qwen")), device="cpu")


def newest_times(session: Session) -> list[int]:
    """Positions on axis t of the newest chunk's tokens, in order, each once."""
    state = session.cache.state()
    first, newest = session.cache.num_prefix_tokens, state.temporal_patch_ids[0].max()
    times = session.cache.positions(0)[0, first:][state.temporal_patch_ids[0] >= newest - 1]
    return sorted(set(times.tolist()))


@pytest.mark.parametrize("reindex", ["lazy", "eager"])
def test_after_a_compression_time_goes_on_from_the_write_clock(qwen, reindex):
    rate = qwen.decoder.config.rope_parameters and 2  # tokens_per_second of the random checkpoint
    policy = HermesPolicy(budget_tokens=60, reindex=reindex, protect_recent_patches=2)
    session = Session(qwen, policy, chunk_frames=4)
    shown = pictures(40, fps=1.0)
    session.observe(shown[:36])
    clock = session.cache.next_position
    assert session.stats.num_compressions > 3
    memory = session._stream.memory
    memory._budget = replace(
        memory._budget, layers=(10**6,) * len(memory._budget.layers)
    )  # no compression now
    session.observe(shown[36:])
    # frames 36 to 39 are two temporal patches, at 36 and 38 s; the newest before began at 34 s
    assert newest_times(session) == [clock - 1 + 2 * rate, clock - 1 + 4 * rate]


def test_before_any_compression_time_follows_the_frames(qwen):
    session = Session(qwen, FullPolicy(), chunk_frames=4)
    session.observe(pictures(8, fps=1.0))
    prefix = session.cache.num_prefix_tokens
    assert newest_times(session) == [prefix + 4 * 2, prefix + 6 * 2]
