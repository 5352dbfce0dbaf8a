"""What hides later tokens from earlier ones, made once for all layers of a forward.

On a processor small ones outlast it: a stream that holds its budget makes forwards of the same shape, and to
make a mask takes as long as to read under it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right

_LASTING: dict[Hashable, tuple[Tensor, Tensor | None]] = {}
_MAX_LASTING = 32
_MAX_LASTING_BYTES = 2**19


@contextmanager
def made_for_each_forward() -> Iterator[None]:
    """Let no mask outlast its forward inside, as on a GPU; for who counts what is launched there."""
    global _MAX_LASTING_BYTES  # noqa: PLW0603
    before, _MAX_LASTING_BYTES = _MAX_LASTING_BYTES, 0
    _LASTING.clear()
    try:
        yield
    finally:
        _MAX_LASTING_BYTES = before


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
        self, queries: Float[Tensor, "heads tokens head_dim"], lengths: Sequence[int]
    ) -> Float[Tensor, "tokens tokens"]:
        """Return what is added to scores of a text and others behind it, which see it but not each other.

        Args:
            queries: of all of them.
            lengths: of each text, in tokens.
        """

        def make() -> Tensor:
            hiding, first = _hiding(queries, queries.shape[1]), lengths[0]
            for start, stop in pairwise(accumulate(lengths)):
                hiding[start:stop, first:start] = -torch.inf
            return hiding

        return self._once(queries, ("apart", *lengths), make)

    def spread(
        self, hiding: Float[Tensor, "tokens newest"], tokens: slice, group: int, *, held: int, end: int
    ) -> Float[Tensor, "one rows keys"]:
        """Return what is added to the scores of some tokens, for the heads of a group one after the other.

        Args:
            hiding: what ``later`` or ``apart`` returned.
            tokens: of its rows.
            group: heads.
            held: tokens whose keys are there; ``hiding`` is of the last of them.
            end: where keys end that are filled up; none is seen behind ``held``.
        """

        def make() -> Tensor:
            rows = F.pad(hiding[tokens], (held - hiding.shape[1], 0))
            return F.pad(rows, (0, end - held), value=-torch.inf).repeat(group, 1)[None]

        if tokens.start or tokens.stop < len(hiding):
            return make()  # parts are many, where weights are to take little
        which = ("spread", id(hiding), tokens.start, tokens.stop, group, held, end)
        return self._once(hiding, which, make, keeps=hiding)  # so that nothing else gets its id

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

    def share(
        self, weights: Float[Tensor, "heads tokens held"], tokens: slice
    ) -> Float[Tensor, " heads_and_tokens"]:
        """Return what makes the mean over all heads and some tokens of the sum over all.

        Args:
            weights: of all tokens.
            tokens: those that count.
        """
        heads, count = weights.shape[:2]

        def make() -> Tensor:
            share = weights.new_zeros(heads, count)
            share[:, tokens] = 1 / (heads * (tokens.stop - tokens.start))
            return share.flatten()

        return self._once(weights, ("share", heads, count, tokens.start, tokens.stop), make)

    def _once(
        self,
        like: Tensor,
        which: tuple[Hashable, ...],
        make: Callable[[], Tensor],
        keeps: Tensor | None = None,
    ) -> Tensor:
        key = (like.device, like.dtype, which)
        if (made := self._made.get(key)) is not None:
            return made
        if (lasting := _LASTING.get(key)) is not None:
            return lasting[0]
        with torch.inference_mode(False):  # so that it may be used with and without
            made = make()
        # On a GPU another stream might read it before it is made.
        if like.device.type == "cpu" and made.nbytes <= _MAX_LASTING_BYTES:
            if len(_LASTING) >= _MAX_LASTING:
                _LASTING.clear()
            _LASTING[key] = made, keeps
        else:
            self._made[key] = made
        return made


def _branches(lengths: Sequence[int]) -> Int[Tensor, " tokens"]:
    return torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))


def _hiding(
    queries: Float[Tensor, "heads tokens head_dim"], held: int
) -> Float[Tensor, "tokens held_tokens"]:
    count = queries.shape[1]
    return queries.new_full((count, held), -torch.inf).triu(held - count + 1)
