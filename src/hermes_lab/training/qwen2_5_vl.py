"""The second embedded checkpoint: Qwen2.5-VL, very small, two pictures a second, positions on three axes.

A glimpse is a temporal patch: two pictures half a second apart, or one shown twice where the second is not
there yet. A stream that is asked in between goes on half a second later, so that patches begin at any half
second; the other half of the streams skip what the repeated picture stood for.
"""

from __future__ import annotations

import json
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

from hermes_lab.training.checkpoint import (
    GUIDANCE_PROMPTS,
    IMAGE_SIZE,
    MEMORY_BUDGET_TOKENS,
    SPECIAL_TOKENS,
    TRAINING_FRAMES,
    WORD_STD,
    WORDS,
    build_tokenizer,
)
from hermes_lab.training.family import Family
from hermes_lab.training.lessons import Lesson
from hermes_stream.models.chat import Chat, split_chat

PATCH_SIZE = 12
MERGE_SIZE = 2
PICTURES_PER_PATCH = 2
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

_MOST_REPEATED = 0.45
_LONGEST_CLOCK_JUMP = 6


def build_config() -> Qwen2_5_VLConfig:
    """Describe the architecture: the first model's decoder, positions on three axes, a tower of its own."""
    ids = {word: i for i, word in enumerate(QWEN_SPECIAL_TOKENS)}
    vision = {
        "depth": 3,
        "hidden_size": 80,
        "intermediate_size": 160,
        "num_heads": 4,
        "patch_size": PATCH_SIZE,
        "spatial_merge_size": MERGE_SIZE,
        "temporal_patch_size": PICTURES_PER_PATCH,
        "tokens_per_second": TOKENS_PER_SECOND,
        "window_size": IMAGE_SIZE,
        "fullatt_block_indexes": [0, 1, 2],
        "out_hidden_size": 128,
    }
    text = {
        "vocab_size": len(QWEN_SPECIAL_TOKENS) + len(WORDS),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 10,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [6, 5, 5],
        },
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<pad>"],
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
        memory_budget_tokens=MEMORY_BUDGET_TOKENS,
        guidance_prompts=GUIDANCE_PROMPTS,
        multiple_choice="text",
        text_after_video="clock",
    )


def lend_decoder(model: Any, start: Any, tokenizer: Any, start_tokenizer: Any) -> None:
    """Copy decoder and words from the first model; what closed the video there closes it here."""
    ours, theirs = model.model.language_model, start.model.language_model
    words = ours.embed_tokens.weight
    lent = {name: value for name, value in theirs.state_dict().items() if name != "embed_tokens.weight"}
    ours.load_state_dict({**lent, "embed_tokens.weight": words})
    known = start_tokenizer.get_vocab()
    with torch.no_grad():
        for word, i in tokenizer.get_vocab().items():
            if word in known:
                words[i] = theirs.embed_tokens.weight[known[word]]
        words[tokenizer.convert_tokens_to_ids("<|vision_end|>")] = start.model.image_newline


def to_patches(pixels: Tensor) -> Tensor:
    """Flatten glimpses ``[n, pictures, 3, side, side]`` as Qwen's preprocessing does, ``[patches, values]``.

    Patches come by blocks of those that are merged; a patch's values by channel, picture, row, column.
    """
    n, pictures, channels, height, width = pixels.shape
    rows, columns = (side // PATCH_SIZE // MERGE_SIZE for side in (height, width))
    blocks = pixels.view(n, pictures, channels, rows, MERGE_SIZE, PATCH_SIZE, columns, MERGE_SIZE, PATCH_SIZE)
    return blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).flatten(0, 4).flatten(1)


def glimpse_attention(
    module: nn.Module,  # noqa: ARG001
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    *,
    num_glimpses: int = 1,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each of the glimpses that lie one after the other in ``[1, heads, tokens, head_dim]``."""
    apart = (part[0].unflatten(1, (num_glimpses, -1)).transpose(0, 1) for part in (query, key, value))
    attended = F.scaled_dot_product_attention(*apart)
    return attended.transpose(1, 2).flatten(0, 1)[None], None


def glimpse_attention_of(model: Any) -> Any:
    """Let a model's vision tower read many glimpses in one call, and return the model."""
    AttentionInterface.register("glimpses", glimpse_attention)
    model.set_attn_implementation({"vision_config": "glimpses"})
    return model


@final
class Qwen25VLFamily(Family):
    """Qwen2.5-VL: a glimpse is a temporal patch of two pictures, time has an axis of its own."""

    @property
    def pictures_per_second(self) -> int:
        """Two."""
        return FPS

    def build_model(self, seed: int, start: nn.Module | None) -> Any:
        """Build the model; decoder and words start from another where one is given."""
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(build_config())
        with torch.no_grad():
            model.model.language_model.embed_tokens.weight.normal_(std=WORD_STD)
        if start is not None:
            lend_decoder(model, start, self.build_tokenizer(), build_tokenizer())
        return glimpse_attention_of(model)

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
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        self.build_tokenizer().save_pretrained(folder)
        path = folder / "preprocessor_config.json"
        path.write_text(json.dumps(preprocessing_settings(), indent=2) + "\n", encoding="utf-8")

    def vision_modules(self, model: Any) -> list[nn.Module]:
        """Return the tower with its merger."""
        return [model.model.visual]

    def visual_tokens(self, model: Any, pixels: Tensor) -> Tensor:
        """Encode temporal patches ``[n, 2, 3, side, side]`` in one call, as if they were one long one."""
        n = len(pixels)
        rows, columns = (side // PATCH_SIZE for side in pixels.shape[3:])
        grid = torch.tensor([[1, rows, columns]]).expand(n, -1)
        ends = torch.tensor([0, n * rows * columns], dtype=torch.int32)
        output = model.model.visual(to_patches(pixels), grid, cu_seqlens=ends, num_glimpses=n)
        return output.pooler_output.unflatten(0, (n, -1))

    def glimpses(self, num_seconds: int) -> Tensor:
        """List, for every picture, itself twice and then with the next; the last has no next."""
        first = torch.arange(num_seconds * FPS).repeat_interleave(2)
        follows = torch.arange(2).repeat(num_seconds * FPS)
        return torch.stack([first, (first + follows).clamp_max(num_seconds * FPS - 1)], dim=1)

    def watch(self, rng: np.random.Generator, num_streams: int, num_seconds: int) -> Tensor:
        """Draw pairs and repeated pictures; half of the streams skip half a second after the latter."""
        streams = []
        for _ in range(num_streams):
            repeated = rng.random(num_seconds) < rng.uniform(0, _MOST_REPEATED)
            skips = rng.random() < 0.5
            lengths = np.where(repeated & ~np.bool_(skips), 1, PICTURES_PER_PATCH)
            first = np.concatenate([[0], lengths.cumsum()[:-1]])
            streams.append(2 * first + ~repeated)
        return torch.from_numpy(np.stack(streams))

    def pick_moment(self, rng: np.random.Generator, watched: Tensor, earliest: int) -> int:
        """Ask as often after repeated pictures as after pairs."""
        wants_repeated = rng.random() < 0.5
        possible = np.flatnonzero((watched.numpy() % 2 == 0) == wants_repeated)
        possible = possible[possible >= earliest]
        if not len(possible):
            return int(rng.integers(earliest, len(watched)))
        return int(possible[rng.integers(len(possible))])

    def clock_jumps(self, rng: np.random.Generator, num_streams: int, num_questions: int) -> Tensor:
        """Ask up to a few positions later, as a memory may leave a gap there too."""
        shape = (num_streams, num_questions)
        return torch.from_numpy(rng.integers(0, _LONGEST_CLOCK_JUMP, size=shape) * (rng.random(shape) < 0.5))

    def positions(self, lesson: Lesson, num_prefix_tokens: int) -> Tensor:
        """Return position ids ``[3, streams, tokens]``: time by the clock, places from the video's begin.

        A question starts one after the highest position on any axis of what it sees.
        """
        streams = len(lesson.gaps)
        side = IMAGE_SIZE // PATCH_SIZE // MERGE_SIZE
        first_seconds = lesson.glimpses // 2 / FPS
        time = num_prefix_tokens + (first_seconds * TOKENS_PER_SECOND).long() + lesson.gaps.cumsum(1)
        places = num_prefix_tokens + torch.arange(side)
        rows, columns = places.repeat_interleave(side), places.repeat(side)
        video = torch.stack(torch.broadcast_tensors(time[..., None], rows, columns)).flatten(2)
        clock = time.gather(1, lesson.asked_glimpses - 1).clamp_min(int(places[-1])) + 1
        clock = clock + lesson.clock_jumps
        asked = (clock[..., None] + torch.arange(lesson.token_ids.shape[2])).flatten(1)
        prefix = torch.arange(num_prefix_tokens).expand(3, streams, -1)
        return torch.cat([prefix, video, asked.expand(3, -1, -1)], dim=2)

    def opening_ids(self, chat: Chat) -> list[int]:  # noqa: ARG002
        """Return none: the template closes the video itself."""
        return []

    def video_end(self, model: Any) -> nn.Parameter | None:  # noqa: ARG002
        """Return none: vision_end is a word among others."""
        return None


def preprocessing_settings() -> dict[str, Any]:
    """Return what the preprocessor file says: pictures of one area, sides divisible by merged patches."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_resize": True,
        "min_pixels": IMAGE_SIZE**2,
        "max_pixels": IMAGE_SIZE**2,
        "patch_size": PATCH_SIZE,
        "temporal_patch_size": PICTURES_PER_PATCH,
        "merge_size": MERGE_SIZE,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
