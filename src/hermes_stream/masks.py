"""What hides later tokens from earlier ones, made once for all layers of a forward.

On a processor some outlast it: a stream that holds its budget makes forwards of the same shape, and to make a
mask takes as long as to read under it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right


class Masks:
    """The masks of one forward. Layers that hold equally many tokens share them."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Tensor] = {}

    def causal(self, queries: Float[Tensor, "heads tokens head_dim"], held: int) -> Tensor | None:
        """Return what lets each new token see those up to itself; None where one token sees all.

        Args:
            queries: of the new tokens.
            held: tokens whose keys are there, the new ones last.
        """
        count = queries.shape[1]
        if count == 1:
            return None
        if queries.device.type == "cuda":
            return causal_lower_right(count, held)  # no matrix: fused kernels know the shape
        return self._once(queries, ("causal", count, held), lambda: _hiding(queries, held))

    def later(
        self, queries: Float[Tensor, "heads tokens head_dim"], num_hidden: int = 0
    ) -> Float[Tensor, "tokens hidden_and_tokens"]:
        """Return what is added to scores of new tokens with each other: minus infinity for later ones.

        Args:
            queries: of the new tokens.
            num_hidden: tokens right before them that they do not see either.
        """
        count = queries.shape[1]

        def make() -> Tensor:
            return F.pad(_hiding(queries, count), (num_hidden, 0), value=-torch.inf)

        return self._once(queries, ("later", count, num_hidden), make)

    def apart(
        self,
        queries: Float[Tensor, "heads tokens head_dim"],
        lengths: Sequence[int],
        group: int,
        *,
        held: int,
        end: int,
    ) -> Float[Tensor, "one rows keys"]:
        """Return what is added to scores of a text and others behind it, which see it but not each other.

        Args:
            queries: of all of them.
            lengths: of each text, in tokens.
            group: heads, one after the other.
            held: tokens whose keys are there, those of the texts last.
            end: where keys end that are filled up; none is seen behind ``held``.
        """
        num_bytes = 4 * group * queries.shape[1] * end
        return self._kept(_apart, queries, num_bytes, lengths=tuple(lengths), group=group, held=held, end=end)

    def share(
        self, weights: Float[Tensor, "heads tokens held"], tokens: slice
    ) -> Float[Tensor, " heads_and_tokens"]:
        """Return what makes of a sum over all heads and tokens the mean over all heads and some tokens.

        Args:
            weights: of all tokens.
            tokens: those that count.
        """
        heads, count = weights.shape[:2]
        sizes = {"heads": heads, "count": count, "start": tokens.start, "stop": tokens.stop}
        return self._kept(_share, weights, 4 * heads * count, **sizes)

    def spread(
        self, hiding: Float[Tensor, "tokens newest"], tokens: slice, group: int, *, held: int, end: int
    ) -> Float[Tensor, "one rows keys"]:
        """Return what is added to the scores of some tokens, for the heads of a group one after the other.

        Args:
            hiding: what ``later`` returned.
            tokens: of its rows.
            group: heads.
            held: tokens whose keys are there; ``hiding`` is of the last of them.
            end: where keys end that are filled up; none is seen behind ``held``.
        """

        def make() -> Tensor:
            return _spread(hiding[tokens], group, held, end)

        if tokens.start or tokens.stop < len(hiding):
            return make()  # parts are many, where weights are to take little
        # what is hidden lives as long as this does
        return self._once(hiding, ("spread", id(hiding), tokens.start, tokens.stop, group, held, end), make)

    def beside(
        self, queries: Float[Tensor, "heads tokens head_dim"], held: int, num_hidden: int
    ) -> Float[Tensor, "tokens held_tokens"]:
        """Return what lets each new token see those up to itself, but not those right before all new ones.

        Args:
            queries: of the new tokens.
            held: tokens whose keys are there, the new ones last.
            num_hidden: tokens that are not seen.
        """

        def make() -> Tensor:
            later = self.later(queries, num_hidden)
            return F.pad(later, (held - later.shape[1], 0))

        return self._once(queries, ("beside", queries.shape[1], held, num_hidden), make)

    def nothing(
        self, queries: Float[Tensor, "heads tokens head_dim"]
    ) -> Float[Tensor, "heads tokens head_dim"]:
        """Return the output of tokens that no layer reads any more: zeros."""
        return self._once(queries, ("nothing", queries.shape[1]), lambda: torch.zeros_like(queries))

    def branches(
        self, queries: Float[Tensor, "heads tokens head_dim"], held: int, lengths: Sequence[int]
    ) -> Bool[Tensor, "tokens held_and_tokens"]:
        """Return which tokens each token of several texts sees: all that is held, and its own text so far.

        Args:
            queries: of the texts, one behind the other.
            held: tokens of the memory before them.
            lengths: of each text.
        """

        def make() -> Tensor:
            branch = _branches(lengths)
            own = (branch[:, None] == branch).tril()
            return torch.cat([own.new_ones(len(branch), held), own], dim=1).to(queries.device)

        return self._once(queries, ("branches", held, *lengths), make)

    def branch_of_token(
        self, queries: Float[Tensor, "heads tokens head_dim"], lengths: Sequence[int]
    ) -> Int[Tensor, " tokens"]:
        """Return to which of several texts each token belongs.

        Args:
            queries: of the texts, one behind the other.
            lengths: of each text.
        """
        return self._once(
            queries, ("branch_of_token", *lengths), lambda: _branches(lengths).to(queries.device)
        )

    def _kept(self, make: Any, like: Tensor, num_bytes: int, **sizes: Hashable) -> Tensor:
        """Return what a cached function makes, kept by it where it may outlast the forward, else here."""
        where = {"dtype": like.dtype, "device": like.device}
        if _lasts(like.device, num_bytes):
            made: Tensor = make(**sizes, **where)
            return made
        which = (make.__name__, *sizes.values())
        return self._once(like, which, partial(make.__wrapped__, **sizes, **where))

    def _once(self, queries: Tensor, which: tuple[Hashable, ...], make: Callable[[], Tensor]) -> Tensor:
        key = (queries.device, queries.dtype, which)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _branches(lengths: Sequence[int]) -> Int[Tensor, " tokens"]:
    return torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))


def _hiding(
    queries: Float[Tensor, "heads tokens head_dim"], held: int
) -> Float[Tensor, "tokens held_tokens"]:
    count = queries.shape[1]
    return queries.new_full((count, held), -torch.inf).triu(held - count + 1)


_NUM_LASTING = 16
_MAX_LASTING_BYTES = 2**19


def _lasts(device: torch.device, num_bytes: int) -> bool:
    """Tell whether a mask may outlast its forward: on a GPU other streams might read what is not yet made."""
    return device.type == "cpu" and num_bytes <= _MAX_LASTING_BYTES


def forget_masks() -> None:
    """Let every mask be made anew, as on a GPU in every forward; for who counts what is launched there."""
    _apart.cache_clear()
    _share.cache_clear()


@lru_cache(maxsize=_NUM_LASTING)
def _apart(
    *, lengths: tuple[int, ...], group: int, held: int, end: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "one rows keys"]:
    with torch.inference_mode(False):  # so that it may be used with and without
        hiding = _hiding(torch.empty(1, sum(lengths), 1, dtype=dtype, device=device), sum(lengths))
        for start, stop in pairwise(accumulate(lengths)):
            hiding[start:stop, lengths[0] : start] = -torch.inf
        return _spread(hiding, group, held, end)


@lru_cache(maxsize=_NUM_LASTING)
def _share(
    *, heads: int, count: int, start: int, stop: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, " heads_and_tokens"]:
    with torch.inference_mode(False):
        share = torch.zeros(heads, count, dtype=dtype, device=device)
        share[:, start:stop] = 1 / (heads * (stop - start))
        return share.flatten()


def _spread(
    hiding: Float[Tensor, "tokens newest"], group: int, held: int, end: int
) -> Float[Tensor, "one rows keys"]:
    """Let what is hidden of the newest tokens stand behind what is seen, for each head of a group."""
    rows = F.pad(hiding, (held - hiding.shape[1], 0))
    return F.pad(rows, (0, end - held), value=-torch.inf).repeat(group, 1)[None]
