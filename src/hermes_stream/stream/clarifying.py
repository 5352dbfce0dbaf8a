"""An answer, "not seen" where that may be one, or a question back where the model is not sure enough."""

from __future__ import annotations

from dataclasses import replace

from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.vocabulary import unknown_words
from hermes_stream.stream.answer import NOT_SEEN, Answer
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.decoding import Sampling, choose_option, decode_answer
from hermes_stream.stream.question import Question
from hermes_stream.stream.unseen import UnseenQuestion, says_unseen
from hermes_stream.stream.work import Work

_ASK_BACK = (
    'Somebody asks about the video: "{question}". What you can say is "{guess}", and you are not sure. Reply '
    "with one short question to them: what do you need to know, or to be shown, to answer?"
)
_MAX_TOKENS = 48


def answer_question(
    model: VideoModel,
    context: QuestionContext,
    question: Question,
    answer: Answer,
    *,
    sampling: Sampling,
    text_tokens: int,
    unseen: UnseenQuestion | None = None,
) -> Work[str]:
    """Make an answer, or a question back where it is less sure than ``clarify_below``; return the text.

    Args:
        model: answers.
        context: what the question reads; the same before and after.
        question: open, or with options.
        answer: is given the text.
        sampling: how tokens are chosen; ``max_new_tokens`` is given.
        text_tokens: room for a question and its answer.
        unseen: the question with "not seen" among its answers; None does not offer it.
    """
    if unseen is not None and (yield from says_unseen(model, context, unseen, answer)):
        return NOT_SEEN
    if sampling.clarify_below is None:
        return (yield from _make(model, context, question, answer, sampling=sampling))
    draft = Answer(answer.question, answer.options)
    text = yield from _make(model, context, question, draft, sampling=sampling)
    if draft.confidence is None or draft.confidence >= sampling.clarify_below:
        answer.take_over(draft, text)
    else:
        answer.guess, answer.runner_up = text.strip(), draft.runner_up
        answer.clarification = True
        answer.confidence = draft.confidence
        text, answer.token_ids = yield from _question_back(
            model, context, answer, sampling=sampling, text_tokens=text_tokens
        )
        answer.give(text)
    # last of all: a reader in another thread takes it for the end
    answer.finish_reason = draft.finish_reason
    return text


def _make(
    model: VideoModel,
    context: QuestionContext,
    question: Question,
    answer: Answer,
    *,
    sampling: Sampling,
) -> Work[str]:
    if question.options is None:
        return (yield from decode_answer(model, context, question, answer, sampling=sampling))
    return (yield from choose_option(model, context, question, answer))


def _question_back(
    model: VideoModel,
    context: QuestionContext,
    answer: Answer,
    *,
    sampling: Sampling,
    text_tokens: int,
) -> Work[tuple[str, list[int]]]:
    """Let the model ask; one that lacks the words, or the room, asks whether its guess is right."""
    prompt = _ASK_BACK.format(question=answer.question, guess=answer.guess)
    if not unknown_words(model.chat.tokenizer, prompt):
        try:
            asking = Question.phrase(model, prompt, None, text_tokens=text_tokens, answer_tokens=1)
        except CapacityError:
            return fixed_question(answer), []
        draft, most = Answer(prompt), min(asking.max_answer_tokens, _MAX_TOKENS)
        how = replace(sampling, max_new_tokens=most, clarify_below=None, num_logprobs=None)
        text = yield from decode_answer(model, context, asking, draft, sampling=how)
        if text.strip():
            return text.strip(), draft.token_ids
    return fixed_question(answer), []


def fixed_question(answer: Answer) -> str:
    """Return a question back in words of our own."""
    if answer.runner_up is not None:
        return f"I am not sure. Is it {answer.guess}, or {answer.runner_up}?"
    return f"I am not sure. Is it {answer.guess}?" if answer.guess else "I am not sure. What do you mean?"
