"""Standing questions about sentences: what is watched for, and that memories side by side are as alone."""

from __future__ import annotations

import pytest
import torch

from hermes_lab.sentences.reader import SentenceReader
from hermes_lab.sentences.standing import WORDINGS, look_at, sought_in
from hermes_lab.sentences.stories import put_frames, tell_story
from hermes_stream.policies import FullPolicy, HermesPolicy, RecentNPolicy
from hermes_stream.stream.scoring import ScoredQuestion

SENTENCES = ("red circle", "blue square", "green star", "what came first?", "blue circle", "red star")
POLICIES = {
    "full": FullPolicy(),
    "hermes": HermesPolicy.paper(20),
    "recent_n": RecentNPolicy(budget_tokens=18),
}


@pytest.fixture(scope="module")
def reader(model) -> SentenceReader:
    return SentenceReader(model, padding=".")


@pytest.fixture(scope="module")
def questions(reader) -> list[ScoredQuestion]:
    words = [reader.chat.encode(word) for word in ("red", "blue", "green")]
    answers = (((words[0][0],),), ((words[1][0],),))
    texts = ("what came first?", "what is", "what came before the red")
    return [ScoredQuestion(token_ids=tuple(reader.chat.encode(text)), answers=answers) for text in texts]


@pytest.mark.parametrize("seed", range(12))
def test_half_of_what_is_watched_for_comes_and_the_other_half_is_like_it(seed):
    story = tell_story(seed, 24)
    sought = sought_in(story, num_each=4, first_frame=8)
    assert sought == sought_in(story, num_each=4, first_frame=8)
    coming = [one for one in sought if one.came_frame is not None]
    never = [one for one in sought if one.came_frame is None]
    assert 0 < len(coming) == len(never) <= 4
    assert len({one.thing for one in sought}) == len(sought)
    for one in coming:
        assert one.came_frame >= 8
        assert f" {one.thing} " in story.sentences[one.came_frame]
    for one in never:
        assert one.thing not in " ".join(story.sentences)
        assert any(set(one.thing.split()) & set(other.thing.split()) for other in coming)


def test_things_are_put_in_the_frames_that_say_so():
    story = tell_story(3, 24)
    found = put_frames(story)
    assert list(found.values()) == sorted(found.values())
    assert len(found) == sum(" puts a " in sentence for sentence in story.sentences)


def test_looks_side_by_side_are_those_alone(reader, questions):
    together = look_at(reader, POLICIES, SENTENCES, questions, chunk_frames=2)
    assert list(together) == list(POLICIES)
    for name, policy in POLICIES.items():
        alone = look_at(reader, {name: policy}, SENTENCES, questions, chunk_frames=2)[name]
        assert len(alone) == 3
        torch.testing.assert_close(
            torch.tensor(together[name]), torch.tensor(alone), rtol=1e-4, atol=1e-5, msg=name
        )
    assert together["full"] != together["recent_n"]


def test_a_look_sees_what_was_shown_until_then(reader, questions):
    whole = {"full": FullPolicy()}
    looks = look_at(reader, whole, SENTENCES, questions, chunk_frames=2)["full"]
    until = look_at(reader, whole, SENTENCES[:4], questions, chunk_frames=2)["full"]
    assert looks[:2] == until


def test_every_wording_names_the_thing():
    assert all("red hat" in text.format(thing="red hat") for text in WORDINGS.values())
