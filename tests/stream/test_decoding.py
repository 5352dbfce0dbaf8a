"""Choosing tokens and giving out text."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hermes_stream import load_model
from hermes_stream.stream.decoding import Sampling, TextStream, choose_token, logprob_of


class Letters:
    """A tokenizer of bytes: token n is byte n, so that characters may span tokens."""

    def decode(self, token_ids: list[int]) -> str:
        return bytes(token_ids).decode("utf-8", errors="replace")


def stream(text: str, *stop: str) -> tuple[list[str], TextStream]:
    out = TextStream(Letters(), stop)
    pieces = []
    for token in text.encode():
        pieces.append(out.add(token))
        if out.is_stopped:
            break
    return [*pieces, out.finish()], out


def chosen(logits: list[float], sampling: Sampling, answer: list[int] = [], seed: int = 0) -> int:  # noqa: B006
    return choose_token(torch.tensor(logits), answer, sampling, torch.Generator().manual_seed(seed))


def test_greedy_takes_the_highest_and_the_first_of_equals():
    assert chosen([0.0, 3.0, 3.0], Sampling()) == 1


def test_repetition_penalty_lowers_positive_and_negative_logits():
    assert chosen([2.0, 1.9], Sampling(repetition_penalty=1.1), [0]) == 1
    assert chosen([-1.0, -1.05], Sampling(repetition_penalty=1.1), [0]) == 1
    assert chosen([2.0, 1.7], Sampling(repetition_penalty=1.1), [0]) == 0


def test_top_p_keeps_the_smallest_sufficient_set():
    logits = torch.tensor([0.5, 0.3, 0.2]).log().tolist()
    picks = {
        p: {chosen(logits, Sampling(temperature=1.0, top_p=p), seed=s) for s in range(60)}
        for p in (0.4, 0.7, 1.0)
    }
    assert picks == {0.4: {0}, 0.7: {0, 1}, 1.0: {0, 1, 2}}


def test_temperature_shapes_the_frequencies():
    logits = torch.tensor([0.8, 0.2]).log().tolist()
    cold = sum(chosen(logits, Sampling(temperature=0.2), seed=s) for s in range(200))
    warm = sum(chosen(logits, Sampling(temperature=1.0), seed=s) for s in range(200))
    assert cold < 10 < 20 < warm < 60


def test_text_comes_out_whole_and_never_half_a_character():
    pieces, _ = stream("naïve 🙂 end")
    assert "".join(pieces) == "naïve 🙂 end"
    assert all("�" not in piece for piece in pieces)


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it():
    pieces, out = stream("yes. And more", ". And")
    assert "".join(pieces) == out.text == "yes"
    assert out.is_stopped


def test_the_beginning_of_a_stop_text_is_given_once_it_is_none():
    pieces, out = stream("a.b", ".c")
    assert pieces == ["a", "", ".b", ""]
    assert not out.is_stopped
    assert "".join(stream("ends with .", ".c")[0]) == "ends with ."


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.9},
        {"stop": "text"},
        {"stop": ("",)},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_pieces_are_the_text_up_to_the_first_stop(text, stops):
    pieces, out = stream(text, *stops)
    ends = [found for found in (text.find(stop) for stop in stops) if found >= 0]
    assert "".join(pieces) == out.text
    assert text.startswith(out.text)
    if not ends:
        assert out.text == text
    else:
        assert out.is_stopped
        assert len(out.text) in ends


def test_pieces_of_the_embedded_tokenizer_are_its_text():
    chat = load_model("tiny").chat
    for seed in range(50):
        ids = torch.randint(0, 60, (12,), generator=torch.Generator().manual_seed(seed)).tolist()
        out = TextStream(chat, ())
        assert "".join([*map(out.add, ids), out.finish()]) == chat.decode(ids)


def test_bytes_that_are_no_text_are_given_in_the_end():
    out = TextStream(Letters(), ())
    pieces = [out.add(0xFF) for _ in range(40)]
    assert "".join([*pieces, out.finish()]) == "\N{REPLACEMENT CHARACTER}" * 40
    assert sum(map(bool, pieces)) >= 9


def test_only_the_newest_tokens_are_decoded():
    class Counting(Letters):
        decoded = 0

        def decode(self, token_ids):
            self.decoded += len(token_ids)
            return super().decode(token_ids)

    chat = Counting()
    out = TextStream(chat, ("\n",))
    for token in b"a" * 2000:
        out.add(token)
    assert chat.decoded < 5 * 2000


def test_logprobs_are_those_of_the_logits_a_token_was_chosen_from():
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0])
    noted = logprob_of(logits, 2, num_top=2)
    expected = logits.log_softmax(0)
    assert noted.logprob == pytest.approx(float(expected[2]))
    assert [token for token, _ in noted.top] == [1, 2]
    assert [value for _, value in noted.top] == pytest.approx([float(expected[1]), float(expected[2])])
    assert logprob_of(logits, 2, num_top=20).top[-1][0] == 3


def test_more_logprobs_than_twenty_are_refused():
    with pytest.raises(ValueError, match="num_logprobs must be from 0 to 20"):
        Sampling(num_logprobs=21)


@pytest.mark.parametrize(
    "how", [{"temperature": 1e-40}, {"temperature": 5e-324}, {"temperature": 1.0, "top_p": 1e-300}]
)
def test_the_smallest_temperature_and_share_take_the_likeliest(how):
    assert {chosen([9.0, 100.0, -3.0], Sampling(**how), seed=s) for s in range(20)} == {1}


def test_the_largest_temperature_takes_any():
    picks = {chosen([9.0, 100.0, -3.0], Sampling(temperature=1e300), seed=s) for s in range(60)}
    assert picks == {0, 1, 2}


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, "1", 1.5])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be from"):
        Sampling(seed=seed)


def test_a_token_is_less_likely_wherever_it_stands_in_the_answer():
    assert chosen([2.0, 1.9, 1.85], Sampling(repetition_penalty=1.2), [0, 1]) == 2


def test_the_first_of_several_stop_texts_ends_the_answer():
    pieces, _ = stream("abcdef", "ef", "cdef")
    assert "".join(pieces) == "ab"
