"""A checkpoint's own chat template, split into what comes before the video and what comes after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hermes_stream.errors import ModelError

_QUESTION = "QUESTION-GOES-HERE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Texts and tokens around a video.

    Attributes:
        tokenizer: the checkpoint's own.
        before_video: system prompt and the opening of the user's turn.
        before_question: what stands between video and question.
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
            answer_opening: words put into the assistant's mouth.
        """
        # One call when the question is harmless, so that words never split differently than in one text.
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
    after: str = "",
    system_prompt: str | None = None,
) -> Chat:
    """Render one question about one video with the template and split it at the video.

    Args:
        tokenizer: the checkpoint's own.
        placeholder: the text that the template writes for a video.
        stop_token_ids: tokens that end an answer.
        template: the template; None takes the tokenizer's.
        before: text right before the placeholder that belongs to the video and is cut with it, such as the
            ``<|vision_start|>`` that Qwen3-VL repeats for every frame.
        after: text right after the placeholder that belongs to the video and is cut with it.
        system_prompt: replaces the template's own; None leaves that as it is.

    Raises:
        ModelError: there is no template, or it does not write the video once before the question.
    """
    if template is None and not tokenizer.chat_template:
        raise ModelError(
            "the checkpoint has no chat template; add chat_template.jinja or chat_template.json to its folder"
        )
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": _QUESTION}]}]
    if system_prompt is not None:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system_prompt}]})
    rendered = str(
        tokenizer.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, tokenize=False
        )
    )
    before_video, video, rest = rendered.partition(f"{before}{placeholder}{after}")
    before_question, question, after_question = rest.partition(_QUESTION)
    if not video or not question or rendered.count(placeholder) != 1:
        raise ModelError(
            f"the chat template must write {before + placeholder + after!r} once, before the question; "
            f"it writes {rendered!r}"
        )
    return Chat(
        tokenizer=tokenizer,
        before_video=before_video,
        before_question=before_question,
        after_question=after_question,
        stop_token_ids=stop_token_ids,
    )
