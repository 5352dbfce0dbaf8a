"""HERMES: keep what matters to each layer's kind of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.memory.constants import constant
from hermes_stream.memory.novelty import key_norms, novelty, unlikeness
from hermes_stream.memory.positions import Axes, Gaps, PositionRule
from hermes_stream.memory.scoring import importance, recency_of_state
from hermes_stream.memory.selection import first_of, layer_budgets, ranked, select
from hermes_stream.memory.smoothing import Match, mean_of_neighbours, pool, smooth
from hermes_stream.memory.state import MemoryState, PerLayer, RetentionPlan
from hermes_stream.memory.summary import summary_in_place
from hermes_stream.memory.tiers import Tier, Tiers
from hermes_stream.policies.base import (
    Choosing,
    Guidance,
    GuidancePrompts,
    MemoryPolicy,
    PolicyFacts,
    check_choice,
    check_min,
    check_prompts,
    keeping,
)

Backend = Literal["llava_onevision", "qwen2_5_vl"]
Reindex = Literal["lazy", "eager"]
GuidanceForward = Literal["true", "embeddings"]
SummaryPlace = Literal["newest", "middle", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HermesPolicy(MemoryPolicy):
    """Score tokens by recency in shallow layers, by attention in deep ones, by both between, and smooth.

    Attributes:
        budget_tokens: visual tokens each layer keeps, mean over layers, at least 1. Paper: sec. 4 (4,000).
            None leaves it open: a stream takes its model's default.
        sensory_share: part of the layers that is sensory memory. Paper: sec. 2.
        long_term_share: part of the layers that is long-term memory. Paper: sec. 2.
        sensory_decay: k of recency in sensory layers. Released code; the paper prints none.
        working_decay: k at the start of working memory and at its end. Released code, Qwen back end.
        working_recency_weight: weight of recency at the start of working memory and at its end; attention
            has the rest. Paper: eq. 3, w0 = 0.75 and w0 - g = 0.15. In sensory memory it is 1 (eq. 1), in
            long-term memory 0 (eq. 2).
        smoothing: lam of sensory, working and long-term layers. Paper: app. C.
        smoothing_match: find a token in the next layer by identity (paper) or by index (released code).
        smoothing_recursive: blend with smoothed scores (released code) instead of raw ones (paper: eq. 5).
        same_tokens: layers keep the same tokens, the best by the mean of their smoothed scores. Ours.
        novelty: scores are multiplied by a token's novelty to this power, so that of many like tokens at a
            grid index few stay; 0 turns it off. Ours.
        unlike_share: part of the budget, in [0, 1], that goes to the protected newest patches and to older
            tokens that are least like theirs at their grid index, whatever they score; 0 turns it off. Ours,
            after the temporal redundancy of InfiniPot-V.
        averaged_tokens: a score is the mean over so many tokens in order, its own in the middle; odd, so that
            a thing is kept with what is beside it. Ours, after InfiniPot-V.
        summarize: long-term layers merge what they evict into one token. Paper: app. F.
        summary_place: position of that token, which the paper does not give: that of the "newest" kept token,
            the "middle" of what it stands for (ours), or the "end", behind all, which moves the clock
            (released code).
        tier_budget_weights: relative budgets of sensory, working and long-term layers. Paper: tab. 5.
        reindex: "eager" gives dense positions at each compression, "lazy" leaves that to the cache, which
            does it when positions near the model's limit. Paper: sec. 3.3, lazy for streams.
        gaps: "ranked" positions are dense (paper); "scaled" ones shorten all gaps by one factor, only as far
            as the room needs it, so that ages keep their order and nearly their ratios. Ours.
        reindex_axes: axes whose positions become dense where there are three: "t" alone, so that rows and
            columns stay where new frames have theirs, or "all" (paper, released code).
        protect_recent_patches: newest temporal patches that stay whole as long as the budget lasts. Ours.
        prompts: local and global guidance prompt; None uses those of the checkpoint. Paper: app. B
        guidance_forward: "true" runs prompts through the layers (paper); "embeddings" lets every layer read
            their token embeddings, as the first does (released code, whose prompts never advance).
        trigger_counts_prefix: compress when prefix and video exceed the budget (released code) instead of
            video alone (paper).

    Raises:
        ValueError: a field is out of its range.

    Paper: sec. 3
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(
        summary="the newest in shallow layers, what guidance attends to in deep ones, a mix between",
        paper="HERMES, arXiv 2601.14724",
        budget_rule="visual tokens each layer keeps, its summary included, mean over layers",
        reads=("attention", "positions", "keys"),
    )

    budget_tokens: int | None = 4000
    sensory_share: float = 0.1
    long_term_share: float = 0.3
    sensory_decay: float = 20.0
    working_decay: tuple[float, float] = (20.0, 8.0)
    working_recency_weight: tuple[float, float] = (0.75, 0.15)
    smoothing: tuple[float, float, float] = (0.1, 0.3, 0.4)
    smoothing_match: Match = "identity"
    smoothing_recursive: bool = False
    same_tokens: bool = False
    novelty: float = 0.0
    unlike_share: float = 0.0
    averaged_tokens: int = 1
    summarize: bool = True
    summary_place: SummaryPlace = "newest"
    tier_budget_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    reindex: Reindex = "lazy"
    reindex_axes: Axes = "t"
    gaps: Gaps = "ranked"
    protect_recent_patches: int = 0
    prompts: tuple[str, str] | None = None
    guidance_forward: GuidanceForward = "true"
    trigger_counts_prefix: bool = False

    def __post_init__(self) -> None:
        if self.budget_tokens is not None:
            check_min("budget_tokens", self.budget_tokens, 1)
        check_min("protect_recent_patches", self.protect_recent_patches, 0)
        check_min("novelty", self.novelty, 0)
        if not 0 <= self.unlike_share <= 1:
            raise ValueError(f"unlike_share must be in [0, 1]; got {self.unlike_share}")
        if self.averaged_tokens < 1 or self.averaged_tokens % 2 == 0:
            raise ValueError(f"averaged_tokens must be odd and at least 1; got {self.averaged_tokens}")
        for decay in (self.sensory_decay, *self.working_decay):
            check_min("sensory_decay and working_decay", decay, 0)
        for share in self.working_recency_weight + self.smoothing:
            if not 0 <= share <= 1:
                raise ValueError(f"working_recency_weight and smoothing must be in [0, 1]; got {share}")
        if min(self.tier_budget_weights) <= 0:
            raise ValueError(f"tier_budget_weights must be above 0; got {self.tier_budget_weights}")
        check_choice("smoothing_match", self.smoothing_match, get_args(Match))
        check_choice("reindex", self.reindex, get_args(Reindex))
        check_choice("reindex_axes", self.reindex_axes, get_args(Axes))
        check_choice("gaps", self.gaps, get_args(Gaps))
        if self.gaps == "scaled" and self.reindex_axes == "all":
            raise ValueError('gaps="scaled" must come with reindex_axes="t": rows and columns have no ages')
        check_choice("guidance_forward", self.guidance_forward, get_args(GuidanceForward))
        check_prompts(self.prompts)
        check_choice("summary_place", self.summary_place, get_args(SummaryPlace))
        self.tiers(1)

    @classmethod
    def paper(cls, budget_tokens: int = 4000) -> HermesPolicy:
        """Return the method as the paper describes it; k, which it never prints, as in the Qwen back end."""
        return cls(budget_tokens=budget_tokens)

    @classmethod
    def best(cls, budget_tokens: int | None = None) -> HermesPolicy:
        """Return the combination of our additions that measured best (docs/evidence.md): the default memory.

        All layers keep the same tokens. Half of the budget goes to the newest two frames and to older tokens
        least like them, the rest to the best by scores times novelty, which each layer gives in its tier's
        way and which are then averaged over layers; no summary.

        Args:
            budget_tokens: visual tokens each layer keeps, at least 1; None takes the model's default.
        """
        return cls(
            budget_tokens=budget_tokens,
            same_tokens=True,
            novelty=1.0,
            unlike_share=0.5,
            protect_recent_patches=2,
            summarize=False,
        )

    @classmethod
    def reference_code(cls, backend: Backend, budget_tokens: int = 4000) -> HermesPolicy:
        """Return the configuration that decides as the released code does, bugs of its guidance aside.

        Args:
            backend: which of its back ends; they differ in k and w of working memory.
            budget_tokens: visual tokens each layer keeps, at least 1.

        Raises:
            ValueError: the released code has no such back end.
        """
        check_choice("backend", backend, get_args(Backend))
        is_llava = backend == "llava_onevision"
        return cls(
            budget_tokens=budget_tokens,
            working_decay=(20.0, 0.5) if is_llava else (20.0, 8.0),
            working_recency_weight=(1.0, 0.1) if is_llava else (0.75, 0.15),
            smoothing_match="index",
            smoothing_recursive=True,
            summary_place="end",
            reindex_axes="all",
            trigger_counts_prefix=True,
        )

    def tiers(self, num_layers: int) -> Tiers:
        """Return which layers are which memory."""
        return Tiers(
            num_layers=num_layers, sensory_share=self.sensory_share, long_term_share=self.long_term_share
        )

    @property
    def position_rule(self) -> PositionRule:
        """How positions change; a summary in the middle stands where one of what it stands for stood."""
        at_end = self.summary_place == "end"
        return PositionRule(axes=self.reindex_axes, gaps=self.gaps, summary="end" if at_end else "newest")

    def layer_budgets(self, num_layers: int) -> tuple[int, ...]:
        """Return the budget of each layer in tokens, its summary included.

        Raises:
            ValueError: the budget was left open, see ``budget_tokens``.
        """
        if self.budget_tokens is None:
            raise ValueError("the budget is open; name budget_tokens, or let a session take its model's")
        return self._divided(self.budget_tokens, num_layers)

    def _divided(self, budget_tokens: int, num_layers: int) -> tuple[int, ...]:
        weights = [self.tier_budget_weights[tier] for tier in self.tiers(num_layers).tier_of_layer]
        return layer_budgets(weights, budget_tokens)

    def with_default_budget(self, budget_tokens: int) -> HermesPolicy:
        """Return the policy with this budget if its own was left open."""
        return self if self.budget_tokens is not None else replace(self, budget_tokens=budget_tokens)

    def exceeds(self, num_visual_tokens: int, budget_tokens: int, num_prefix_tokens: int) -> bool:
        """Tell whether a layer with this many visual tokens must be compressed."""
        counted = num_visual_tokens + (num_prefix_tokens if self.trigger_counts_prefix else 0)
        return counted > budget_tokens

    def guidance(
        self, num_layers: int, prompts: GuidancePrompts, last_conversation: str | None
    ) -> Guidance | None:
        """Let working layers read local and global prompt as one, long-term layers the global one.

        Paper: app. B
        """
        if self.prompts is not None:
            prompts = replace(prompts, local_prompt=self.prompts[0], global_prompt=self.prompts[1])
        local_text, global_text = prompts.texts(last_conversation)
        # Sensory layers score by recency alone (w = 1): they need no prompt.
        prompt_of_tier = {Tier.SENSORY: None, Tier.WORKING: 0, Tier.LONG_TERM: 1}
        return Guidance(
            prompts=(f"{local_text}; {global_text}", global_text),
            prompt_of_layer=tuple(prompt_of_tier[tier] for tier in self.tiers(num_layers).tier_of_layer),
            advances=self.guidance_forward == "true",
        )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Score, smooth, select; a layer that summarizes keeps one token less to make room.

        Raises:
            ValueError: the state lacks what ``scores`` needs.
        """
        device, budgets = state.token_ids.device, self.layer_budgets(state.num_layers)
        summarizing = self._summarizing_layers(budgets)
        room = tuple(budget - makes for budget, makes in zip(budgets, summarizing, strict=True))
        # Where all layers hold the same tokens and keep the same ones, one layer is planned for all.
        is_shared = self.same_tokens and state.layers_alike and len(set(room)) == 1
        rows = slice(1) if is_shared else slice(None)
        shares = tuple(int(budget * self.unlike_share) for budget in budgets)
        room_and_shares = (constant(own, torch.long, device)[rows] for own in (room, shares))
        kept = self._kept_by(state, rows)(*room_and_shares).expand(state.num_layers, -1)
        summarize, is_eager = constant(summarizing, torch.bool, device), self.reindex == "eager"
        num_kept = num_new = None
        if (held := state.num_held) is not None:
            num_kept = tuple(map(min, held, room))
            num_new = tuple(
                int(makes and count > own) for makes, count, own in zip(summarizing, held, room, strict=True)
            )
        merge = None
        if self.summary_place == "middle":
            merge = summary_in_place(state.present & ~kept, state.counts, summarize)
            summarize = torch.zeros_like(summarize)
        return keeping(
            kept[rows], summarize=summarize, reindex=is_eager, merge=merge, num_kept=num_kept, num_new=num_new
        )

    def choosing(self, state: MemoryState) -> Choosing | None:
        """Score once for all budgets; see ``MemoryPolicy.choosing``."""
        if self.summarize and self.summary_place == "middle":
            return None
        kept = self._kept_by(state, slice(None))
        makes = self._summarizing_layers((2,) * state.num_layers)  # where a budget is above 1
        may_summarize = constant(makes, torch.bool, state.token_ids.device)

        def plan(budgets: Int[Tensor, " layers"]) -> tuple[Tensor, Tensor]:
            makes = may_summarize & (budgets > 1)
            unlike = budgets.to(state.pts_seconds.dtype) * self.unlike_share
            return kept(budgets - makes.long(), unlike.long()), makes

        return Choosing(plan=plan, budgets=self._divided, reindex=self.reindex == "eager")

    def _kept_by(self, state: MemoryState, rows: slice) -> Callable[..., Bool[Tensor, "rows tokens"]]:
        """Return what marks the tokens that stay, from the room of each of some layers, and the unlike's."""
        norms = self._key_norms(state)
        scores, present = self.scores(state, norms)[rows], None if state.is_full else state.present[rows]
        patches, recent = state.temporal_patch_ids[rows], None
        if patches.numel() and (self.protect_recent_patches or self.unlike_share):
            # Counted from the stream's newest patch, the same in all layers, whatever each still holds.
            recent = patches >= (patches.max() - (self.protect_recent_patches - 1)).clamp(min=0)
        unlike = None  # the newest frames, then the tokens that are least like them
        if recent is not None and self.unlike_share:
            unlike = ranked(self._unlikeness(state, recent, rows, norms), present, recent)

        def kept(room: Int[Tensor, " rows"], shares: Int[Tensor, " rows"]) -> Bool[Tensor, "rows tokens"]:
            preferred = recent if unlike is None else first_of(unlike, present, shares)
            return select(scores, present, room, preferred=preferred)

        return kept

    def scores(
        self, state: MemoryState, norms: Float[Tensor, "layers kv_heads tokens"] | None = None
    ) -> Float[Tensor, "layers tokens"]:
        """Return the smoothed importance of every token, 0 on padding.

        Args:
            state: with the attention of the prompts.
            norms: of its raw keys, for who has them.

        Raises:
            ValueError: the state carries no attention; or novelty is asked for, and it carries no raw keys or
                grid indices.

        Paper: sec. 3.1; sec. 3.2
        """
        if state.attention is None:
            raise ValueError(
                "state.attention is None; HermesPolicy needs the attention of the prompts that its "
                "guidance() names: read them before plan()"
            )
        tiers, device = self.tiers(state.num_layers), state.token_ids.device
        decay = tiers.spread(sensory=self.sensory_decay, working=self.working_decay, long_term=0.0)
        weight = tiers.spread(sensory=1.0, working=self.working_recency_weight, long_term=0.0)
        strength = tuple(self.smoothing[tier] for tier in tiers.tier_of_layer)
        raw = importance(
            state.attention,
            None if state.is_full else state.present,
            recency_of_state(state, decay=decay, recency_weight=weight),
            constant(weight, torch.float32, device),
        )
        smoothed = smooth(
            raw,
            state.token_ids,
            constant(strength, torch.float32, device),
            match=self.smoothing_match,
            recursive=self.smoothing_recursive,
            layers_alike=state.layers_alike,
            is_full=state.is_full,
        )
        if self.novelty:
            keys, grid = self._shown(state, "novelty")
            is_one = state.layers_alike and norms is not None
            smoothed = smoothed * novelty(keys, grid[:1] if is_one else grid, norms) ** self.novelty
        if self.same_tokens:
            smoothed = pool(smoothed, state.token_ids, layers_alike=state.layers_alike)
        size = self.averaged_tokens
        return smoothed if size == 1 else mean_of_neighbours(smoothed, state.lengths, size)

    def _key_norms(self, state: MemoryState) -> Float[Tensor, "layers kv_heads tokens"] | None:
        """Measure keys once for all that compares them."""
        if state.raw_keys is None or not (self.novelty or self.unlike_share) or not state.token_ids.numel():
            return None
        return key_norms(state.raw_keys, *state.token_ids.shape)

    def _shown(self, state: MemoryState, field: str) -> tuple[PerLayer, Int[Tensor, "layers tokens"]]:
        """Return the raw keys and grid indices that a field needs.

        Raises:
            ValueError: the state carries none.
        """
        if state.raw_keys is None or state.grid_indices is None:
            raise ValueError(
                f"{field}={getattr(self, field)} needs a state that shows raw_keys and grid_indices; "
                f"make it with shows_keys=True, or set {field}=0"
            )
        return state.raw_keys, state.grid_indices

    def _summarizing_layers(self, budgets: Sequence[int]) -> tuple[bool, ...]:
        """Find long-term layers with room for one token beside the summary."""
        tiers = self.tiers(len(budgets)).tier_of_layer
        return tuple(
            self.summarize and tier is Tier.LONG_TERM and budget > 1
            for tier, budget in zip(tiers, budgets, strict=True)
        )

    def _unlikeness(
        self,
        state: MemoryState,
        recent: Bool[Tensor, "rows tokens"],
        rows: slice,
        norms: Float[Tensor, "layers kv_heads tokens"] | None,
    ) -> Float[Tensor, "rows tokens"]:
        keys, grid = self._shown(state, "unlike_share")
        size = state.grid_size
        most = None if size is None else size * self.protect_recent_patches
        unlike = unlikeness(keys, grid[rows], recent, grid_size=size, most_recent=most, norms=norms)
        if self.same_tokens:
            unlike = pool(unlike, state.token_ids, layers_alike=state.layers_alike)
        return unlike[rows]
