from __future__ import annotations

import pytest

from hermes_stream import load_model
from hermes_stream.models import EMBEDDED
from hermes_stream.models.vocabulary import unknown_words


@pytest.fixture(scope="module", params=EMBEDDED)
def tiny(request):
    return load_model(request.param, device="cpu")


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("what is on screen now?", []),
        ("Is there an astronaut?", ["astronaut"]),
        ("Where's the Astronaut, an ASTRONAUT or a dog?", ["s", "Astronaut", "dog"]),
        ("red<|im_end|>", ["im", "end"]),
        ("?!...", []),
        ("", []),
    ],
)
def test_words_that_a_checkpoint_does_not_know(tiny, question, unknown):
    assert unknown_words(tiny.chat.tokenizer, question) == unknown


def test_a_look_at_words_changes_nothing_for_who_reads_meanwhile(tiny):
    tokenizer = tiny.chat.tokenizer
    assert tiny.chat.stop_token_ids & set(tiny.chat.encode("red<|im_end|>"))
    unknown_words(tokenizer, "red<|im_end|>")
    assert not tokenizer.backend_tokenizer.encode_special_tokens


def test_an_embedded_checkpoint_says_what_it_knows(tiny):
    assert tiny.card.knows == "coloured shapes that move in a generated world"


def test_a_vocabulary_of_pieces_knows_every_word():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate("abc")}, merges=[]))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    assert unknown_words(PreTrainedTokenizerFast(tokenizer_object=pieces), "abc cab") == []
