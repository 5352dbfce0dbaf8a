"""Sentences become frames and tokens; a memory that keeps all answers as one that reads all at once."""

from __future__ import annotations

import pytest
import torch

from hermes_lab.sentences.reader import SentenceReader, frame_of, sentence_of
from hermes_lab.sentences.watching import first_tokens


@pytest.fixture(scope="module")
def reader(model) -> SentenceReader:
    return SentenceReader(model, padding=".")


def test_a_frame_shows_its_sentence():
    for sentence in ("", "Rain falls.", "Zoë läuft.", "x" * 96):
        assert sentence_of(frame_of(sentence, 1.0)) == sentence


def test_a_long_sentence_is_refused():
    with pytest.raises(ValueError, match="takes 97 bytes; a frame holds 96"):
        frame_of("x" * 97, 0.0)


def test_tokens_are_the_words_and_padding(reader):
    frames = [frame_of("red circle", 0.0), frame_of("blue", 1.0)]
    tokens = reader.encode(reader.prepare(frames)).tokens
    words = reader.embed([*reader.chat.encode("red circle"), *[reader.padding_id] * 7])
    assert torch.equal(tokens[:9], words)
    assert torch.equal(tokens[9:10], reader.embed(reader.chat.encode("blue")))


def test_a_sentence_of_too_many_words_is_refused(reader):
    with pytest.raises(ValueError, match="takes 10 tokens; a frame of this model has 9"):
        reader.prepare([frame_of("red " * 10, 0.0)])


def test_padding_is_one_token(model):
    with pytest.raises(ValueError, match="padding 'red circle' takes 2 tokens"):
        SentenceReader(model, padding="red circle")


def test_logits_are_those_of_the_model(reader, model):
    hidden = torch.randn(3, model.embed([0]).shape[1])
    torch.testing.assert_close(reader.logits(hidden), model.logits(hidden))


def test_options_must_begin_with_different_tokens(reader):
    assert len(first_tokens(reader, ["red", "blue"])) == 2
    with pytest.raises(ValueError, match="begin with the same token"):
        first_tokens(reader, ["red circle", "red square"])
