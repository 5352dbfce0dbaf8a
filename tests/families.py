"""Every model family: how to make a random tiny checkpoint of it, and what plain transformers is fed.

What plain transformers is fed is made as its own processors make it, from the chat template and the pictures
alone; its positions are its own. A new family is one more entry of ``FAMILIES``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.checkpoints import save_random_checkpoint
from tests.image_checkpoints import internvl_inputs, save_internvl, save_smolvlm, smolvlm_inputs
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
)

from hermes_lab.training.checkpoint import WORDS
from hermes_stream.video.frame import Frame

QUESTION = "what came before the red circle?"
BEGIN, END, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"
SPECIAL = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", BEGIN, END, "<|image_pad|>", VIDEO)
PATCH, MERGE, PICTURES = 4, 2, 2
SIDE = PATCH * MERGE
LAYERS = 6
MOST_TOKENS = 12
QWEN_TEMPLATE = (
    "{{ '<|im_start|>system\\nanswer the question.<|im_end|>\\n' }}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family's tiny checkpoint.

    Attributes:
        save: writes a random checkpoint, given folder and ``max_positions``.
        inputs: what plain transformers is fed, given folder, pictures and question, at a rate.
        size: height and width of the pictures that tests show it.
        sizes: others that it must read; one where it resizes to a fixed size.
        rates: pictures per second that reach its positions or its text.
        frames_per_temporal_patch: pictures that it encodes as one.
        tolerance: of logits in float32, absolute; differences up to 2.2e-6 were measured.
        half_tolerances: likewise; up to 0.021 in bfloat16 and 0.003 in float16 were measured, as far as plain
            transformers itself is from float32.
    """

    save: Callable[..., Path]
    inputs: Callable[..., dict[str, Any]]
    size: tuple[int, int] = (24, 24)
    sizes: tuple[tuple[int, int], ...] = ((24, 24), (16, 40), (48, 8))
    rates: bool = True
    frames_per_temporal_patch: int = PICTURES
    tolerance: float = 2e-5
    half_tolerances: Mapping[str, float] = field(default_factory=lambda: {"bfloat16": 0.06, "float16": 0.01})


def pictures(
    count: int, *, seed: int = 0, fps: float = 1.0, start: float = 0.0, size: tuple[int, int] = (24, 24)
) -> list[Frame]:
    """Return frames of random blocks of colour."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, size=(count, size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    images = blocks.repeat(4, axis=1).repeat(4, axis=2)
    return [Frame(pts_seconds=start + k / fps, image=image) for k, image in enumerate(images)]


def plain_model(folder: Path, implementation: str = "sdpa", dtype: torch.dtype = torch.float32) -> Any:
    """Load a checkpoint as transformers alone does."""
    model = AutoModelForImageTextToText.from_pretrained(
        folder, attn_implementation=implementation, dtype=dtype
    )
    return model.eval()


def rendered(folder: Path, question: str) -> tuple[Any, str]:
    """Return a checkpoint's tokenizer and one question about one video, as its template writes it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    content = [{"type": "video"}, {"type": "text", "text": question}]
    chat = [{"role": "user", "content": content}]
    return tokenizer, str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))


def llava_inputs(folder: Path, frames: list[Frame], question: str, *, fps: float = 1.0) -> dict[str, Any]:
    """Return a token for each of nine cells of each picture, and ``image_newline`` behind them all."""
    tokenizer, text = rendered(folder, question)
    text = text.replace("<video>", "<video>" * (len(frames) * 9 + 1))
    pixels = np.stack([frame.image for frame in frames]).astype(np.float32) / 127.5 - 1
    return {
        "input_ids": torch.tensor([tokenizer(text, add_special_tokens=False).input_ids]),
        "pixel_values_videos": torch.from_numpy(pixels).permute(0, 3, 1, 2)[None],
    }


def qwen_patches(frames: list[Frame]) -> tuple[torch.Tensor, list[int]]:
    """Cut pictures of whole merged patches with plain loops, the last repeated where their number is odd."""
    images = [frame.image.astype(np.float32) / 127.5 - 1 for frame in frames]
    images += images[-1:] * (-len(images) % PICTURES)
    rows, columns = images[0].shape[0] // PATCH, images[0].shape[1] // PATCH
    patches = []
    for t in range(0, len(images), PICTURES):
        for row in range(0, rows, MERGE):
            for column in range(0, columns, MERGE):
                for i in range(row, row + MERGE):
                    for j in range(column, column + MERGE):
                        y, x = i * PATCH, j * PATCH
                        block = np.stack(
                            [im[y : y + PATCH, x : x + PATCH] for im in images[t : t + PICTURES]]
                        )
                        patches.append(block.transpose(3, 0, 1, 2).ravel())
    return torch.from_numpy(np.stack(patches)), [len(images) // PICTURES, rows, columns]


def qwen_inputs(folder: Path, frames: list[Frame], question: str, *, fps: float = 1.0) -> dict[str, Any]:
    """Return one block of placeholders for the whole video."""
    tokenizer, text = rendered(folder, question)
    pixels, grid = qwen_patches(frames)
    ids = tokenizer(
        text.replace(VIDEO, VIDEO * (len(pixels) // MERGE**2)), add_special_tokens=False
    ).input_ids
    return video_inputs(tokenizer, ids, pixels, grid)


def qwen_inputs_with_rate(
    folder: Path, frames: list[Frame], question: str, *, fps: float = 1.0
) -> dict[str, Any]:
    """Return likewise, and the seconds from frame to frame."""
    inputs = qwen_inputs(folder, frames, question)
    return inputs | {"second_per_grid_ts": torch.tensor([PICTURES / fps])}


def qwen3_inputs(folder: Path, frames: list[Frame], question: str, *, fps: float = 1.0) -> dict[str, Any]:
    """Return a time and a block of placeholders for each frame, without marks around the whole video."""
    tokenizer, text = rendered(folder, question)
    pixels, grid = qwen_patches(frames)
    times = [k / fps for k in range(len(frames))]
    times += times[-1:] * (-len(times) % PICTURES)
    per_frame = len(pixels) // MERGE**2 // grid[0]
    said = "".join(
        f"<{(times[t] + times[t + PICTURES - 1]) / 2:.1f} seconds>{BEGIN}{VIDEO * per_frame}{END}"
        for t in range(0, len(times), PICTURES)
    )
    ids = tokenizer(text.replace(BEGIN + VIDEO + END, said), add_special_tokens=False).input_ids
    return video_inputs(tokenizer, ids, pixels, grid)


def video_inputs(tokenizer: Any, ids: list[int], pixels: torch.Tensor, grid: list[int]) -> dict[str, Any]:
    """Return what the Qwen-VL families are fed, without positions."""
    input_ids = torch.tensor([ids])
    return {
        "input_ids": input_ids,
        "mm_token_type_ids": 2 * (input_ids == tokenizer.convert_tokens_to_ids(VIDEO)).int(),
        "pixel_values_videos": pixels,
        "video_grid_thw": torch.tensor([grid]),
    }


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """Build a word-level tokenizer with the marks of the Qwen-VL families; digits are words."""
    words = (*SPECIAL, *"0123456789<>", *(word for word in WORDS if word not in "0123456789"))
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(dict.fromkeys(words))}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), behavior="removed"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Split(Regex("[<>]"), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", *SPECIAL[4:]],
        chat_template=QWEN_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def text_settings(sections: list[int], max_positions: int) -> dict[str, Any]:
    """Return the text model that the tiny Qwen-VL checkpoints share."""
    return {
        "vocab_size": len(qwen_tokenizer()),
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": max_positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": sections},
        "eos_token_id": SPECIAL.index("<|im_end|>"),
        "pad_token_id": 0,
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }


def save_qwen(folder: Path, config: Any, *, seed: int, max_pixels: int = MOST_TOKENS * SIDE**2) -> Path:
    """Write a random checkpoint of a config, its weights larger than usual, so that everything matters."""
    for name in ("image_pad", "video_pad", "vision_start", "vision_end"):
        field = name.replace("pad", "token") + ("_id" if "pad" in name else "_token_id")
        setattr(config, field, SPECIAL.index(f"<|{name}|>"))
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.mul_(4)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    qwen_tokenizer().save_pretrained(folder)
    settings = {
        "size": {"shortest_edge": SIDE**2, "longest_edge": max_pixels},
        "patch_size": PATCH,
        "temporal_patch_size": PICTURES,
        "merge_size": MERGE,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    path = folder / "video_preprocessor_config.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def vision_settings(**more: Any) -> dict[str, Any]:
    """Return the vision tower that the tiny Qwen-VL checkpoints share."""
    shared = {"depth": 3, "num_heads": 2, "patch_size": PATCH, "spatial_merge_size": MERGE}
    return shared | {"temporal_patch_size": PICTURES} | more


def save_qwen2(folder: Path, *, seed: int = 0, max_positions: int = 4096) -> Path:
    """Write a random Qwen2-VL checkpoint."""
    vision = vision_settings(embed_dim=32, hidden_size=64, mlp_ratio=2)
    config = Qwen2VLConfig(text_config=text_settings([2, 3, 3], max_positions), vision_config=vision)
    return save_qwen(folder, config, seed=seed)


def save_qwen2_5(folder: Path, *, seed: int = 0, max_positions: int = 4096) -> Path:
    """Write a random Qwen2.5-VL checkpoint, with windows of 2 x 2 tokens in its vision tower."""
    vision = vision_settings(
        hidden_size=32,
        intermediate_size=64,
        out_hidden_size=64,
        window_size=2 * SIDE,
        fullatt_block_indexes=[2],
        tokens_per_second=2,
    )
    config = Qwen2_5_VLConfig(text_config=text_settings([2, 3, 3], max_positions), vision_config=vision)
    return save_qwen(folder, config, seed=seed)


def save_qwen3(folder: Path, *, seed: int = 0, max_positions: int = 4096) -> Path:
    """Write a random Qwen3-VL checkpoint that adds features to the first two decoder layers."""
    vision = vision_settings(
        hidden_size=32,
        intermediate_size=64,
        out_hidden_size=64,
        num_position_embeddings=16,
        deepstack_visual_indexes=[0, 1],
    )
    text = text_settings([4, 2, 2], max_positions) | {"head_dim": 16}
    config = Qwen3VLConfig(text_config=text, vision_config=vision)
    return save_qwen(folder, config, seed=seed, max_pixels=PICTURES * MOST_TOKENS * SIDE**2)


FAMILIES = {
    "llava_onevision": Family(
        save=partial(save_random_checkpoint, seed=6),  # of others, the answers are all the same
        inputs=llava_inputs,
        sizes=((24, 24),),
        rates=False,
        frames_per_temporal_patch=1,
    ),
    "qwen2_vl": Family(save=save_qwen2, inputs=qwen_inputs, rates=False),
    "qwen2_5_vl": Family(save=save_qwen2_5, inputs=qwen_inputs_with_rate),
    "qwen3_vl": Family(save=save_qwen3, inputs=qwen3_inputs),
    "internvl": Family(
        save=save_internvl,
        inputs=internvl_inputs,
        sizes=((24, 24),),
        rates=False,
        frames_per_temporal_patch=1,
    ),
    "smolvlm": Family(
        save=save_smolvlm, inputs=smolvlm_inputs, sizes=((24, 24),), frames_per_temporal_patch=1
    ),
}
