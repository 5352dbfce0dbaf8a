"""The second embedded checkpoint: Qwen2.5-VL, very small, two frames a second, positions on three axes.

A temporal patch is two frames half a second apart, or one frame twice if the second has not come yet. Half of
the streams that are asked in between go on half a second later, so that patches begin at any half second; the
others skip the frame whose place the repeated one took.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AttentionInterface,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from hermes_lab.training.batch import Batch
from hermes_lab.training.checkpoint import (
    DECODER,
    GUIDANCE_PROMPTS,
    IMAGE_SIZE,
    KNOWS,
    MEMORY_BUDGET_TOKENS,
    PIXEL_SETTINGS,
    SPECIAL_TOKENS,
    TOKENS_PER_TEMPORAL_PATCH,
    TRAINING_FRAMES,
    WORD_STD,
    WORDS,
    build_tokenizer,
    save_folder,
)
from hermes_lab.training.family import Family, draw_patch_gaps
from hermes_stream.models.chat import Chat, split_chat

PATCH_SIZE = 12
MERGE_SIZE = 2
FRAMES_PER_PATCH = 2
TOKENS_PER_SECOND = 2
FPS = 2
QWEN_SPECIAL_TOKENS = (
    *SPECIAL_TOKENS[:4],
    "<|vision_start|>",
    "<|vision_end|>",
    "<|video_pad|>",
    "<|image_pad|>",
)
QWEN_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_MAX_REPEATED_SHARE = 0.45


def build_config() -> Qwen2_5_VLConfig:
    """Describe the architecture: the first model's decoder, positions on three axes, a tower of its own."""
    ids = {token: i for i, token in enumerate(QWEN_SPECIAL_TOKENS)}
    vision = {
        "depth": 3,
        "hidden_size": 80,
        "intermediate_size": 160,
        "num_heads": 4,
        "patch_size": PATCH_SIZE,
        "spatial_merge_size": MERGE_SIZE,
        "temporal_patch_size": FRAMES_PER_PATCH,
        "tokens_per_second": TOKENS_PER_SECOND,
        "window_size": IMAGE_SIZE,
        "fullatt_block_indexes": [0, 1, 2],
        "out_hidden_size": 128,
    }
    text = {
        **DECODER,
        "vocab_size": len(QWEN_SPECIAL_TOKENS) + len(WORDS),
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [6, 5, 5],
        },
    }
    return Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        training_frames=TRAINING_FRAMES * FPS,
        training_fps=float(FPS),
        knows=KNOWS,
        memory_budget_tokens=MEMORY_BUDGET_TOKENS,
        guidance_prompts=GUIDANCE_PROMPTS,
        multiple_choice="text",
        text_after_video="clock",
    )


def copy_decoder(model: Any, start: Any, tokenizer: Any, start_tokenizer: Any) -> None:
    """Copy decoder and word embeddings from the first model; its newline becomes what closes the video."""
    ours, theirs = model.model.language_model, start.model.language_model
    embeddings = ours.embed_tokens.weight
    copied = {name: value for name, value in theirs.state_dict().items() if name != "embed_tokens.weight"}
    ours.load_state_dict({**copied, "embed_tokens.weight": embeddings})
    known = start_tokenizer.get_vocab()
    with torch.no_grad():
        for word, i in tokenizer.get_vocab().items():
            if word in known:
                embeddings[i] = theirs.embed_tokens.weight[known[word]]
        embeddings[tokenizer.convert_tokens_to_ids("<|vision_end|>")] = start.model.image_newline


def to_pixel_patches(pixels: Tensor) -> Tensor:
    """Flatten temporal patches ``[n, frames, 3, side, side]`` as Qwen's preprocessing does.

    Returns:
        ``[n * pixel patches, values]``: by blocks of those that are merged; values by channel, frame, row,
        column.
    """
    n, frames, channels, height, width = pixels.shape
    rows, columns = (side // PATCH_SIZE // MERGE_SIZE for side in (height, width))
    blocks = pixels.view(n, frames, channels, rows, MERGE_SIZE, PATCH_SIZE, columns, MERGE_SIZE, PATCH_SIZE)
    return blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).flatten(0, 4).flatten(1)


def temporal_patch_attention(
    module: nn.Module,  # noqa: ARG001
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *_masks: Tensor | None,
    num_temporal_patches: int = 1,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each of the temporal patches in ``[1, heads, tokens, head_dim]``, all in one call."""
    apart = (part[0].unflatten(1, (num_temporal_patches, -1)).transpose(0, 1) for part in (query, key, value))
    attended = F.scaled_dot_product_attention(*apart)
    return attended.transpose(1, 2).flatten(0, 1)[None], None


def with_patch_attention(model: Any) -> Any:
    """Let a model's vision tower encode many temporal patches in one call, and return the model."""
    AttentionInterface.register("temporal_patches", temporal_patch_attention)
    model.set_attn_implementation({"vision_config": "temporal_patches"})
    return model


@final
class Qwen25VLFamily(Family):
    """Qwen2.5-VL: a temporal patch is two frames, time has an axis of its own."""

    @property
    def fps(self) -> int:
        """Two."""
        return FPS

    def build_model(self, seed: int, start: nn.Module | None) -> Any:
        """Build the model; decoder and word embeddings are those of ``start``, if there is one."""
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(build_config())
        with torch.no_grad():
            model.model.language_model.embed_tokens.weight.normal_(std=WORD_STD)
        if start is not None:
            start_tokenizer = PreTrainedTokenizerFast.from_pretrained(start.name_or_path)
            copy_decoder(model, start, self.build_tokenizer(), start_tokenizer)
        return with_patch_attention(model)

    def build_tokenizer(self) -> PreTrainedTokenizerFast:
        """Build the tokenizer: the first model's words in the same order behind Qwen's special tokens."""
        return build_tokenizer(QWEN_SPECIAL_TOKENS, QWEN_CHAT_TEMPLATE)

    def build_chat(self) -> Chat:
        """Split the chat template around the video's token; vision_end opens the question."""
        tokenizer = self.build_tokenizer()
        stop = frozenset([int(tokenizer.eos_token_id)])
        return split_chat(tokenizer, placeholder="<|video_pad|>", stop_token_ids=stop, template=None)

    def save(self, model: Any, folder: Path) -> None:
        """Write an ordinary checkpoint folder."""
        save_folder(folder, model, self.build_tokenizer(), preprocessing_settings())

    def vision_modules(self, model: Any) -> list[nn.Module]:
        """Return the tower with its merger."""
        return [model.model.visual]

    def visual_tokens(self, model: Any, pixels: Tensor) -> Tensor:
        """Encode temporal patches ``[n, 2, 3, side, side]`` in one call, as one long one."""
        n = len(pixels)
        rows, columns = (side // PATCH_SIZE for side in pixels.shape[3:])
        grid = torch.tensor([[1, rows, columns]]).expand(n, -1)
        ends = torch.tensor([0, n * rows * columns], dtype=torch.int32)
        output = model.model.visual(to_pixel_patches(pixels), grid, cu_seqlens=ends, num_temporal_patches=n)
        return output.pooler_output.unflatten(0, (n, -1))

    def list_patches(self, num_seconds: int) -> Tensor:
        """List, for every frame, itself twice and then with the next; the last has no next."""
        first = torch.arange(num_seconds * FPS).repeat_interleave(2)
        follows = torch.arange(2).repeat(num_seconds * FPS)
        return torch.stack([first, (first + follows).clamp_max(num_seconds * FPS - 1)], dim=1)

    def draw_patches(self, rng: np.random.Generator, num_streams: int, num_seconds: int) -> Tensor:
        """Draw pairs and repeated frames; half of the streams skip half a second after the latter."""
        streams = []
        for _ in range(num_streams):
            repeated = rng.random(num_seconds) < rng.uniform(0, _MAX_REPEATED_SHARE)
            skips = rng.random() < 0.5
            lengths = np.where(repeated & ~np.bool_(skips), 1, FRAMES_PER_PATCH)
            first = np.concatenate([[0], lengths.cumsum()[:-1]])
            streams.append(2 * first + ~repeated)
        return torch.from_numpy(np.stack(streams))

    def draw_question_patch(self, rng: np.random.Generator, patches: Tensor, earliest: int) -> int:
        """Ask as often after repeated frames as after pairs."""
        wants_repeated = rng.random() < 0.5
        possible = np.flatnonzero((patches.numpy() % 2 == 0) == wants_repeated)
        possible = possible[possible >= earliest]
        if not len(possible):
            return int(rng.integers(earliest, len(patches)))
        return int(possible[rng.integers(len(possible))])

    def draw_gaps(
        self, rng: np.random.Generator, num_streams: int, num_seconds: int, max_gap: int, *, far_gap: int = 0
    ) -> Tensor:
        """Let time jump between temporal patches; the tokens of one have one time."""
        gaps = torch.zeros(num_streams, num_seconds, TOKENS_PER_TEMPORAL_PATCH, dtype=torch.long)
        between = draw_patch_gaps(rng, num_streams, num_seconds, max_gap, far_gap=far_gap)
        gaps[..., 0] = torch.from_numpy(between)
        return gaps

    @property
    def positions_per_second(self) -> int:
        """Time goes by the clock."""
        return TOKENS_PER_SECOND

    @property
    def max_question_gap(self) -> int:
        """As many positions as 48 seconds take."""
        return TRAINING_FRAMES * TOKENS_PER_SECOND

    def position_ids(self, batch: Batch, num_prefix_tokens: int) -> Tensor:
        """Return position ids ``[3, streams, tokens]``: time by the clock, height and width from the prefix.

        A question starts one after the highest position on any axis of what it sees.
        """
        side = IMAGE_SIZE // PATCH_SIZE // MERGE_SIZE
        first_seconds = batch.patches // 2 / FPS
        time = num_prefix_tokens + (first_seconds * TOKENS_PER_SECOND).long() + batch.gaps[..., 0].cumsum(1)
        grid = num_prefix_tokens + torch.arange(side)
        rows, columns = grid.repeat_interleave(side), grid.repeat(side)
        video = torch.stack(torch.broadcast_tensors(time[..., None], rows, columns)).flatten(2)
        starts = time.gather(1, batch.num_visible_patches - 1).clamp_min(int(grid[-1])) + 1
        text = batch.of_tokens(starts + batch.question_gaps) + batch.offsets
        prefix = torch.arange(num_prefix_tokens).expand(3, len(batch.gaps), -1)
        return torch.cat([prefix, video, text.expand(3, -1, -1)], dim=2)

    def leading_ids(self, chat: Chat) -> list[int]:  # noqa: ARG002
        """Return none: the template closes the video itself."""
        return []

    def video_end(self, model: Any) -> nn.Parameter | None:  # noqa: ARG002
        """Return none: vision_end is a token like any other."""
        return None


def preprocessing_settings() -> dict[str, Any]:
    """Return what the preprocessor file says: images of one area, sides divisible by merged patches."""
    return {
        **PIXEL_SETTINGS,
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": IMAGE_SIZE**2,
        "max_pixels": IMAGE_SIZE**2,
        "patch_size": PATCH_SIZE,
        "temporal_patch_size": FRAMES_PER_PATCH,
        "merge_size": MERGE_SIZE,
    }
