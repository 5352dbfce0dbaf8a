"""A checkpoint's own chat template, split into what comes before the video and what comes after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hermes_stream.errors import ModelError

_QUESTION = "QUESTION-GOES-HERE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Texts and tokens around a video.

    Attributes:
        tokenizer: the checkpoint's own.
        before_video: system prompt and the opening of the user's turn.
        before_question: text between video and question.
        after_question: the end of the user's turn and the opening of the assistant's.
        stop_token_ids: tokens that end an answer.
    """

    tokenizer: Any
    before_video: str
    before_question: str
    after_question: str
    stop_token_ids: frozenset[int]

    @property
    def prefix_ids(self) -> list[int]:
        """Tokens before the video, prefilled once and never evicted."""
        return self.encode(self.before_video)

    def question_ids(self, question: str, answer_opening: str = "") -> list[int]:
        """Return the tokens that follow the video: question, end of turn, the assistant's opening.

        Args:
            question: what is asked; text that looks like a special token stays plain text.
            answer_opening: the answer's first words, which the model continues.
        """
        # One text where possible: text that is tokenized in parts may split differently at the seams.
        if not any(token in question for token in self._special_tokens):
            return self.encode(f"{self.before_question}{question}{self.after_question}{answer_opening}")
        asked = self.tokenizer(question, add_special_tokens=False, split_special_tokens=True).input_ids
        return [
            *self.encode(self.before_question),
            *asked,
            *self.encode(self.after_question + answer_opening),
        ]

    @property
    def _special_tokens(self) -> list[str]:
        return [str(token) for token in self.tokenizer.get_added_vocab()]

    def encode(self, text: str) -> list[int]:
        """Tokenize text, special tokens in it included."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def split_prefix(self, opening: str) -> tuple[Chat, str]:
        """Cut the prefix where no token spans the cut, as one of two line breaks may.

        Args:
            opening: text that follows the prefix, the first temporal patch's.

        Returns:
            The chat with a prefix of whole tokens, and the text that is left before the opening.
        """
        before_video, rest = split_between_tokens(self.encode, self.before_video, opening)
        return replace(self, before_video=before_video), rest.removesuffix(opening)

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of answer tokens, without special tokens."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True))


def split_chat(
    tokenizer: Any,
    *,
    placeholder: str,
    stop_token_ids: frozenset[int],
    template: str | None,
    before: str = "",
) -> Chat:
    """Render one question about one video with the template and split it at the video.

    Args:
        tokenizer: the checkpoint's own.
        placeholder: the text that the template writes for a video.
        stop_token_ids: tokens that end an answer.
        template: the template; None takes the tokenizer's.
        before: text right before the placeholder that belongs to the video and is cut with it, such as the
            ``<|vision_start|>`` that Qwen3-VL repeats for every temporal patch.

    Raises:
        ModelError: there is no template, or it does not write the video once before the question.
    """
    if template is None and not tokenizer.chat_template:
        raise ModelError(
            "the checkpoint has no chat template; add chat_template.jinja or chat_template.json to its folder"
        )
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": _QUESTION}]}]
    rendered = str(
        tokenizer.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, tokenize=False
        )
    )
    before_video, video, rest = rendered.partition(before + placeholder)
    before_question, question, after_question = rest.partition(_QUESTION)
    if not video or not question or rendered.count(placeholder) != 1:
        raise ModelError(
            f"the chat template must write {before + placeholder!r} once, before the question; "
            f"it writes {rendered!r}"
        )
    return Chat(
        tokenizer=tokenizer,
        before_video=before_video,
        before_question=before_question,
        after_question=after_question,
        stop_token_ids=stop_token_ids,
    )


def split_between_tokens(encode: Callable[[str], list[int]], before: str, after: str) -> tuple[str, str]:
    """Return two texts that join to the same text and the same tokens.

    Characters go from the end of the first to the second until no token spans the cut.

    Args:
        encode: from text to tokens.
        before: begins with a special token, or is empty.
        after: what follows it.
    """
    text = before + after
    tokens = encode(text)
    cuts = range(len(before), 0, -1)
    cut = next((k for k in cuts if encode(text[:k]) + encode(text[k:]) == tokens), 0)
    return text[:cut], text[cut:]
