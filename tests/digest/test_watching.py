"""A video is watched once, and summed up."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_stream import Session, load_model
from hermes_stream.digest.newness import content_newness
from hermes_stream.digest.values import Chapter
from hermes_stream.digest.watching import (
    DigestChoices,
    DigestMaking,
    digest_video,
    open_tags,
    summary_of_chapters,
)
from hermes_stream.policies import HermesPolicy
from hermes_stream.synthetic.world import Pace, generate_world
from hermes_stream.video.jpeg import decode_jpeg

SECONDS = 48
CALM = Pace(stay_seconds=(6, 9), entry_seconds=(10, 14), quiet_share=0.0, quiet_seconds=(0, 0))


class Shown:
    start_seconds = 0.0

    def __init__(self, world) -> None:
        self._world = world

    def __iter__(self):
        return self._world.frames(1.0)


@pytest.fixture(scope="module")
def watched():
    world = generate_world(4, SECONDS, pace=CALM)
    thing = str(world.appearances[0].thing)
    session = Session(load_model("tiny"), fps=1, chunk_frames=1, guidance_from_questions=False)
    choices = DigestChoices(min_chapter_seconds=4, tags=(thing,), is_there="was there a {tag}?")
    told: list[float] = []
    digest = digest_video(session, Shown(world), "world", choices, on_frame=told.append)
    return world, thing, digest, told


def test_chapters_follow_one_another_and_begin_where_things_enter(watched):
    world, _, digest, told = watched
    assert told == list(range(SECONDS))
    chapters = digest.chapters
    assert chapters[0].start_seconds == 0
    assert chapters[-1].end_seconds == SECONDS
    assert all(a.end_seconds == b.start_seconds for a, b in pairwise(chapters))
    entered = {one.enters_seconds for one in world.appearances}
    begun = {one.start_seconds for one in chapters[1:]}
    assert len(begun) >= 3
    # one may begin where nothing enters, as at 38 s here
    assert len(begun - entered) <= 1
    assert len(begun & entered) >= 3


def test_each_chapter_has_words_and_a_picture_of_their_moment(watched):
    _, _, digest, _ = watched
    for one in digest.chapters:
        assert one.text
        assert one.start_seconds <= one.text_seconds <= one.start_seconds + 1
        assert one.picture.stream_seconds == one.text_seconds
        assert decode_jpeg(one.picture.jpeg).shape == (144, 144, 3)
    assert digest.summary.made_from == "chapters"
    assert len(digest.newness) == SECONDS


def test_a_tag_has_the_time_from_which_it_was_there(watched):
    world, thing, digest, _ = watched
    first = world.appearances[0].enters_seconds
    (tag,) = digest.tags
    assert tag.text == thing
    assert abs(tag.spans[0][0] - first) <= 2
    assert digest.events[0].kind == "tag_raised"
    assert digest.counts["tag_raised"] == len(tag.spans)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_chapter_seconds": 0},
        {"max_chapters": 0},
        {"tags": ("a", "a")},
        {"tags": (" ",)},
        {"is_there": "is it?"},
        {"newest_seconds": 0},
        {"tags": tuple(map(str, range(65)))},
    ],
)
def test_choices_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"min_chapter|max_chapters|tag|newest_seconds must be above 0"):
        DigestChoices(**wrong)


@pytest.mark.parametrize(
    ("chosen", "chunk_frames", "newest"),
    [({}, 1, 8.0), ({}, 12, 12.0), ({"newest_seconds": 4.0}, 2, 4.0), ({"newest_seconds": None}, 1, None)],
)
def test_tags_are_asked_of_the_newest_seconds(chosen, chunk_frames, newest):
    session = Session(load_model("tiny"), fps=1, chunk_frames=chunk_frames)
    making = DigestMaking(session=session, choices=DigestChoices(tags=("red circle",), **chosen))
    (watch,) = making._watches.values()
    assert watch.rules.newest_seconds == newest
    assert watch.rules.question == "is there a red circle now?"


def test_newness_is_that_of_what_came_against_all_that_is_remembered(model):
    session = Session(model, HermesPolicy.paper(40), chunk_frames=4)
    session.observe(random_frames(26))
    session.flush()
    cache, layer = session.cache, model.layout.num_layers // 2
    keys = cache.keys(layer)[:, cache.num_prefix_tokens :].transpose(0, 1).flatten(1)
    seconds = cache.state().pts_seconds[layer, : len(keys)]
    new, known = keys[seconds > 22.0], keys[seconds <= 22.0]
    nearest = torch.cosine_similarity(new[:, None], known[None], dim=-1).amax(dim=1)
    assert content_newness(cache, 22.0) == pytest.approx(float((1 - nearest).mean()), rel=1e-4)
    assert content_newness(cache, 25.0) == content_newness(cache, -1.0) == content_newness(cache, None) == 1.0


def test_what_is_described_is_kept_while_it_may_begin_a_chapter():
    session = Session(load_model("tiny"), fps=1, chunk_frames=2, guidance_from_questions=False)
    making = DigestMaking(session=session, choices=DigestChoices(max_chapters=1))
    for frame in islice(generate_world(4, 3 * SECONDS, pace=CALM).frames(1.0), 3 * SECONDS - 1):
        making.take(frame)
    assert len(making.newness) == 3 * SECONDS // 2 - 1
    assert 4 <= len(making._described) <= 8
    assert making.finish("world").chapters[0].text_seconds == 1
    assert session.stats.num_pending_frames == 0


def test_without_frames_there_is_nothing_to_sum_up():
    session = Session(load_model("tiny"), fps=1, chunk_frames=1)
    with pytest.raises(ValueError, match="no frame came"):
        digest_video(session, Shown(generate_world(1, 0.1)).__class__(_Empty()), "nothing")


class _Empty:
    def frames(self, _):
        return iter(())


def test_short_descriptions_are_tags_and_repeats_are_said_once():
    def chapter(k, text):
        return Chapter(start_seconds=k, end_seconds=k + 1, text=text)

    chapters = [
        chapter(0, "A dog."),
        chapter(1, "a dog"),
        chapter(2, None),
        chapter(3, "a long text of words"),
    ]
    (tag,) = open_tags(chapters)
    assert (tag.text, tag.spans) == ("a dog", ((0, 1), (1, 2)))
    summary = summary_of_chapters([chapter(0, "dog."), chapter(1, "dog"), chapter(2, "cat")])
    assert summary.text == "dog; cat."
    assert summary_of_chapters([chapter(0, None)]) is None
