"""Warnings of a model that does not understand what it is shown, or what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hermes_stream.cli.output import complain

if TYPE_CHECKING:
    from hermes_stream.models import VideoModel


def warn_of_narrow_model(model: VideoModel) -> None:
    """Warn that a model understands one kind of video alone, before it is shown a user's."""
    card = model.card
    if card.knows is not None:
        complain(
            f"{card.name} knows {card.knows}, and nothing else: of any other video its answers mean nothing; "
            "for yours give --model a published checkpoint ('hermes models' lists them)",
            kind="warning",
        )


def warn_of_unknown_words(model: VideoModel, question: str) -> list[str]:
    """Warn of words of a question that the model's vocabulary lacks, and return them."""
    from hermes_stream.models.vocabulary import unknown_words, unknown_words_told

    words = unknown_words(model.chat.tokenizer, question)
    if words:
        complain(unknown_words_told(words, model.card.name), kind="warning")
    return words
