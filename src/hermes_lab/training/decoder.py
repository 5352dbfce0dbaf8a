"""The decoder under training: it reads a whole batch, and has an auxiliary head on its middle layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

from hermes_lab.training.batch import training_attention
from hermes_lab.training.stories import IGNORED, LABELS


class Decoder(nn.Module):
    """A model's decoder over prefix, video and question blocks.

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

    def forward(
        self, video: Tensor, token_ids: Tensor, position_ids: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits of question tokens ``[streams, tokens, vocabulary]`` and of the auxiliary head.

        Args:
            video: visual tokens ``[streams, patches, tokens per patch, hidden]``.
            token_ids: of question blocks ``[streams, questions, block]``.
            position_ids: of all tokens, as the decoder's rotary layer takes them.
            mask: what question tokens see, from ``question_mask``.
        """
        streams, questions, block = token_ids.shape
        embed = self.text.embed_tokens
        text = embed(token_ids)
        if self.video_end is not None:
            end = self.video_end.expand(streams, questions, 1, -1)
            text = torch.cat([end, text[:, :, 1:]], dim=2)
        prefix = embed(self.prefix_ids).expand(streams, -1, -1)
        visual = slice(prefix.shape[1], prefix.shape[1] + video.shape[1] * video.shape[2])
        hidden = torch.cat([prefix, video.flatten(1, 2), text.flatten(1, 2)], dim=1)
        rotation = self.text.rotary_emb(hidden, position_ids)
        middle, auxiliary = len(self.text.layers) // 2, hidden
        for layer_idx, layer in enumerate(self.text.layers):
            if layer_idx == middle:
                auxiliary = self.auxiliary_head(hidden[:, visual])
            hidden = layer(
                hidden, attention_mask=mask, position_ids=position_ids, position_embeddings=rotation
            )
        hidden = self.text.norm(hidden[:, -questions * block :])
        return F.linear(hidden, embed.weight), auxiliary


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
