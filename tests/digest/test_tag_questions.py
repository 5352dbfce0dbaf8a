"""Tags are asked for in words that people would use."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hermes_stream import load_model
from hermes_stream.digest.tag_questions import tag_question

# a vocabulary of pieces spells any word
LARGE = SimpleNamespace(chat=SimpleNamespace(tokenizer=SimpleNamespace(unk_token_id=None)))


@pytest.mark.parametrize(
    ("tag", "asked"),
    [
        ("slide", "Is there a slide"),
        ("a slide", "Is there a slide"),
        ("A slide", "Is there A slide"),
        ("the slide", "Is there the slide"),
        ("animal", "Is there an animal"),
        ("an animal", "Is there an animal"),
        ("uniform", "Is there a uniform"),
        ("unlit lamp", "Is there an unlit lamp"),
        ("hourglass", "Is there an hourglass"),
        ("one-way sign", "Is there a one-way sign"),
        ("SUV", "Is there an SUV"),
        ("UFO", "Is there a UFO"),
        ("some water", "Is there some water"),
        ("cars", "Are there cars"),
        ("red cars", "Are there red cars"),
        ("people at a table", "Are there people at a table"),
        ("two dogs", "Are there two dogs"),
        ("3 dogs", "Are there 3 dogs"),
        ("1 dog", "Is there 1 dog"),
        ("bus", "Is there a bus"),
        ("glass", "Is there a glass"),
        ("octopus", "Is there an octopus"),
        ("person with glasses", "Is there a person with glasses"),
        (" old   dog ", "Is there an old dog"),
        ("{tag}", "Is there a {tag}"),
    ],
)
def test_a_tag_has_the_article_that_fits(tag, asked):
    assert tag_question(LARGE, tag) == f"{asked} in the picture now?"


def test_a_small_model_is_asked_in_its_own_words():
    tiny = load_model("tiny")
    assert tag_question(tiny, "red circle") == "is there a red circle now?"
    assert tag_question(tiny, "a red circle") == "is there a red circle now?"
    assert tag_question(tiny, "two red circles") == "are there two red circles now?"
    assert tag_question(tiny, "a red circle", "was there {tag}?") == "was there a red circle?"
