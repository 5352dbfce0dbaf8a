"""Cross-layer smoothing: a layer's scores lean towards those of the next deeper layer."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.memory.rope import dense_positions

Match = Literal["identity", "index"]


def index_in_next_layer(
    token_ids: Int[Tensor, "layers tokens"], match: Match, *, is_full: bool = False
) -> tuple[Int[Tensor, "shallower_layers tokens"], Bool[Tensor, "shallower_layers tokens"]]:
    """Find each token of every layer but the last in the next deeper layer.

    Args:
        token_ids: ascending within a layer, -1 on padding at the right.
        match: "identity" looks for the same token; "index" takes the token of the same physical index.
        is_full: no layer has padding.

    Returns:
        Physical index in the next deeper layer; and whether that layer holds such a token, else the index
        means nothing.

    Paper: sec. 3.2, eq. 5
    Differs: the paper says "physical position", a token's index in the cache, and so does the released code;
        once layers have evicted different tokens an index names different ones, so that identity is our
        reading of what eq. 5 is for.
    """
    shallow, deep = token_ids[:-1], token_ids[1:]
    if match == "index":
        index = torch.arange(token_ids.shape[1], device=token_ids.device).expand_as(shallow)
        return index, (shallow >= 0) & (deep >= 0)
    ascending = deep if is_full else deep.masked_fill(deep < 0, torch.iinfo(deep.dtype).max)
    # Ids ascend within a layer, so each is found by bisection instead of a table of all pairs.
    index = torch.searchsorted(ascending, shallow.contiguous()).clamp_(max=token_ids.shape[1] - 1)
    found = deep.gather(1, index) == shallow
    return index, found if is_full else found & (shallow >= 0)


def smooth(
    scores: Float[Tensor, "layers tokens"],
    token_ids: Int[Tensor, "layers tokens"],
    strength: Float[Tensor, " layers"],
    *,
    match: Match = "identity",
    recursive: bool = False,
    layers_alike: bool = False,
    is_full: bool = False,
) -> Float[Tensor, "layers tokens"]:
    """Blend scores with those of the next deeper layer: S~(l) = (1 - lam(l)) S(l) + lam(l) S(l + 1).

    A token that the next layer does not hold scores 0 there. The deepest layer is unchanged.

    Args:
        scores: importance of each token; what padding holds does not matter.
        token_ids: ascending within a layer, -1 on padding at the right.
        strength: lam of each layer, in [0, 1]; that of the deepest is not read.
        match: how a token is found in the next layer, see ``index_in_next_layer``.
        recursive: blend with the next layer's smoothed scores, deep to shallow, instead of its raw ones.
        layers_alike: all layers hold the same tokens, without padding, so that none need be searched for.
        is_full: no layer has padding.

    Returns:
        Smoothed scores, 0 on padding.

    Paper: sec. 3.2, eq. 5; app. C
    Differs: the released code blends recursively and by index (``recursive=True, match="index"``).
    """
    if layers_alike and not recursive:
        share = strength[:-1, None]
        blended = (1 - share) * scores[:-1] + share * scores[1:]
        return torch.cat((blended, scores[-1:]))
    if not is_full:
        scores = scores.masked_fill(token_ids < 0, 0)
    index, found = index_in_next_layer(token_ids, match, is_full=is_full)
    if not recursive:
        share = strength[:-1, None]
        blended = (1 - share) * scores[:-1] + share * (scores[1:].gather(1, index) * found)
        return torch.cat((blended, scores[-1:]))
    smoothed = scores.clone()
    # From deep to shallow, so that recursion finds the next layer smoothed already.
    for layer in range(scores.shape[0] - 2, -1, -1):
        deeper = smoothed[layer + 1].gather(0, index[layer]) * found[layer]
        smoothed[layer] = (1 - strength[layer]) * scores[layer] + strength[layer] * deeper
    return smoothed


def pool(
    scores: Float[Tensor, "layers tokens"],
    token_ids: Int[Tensor, "layers tokens"],
    *,
    layers_alike: bool = False,
) -> Float[Tensor, "layers tokens"]:
    """Give each token the mean of its scores over all layers, in every layer that holds it.

    A layer that does not hold the token counts as 0, so that what many layers hold comes first. Layers that
    rank the same tokens by these scores keep the same ones.

    Args:
        scores: importance of each token; what padding holds does not matter.
        token_ids: -1 on padding.
        layers_alike: all layers hold the same tokens, without padding.
    """
    if layers_alike:
        return scores.mean(dim=0, keepdim=True).expand_as(scores)
    # Ranks, not the unique ids: how many there are the host need not know.
    token = dense_positions(token_ids.reshape(1, -1), 0)[0]
    pooled = scores.new_zeros(len(token))
    pooled.scatter_add_(0, token, scores.masked_fill(token_ids < 0, 0).flatten())
    return (pooled / len(scores))[token].view_as(scores).masked_fill(token_ids < 0, 0)


def mean_of_neighbours(
    scores: Float[Tensor, "layers tokens"], lengths: Int[Tensor, " layers"], size: int
) -> Float[Tensor, "layers tokens"]:
    """Average each score with its neighbours in order; at the ends with the neighbours that exist.

    Args:
        scores: of the tokens of each layer, 0 on padding.
        lengths: tokens of each layer.
        size: how many are averaged, the token's own in the middle; odd.

    Returns:
        The means, 0 on padding.
    """
    if size == 1 or not scores.shape[1]:
        return scores
    present = torch.arange(scores.shape[1], device=scores.device) < lengths[:, None]
    sums, counts = (
        F.avg_pool1d(part[:, None], size, stride=1, padding=size // 2)[:, 0]
        for part in (scores * present, present.to(scores.dtype))
    )
    return (sums / counts.clamp(min=0.5 / size)).masked_fill(~present, 0)
