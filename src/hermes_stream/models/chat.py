"""A checkpoint's own chat template, split into what comes before the video and what comes after."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from hermes_stream.errors import ModelError
from hermes_stream.models.rendering import render_chat

_MOST_OWN_TEXTS = 64
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
    _own_ids: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)
    """Texts of the checkpoint that stand around texts of users: each question comes by them."""

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
        return self.encode_around([self.before_question, self.after_question + answer_opening], question)

    def encode(self, text: str) -> list[int]:
        """Tokenize the checkpoint's own text, special tokens in it included; never a user's."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def encode_user_text(self, text: str) -> list[int]:
        """Tokenize text of a user: what looks like a special token stays plain text."""
        return self.encode_around(["", ""], text)

    def encode_around(self, own: Sequence[str], text: str) -> list[int]:
        """Tokenize the checkpoint's own texts with text of a user between each two of them.

        Args:
            own: at least one text, the same ones again and again; special tokens in them are special.
            text: of a user; nothing in it becomes a special token, alone or together with its neighbours.
        """
        text = _without_surrogates(text)
        special = self._special_tokens
        # One text where possible: text that is tokenized in parts may split differently at the seams.
        whole = self.encode(text.join(own))
        if len(self._own_ids) > _MOST_OWN_TEXTS:
            self._own_ids.clear()
        for one in own:
            if one not in self._own_ids:
                self._own_ids[one] = self.encode(one)
        parts = [self._own_ids[one] for one in own]
        wanted = [token for part in parts for token in part if token in special]
        if [token for token in whole if token in special] == wanted:
            return whole
        plain = self._encode_plain(text, special)
        return [*parts[0], *(token for part in parts[1:] for token in (*plain, *part))]

    @property
    def _special_tokens(self) -> dict[int, str]:
        """Every token that was added to the vocabulary; white space, and the unknown token, are harmless."""
        added = {number: str(token) for number, token in self.tokenizer.added_tokens_decoder.items()}
        unknown = self.tokenizer.unk_token_id
        return {number: text for number, text in added.items() if number != unknown and text.strip()}

    def _encode_plain(self, text: str, special: dict[int, str]) -> list[int]:
        """Tokenize text in pieces that end within whatever would be a special token."""
        marks = sorted(special.values(), key=len, reverse=True)
        starts = [found.start() + 1 for found in re.finditer("|".join(map(re.escape, marks)), text)]
        cuts = [0, *starts, len(text)]
        return [
            token for begin, end in pairwise(cuts) for token in self._encode_piece(text[begin:end], special)
        ]

    def _encode_piece(self, text: str, special: dict[int, str]) -> list[int]:
        tokens = self.encode(text)
        if not any(token in special for token in tokens):
            return tokens
        # Marks of one letter, marks that overlap, or that the tokenizer finds in another spelling.
        middle = len(text) // 2
        halves = (text[:middle], text[middle:]) if middle else ()
        return [token for half in halves for token in self._encode_piece(half, special)]

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
        ModelError: there is no template, it cannot be rendered, or it does not write the video once before
            the question.
    """
    if template is None and not tokenizer.chat_template:
        raise ModelError(
            "the checkpoint has no chat template; add chat_template.jinja or chat_template.json to its folder"
        )
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": _QUESTION}]}]
    rendered = render_chat(tokenizer, template, messages)
    before_video, video, rest = rendered.partition(before + placeholder)
    before_question, question, after_question = rest.partition(_QUESTION)
    if not video or not question or rendered.count(placeholder) != 1:
        raise ModelError(
            f"the chat template must write {before + placeholder!r} once, before the question; "
            f"it writes {shortened(rendered)}"
        )
    return Chat(
        tokenizer=tokenizer,
        before_video=before_video,
        before_question=before_question,
        after_question=after_question,
        stop_token_ids=stop_token_ids,
    )


def shortened(text: str) -> str:
    """Quote a text for a message, its middle left out where it is long."""
    return repr(text) if len(text) <= 400 else f"{text[:200]!r} ... {text[-100:]!r}"


def _without_surrogates(text: str) -> str:
    """Join halves of characters that belong together, and replace those that stand alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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
