"""What follows the texts of a batch is what follows each alone."""

from __future__ import annotations

import math

import pytest
import torch

from hermes_stream.stream.next_tokens import LikeliestTokens, NextTokens


@pytest.fixture
def logits(model) -> torch.Tensor:
    vocabulary = model.head(torch.zeros(1, model.embed([0]).shape[1])).shape[1]
    return torch.randn(5, vocabulary, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_the_likeliest_token_of_each_text(model, logits):
    for text, own in zip(NextTokens(model, [logits[:2], logits[2:]]).of_texts(), logits, strict=True):
        found, token = text.likeliest, int(own.argmax())
        assert torch.equal(text.logits, own)
        assert found.token_id == token
        assert found.probability == pytest.approx(float(own.softmax(-1)[token]), rel=1e-5)
        assert found.is_finite
        assert torch.equal(found.embedding, model.embed([token]))


@torch.inference_mode()
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_one_text_without_numbers_is_told_from_the_others(model, logits, wrong):
    logits[2, 7] = wrong
    found = [text.likeliest for text in NextTokens(model, [logits[:2], logits[2:]]).of_texts()]
    assert [one.is_finite for one in found] == [True, True, False, True, True]
    assert all(0 <= one.probability <= 1 for index, one in enumerate(found) if index != 2)


@torch.inference_mode()
def test_what_was_found_before_is_taken(model, logits):
    found = LikeliestTokens.of(model, logits).copied(2)
    batch = NextTokens(model, [torch.zeros(2, logits.shape[1])], [found])
    assert [one.token_id for one in batch.likeliest] == logits[:2].argmax(dim=1).tolist()


def test_a_probability_that_rounds_up_is_one(model):
    found = LikeliestTokens(numbers=torch.tensor([[3.0], [1e-6], [5.0], [-5.0]]), embeddings=model.embed([3]))
    assert NextTokens(model, [torch.zeros(1, 8)], [found]).likeliest[0].probability == 1


@torch.inference_mode()
def test_a_copy_does_not_follow_what_it_was_made_of(model, logits):
    found = LikeliestTokens.of(model, logits)
    copy, numbers, embeddings = found.copied(2), found.numbers.clone(), found.embeddings.clone()
    found.numbers.zero_()
    found.embeddings.zero_()
    assert torch.equal(copy.numbers, numbers[:, :2])
    assert torch.equal(copy.embeddings, embeddings[:2])
