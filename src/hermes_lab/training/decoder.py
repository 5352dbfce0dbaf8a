"""The decoder under training: it reads a whole batch, and has an auxiliary head on its middle layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

from hermes_lab.training.batch import Batch, training_attention, visibility
from hermes_lab.training.long_streams import HeldBatch
from hermes_lab.training.stories import IGNORED, LABELS


class Decoder(nn.Module):
    """A model's decoder over prefix, video and questions.

    Args:
        model: whose decoder it is; its attention is replaced.
        prefix_ids: tokens before the video.
        video_end: replaces the first embedding of each question; None leaves it.
    """

    def __init__(self, model: Any, prefix_ids: list[int], video_end: nn.Parameter | None) -> None:
        super().__init__()
        AttentionInterface.register("training", training_attention)
        model.set_attn_implementation({"text_config": "training"})
        self.text = model.model.language_model
        self.video_end = video_end
        hidden = model.config.text_config.hidden_size
        self.auxiliary_head = nn.Sequential(nn.RMSNorm(hidden), nn.Linear(hidden, sum(LABELS.values())))
        self.register_buffer("prefix_ids", torch.tensor(prefix_ids), persistent=False)

    def compile_layers(self) -> None:
        """Compile each layer for batches of one shape."""
        # Not the whole: layers have one form, which then is compiled once.
        for layer in self.text.layers:
            layer.compile(dynamic=False)

    def forward(self, video: Tensor, batch: Batch, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of tokens of text ``[streams, text, vocabulary]`` and of the auxiliary head.

        Args:
            video: visual tokens ``[streams, patches, tokens per patch, hidden]``.
            batch: the text behind them.
            position_ids: of all tokens, as the decoder's rotary layer takes them.
        """
        embed, text = self.text.embed_tokens, self._embedded(batch)
        prefix = embed(self.prefix_ids).expand(len(video), -1, -1)
        visual = slice(prefix.shape[1], prefix.shape[1] + video.shape[1] * video.shape[2])
        mask = visibility(batch, prefix.shape[1], video.shape[2])
        hidden = torch.cat([prefix, video.flatten(1, 2), text], dim=1)
        rotation = self.text.rotary_emb(hidden, position_ids)
        middle, auxiliary = len(self.text.layers) // 2, hidden
        for layer_idx, layer in enumerate(self.text.layers):
            if layer_idx == middle:
                auxiliary = self.auxiliary_head(hidden[:, visual])
            hidden = layer(
                hidden, attention_mask=mask, position_ids=position_ids, position_embeddings=rotation
            )
        hidden = self.text.norm(hidden[:, visual.stop :])
        return F.linear(hidden, embed.weight), auxiliary

    def read(self, batch: HeldBatch) -> Tensor:
        """Return logits ``[moments, text, vocabulary]`` of questions about what a memory holds."""
        hidden, mask = torch.cat([batch.newest, self._embedded(batch)], dim=1), batch.sees()
        rotation = self.text.rotary_emb(hidden, batch.position_ids)
        for layer in self.text.layers:
            # Not compiled: how much is held differs from batch to batch.
            hidden = layer.forward(
                hidden,
                attention_mask=mask,
                position_ids=batch.position_ids,
                position_embeddings=rotation,
                held=(batch.keys, batch.values),
            )
        text = self.text.norm(hidden[:, batch.newest.shape[1] :])
        return F.linear(text, self.text.embed_tokens.weight)

    def _embedded(self, batch: Batch | HeldBatch) -> Tensor:
        text: Tensor = self.text.embed_tokens(batch.token_ids)
        if self.video_end is None:
            return text
        return torch.where(batch.offsets[..., None] == 0, self.video_end, text)


def auxiliary_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, list[float]]:
    """Return the mean loss over all kinds of labels, and the accuracy of each; NaN where none is there.

    Args:
        logits: of the auxiliary head ``[streams, tokens, values of all labels]``.
        labels: ``[streams, tokens, labels]``, ``IGNORED`` where there is none.
    """
    loss, accuracies = torch.tensor(0.0), []
    for part, label in zip(logits.split(list(LABELS.values()), dim=-1), labels.unbind(-1), strict=True):
        is_labelled = label != IGNORED
        if not is_labelled.any():
            accuracies.append(math.nan)
            continue
        loss = loss + F.cross_entropy(part[is_labelled], label[is_labelled]) / len(LABELS)
        accuracies.append((part[is_labelled].argmax(-1) == label[is_labelled]).float().mean().item())
    return loss, accuracies
