"""The bootstrap against plain loops, and a case whose interval is known."""

from __future__ import annotations

import numpy as np
import pytest

from hermes_lab.evaluation.bootstrap import Bootstrap, unpaired_difference

VIDEOS = np.array(["a", "a", "a", "b", "c", "c", "d", "d", "d", "d"])
RIGHT = np.array([1, 0, 1, 1, 0, 0, 1, 1, 1, 0], dtype=float)
OTHER = np.array([0, 0, 1, 1, 1, 0, 0, 0, 1, 0], dtype=float)


def loop(values, chosen, *, seed, num_resamples):
    """Draw videos with the same dice, gather their questions one by one."""
    names = sorted(set(VIDEOS))
    dice = np.random.default_rng(seed)
    means = []
    for counts in dice.multinomial(len(names), [1 / len(names)] * len(names), size=num_resamples):
        drawn = []
        for name, count in zip(names, counts, strict=True):
            own = [v for v, video, use in zip(values, VIDEOS, chosen, strict=True) if video == name and use]
            drawn += own * count
        if drawn:
            means.append(sum(drawn) / len(drawn))
    return np.percentile(means, (2.5, 97.5))


@pytest.mark.parametrize("chosen", [np.ones(10, dtype=bool), np.arange(10) % 2 == 0, np.arange(10) < 4])
def test_a_mean_is_that_of_plain_loops(chosen):
    found = Bootstrap(VIDEOS, seed=3, num_resamples=300).mean(RIGHT, chosen)
    assert found.value == RIGHT[chosen].mean()
    np.testing.assert_allclose((found.low, found.high), loop(RIGHT, chosen, seed=3, num_resamples=300))


def test_a_difference_is_that_of_plain_loops():
    found = Bootstrap(VIDEOS, seed=4, num_resamples=300).difference(RIGHT, OTHER)
    assert found.value == pytest.approx(RIGHT.mean() - OTHER.mean())
    every = np.ones(10, dtype=bool)
    np.testing.assert_allclose(
        (found.low, found.high), loop(RIGHT - OTHER, every, seed=4, num_resamples=300), atol=1e-12
    )


def test_videos_are_drawn_and_not_questions():
    """All questions of a video alike: as uncertain as one question a video, however many are asked."""
    right = np.random.default_rng(0).random(400) < 0.7
    few = Bootstrap(np.arange(400), seed=0).mean(right)
    many = Bootstrap(np.repeat(np.arange(400), 25), seed=0).mean(np.repeat(right, 25))
    assert (few.low, few.high) == pytest.approx((many.low, many.high))
    width = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert few.high - few.low == pytest.approx(width, rel=0.08)


def test_pairing_drops_what_makes_a_video_hard_for_both():
    easy = np.repeat(np.random.default_rng(1).random(60) < 0.5, 4).astype(float)
    better = easy.copy()
    better[::20] = 1
    bootstrap = Bootstrap(np.repeat(np.arange(60), 4), seed=0)
    paired = bootstrap.difference(better, easy)
    apart = unpaired_difference(
        (better, np.repeat(np.arange(60), 4)), (easy, np.repeat(np.arange(60), 4)), seed=0
    )
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.3 * (apart.high - apart.low)
    assert apart.low < 0 < paired.low


def test_no_difference_has_no_width():
    found = Bootstrap(VIDEOS, seed=0).difference(RIGHT, RIGHT)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_same_seed_same_interval():
    first = Bootstrap(VIDEOS, seed=1, num_resamples=37).mean(RIGHT)
    assert first == Bootstrap(VIDEOS, seed=1, num_resamples=37).mean(RIGHT)
    assert first != Bootstrap(VIDEOS, seed=2, num_resamples=37).mean(RIGHT)


def test_one_video_has_no_interval():
    found = Bootstrap(["a", "a"], seed=0).mean([1, 0])
    assert (found.value, found.low, found.high) == (0.5, None, None)
    alone = Bootstrap(VIDEOS, seed=0).mean(RIGHT, VIDEOS == "d")
    assert (alone.low, alone.high) == (None, None)
    apart = unpaired_difference(([1, 0], ["a", "a"]), (RIGHT, VIDEOS), seed=0)
    assert (apart.low, apart.high) == (None, None)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="no questions"):
        Bootstrap([], seed=0)
    with pytest.raises(ValueError, match="10 questions need as many values"):
        Bootstrap(VIDEOS, seed=0).mean([1.0])
    with pytest.raises(ValueError, match="no question is chosen"):
        Bootstrap(VIDEOS, seed=0).mean(RIGHT, np.zeros(10, dtype=bool))
