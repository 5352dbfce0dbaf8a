"""Random checkpoints of the families that take frames as pictures, and what plain transformers reads."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.smolvlm import processing_smolvlm as official_smolvlm

from hermes_stream.policies.base import GuidancePrompts
from hermes_stream.video.frame import Frame

IMAGE_SIZE = 24
# How two families of tokenizers cut text into words: alone, "\n\nF" is two line breaks, or one piece.
SPLITS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen2": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
CORPUS = [
    "You are provided the following series of five frames from a [H:MM:SS] video.\n\nFrame from 00:01:",
    "Frame1: Frame2: what came before the red circle?\n\nwhat is on screen now?\n\nAssistant: circle",
    GuidancePrompts().local_prompt,
    GuidancePrompts().global_prompt,
] * 4
INTERNVL_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}"
    "{% elif part['type'] == 'video' %}{{ '<video>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INTERNVL_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
SMOLVLM_TOKENS = {
    "fake_image_token": "<fake_token_around_image>",
    "image_token": "<image>",
    "end_of_utterance_token": "<end_of_utterance>",
    "global_image_token": "<global-img>",
}
HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
LAYERS = 6


def build_tokenizer(split: str, named: dict[str, str], end: str, **more: Any) -> PreTrainedTokenizerFast:
    """Train a byte-level tokenizer on a few lines, with the special tokens of a family."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLITS[split]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", end, *named.values()],
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end,
        extra_special_tokens=named,
        clean_up_tokenization_spaces=False,
        **more,
    )


def text_settings(tokenizer: Any, model_type: str, max_positions: int) -> dict[str, Any]:
    """Return the text model that both families share."""
    return {
        "model_type": model_type,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": None,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": max_positions,
        "tie_word_embeddings": False,
    }


def save(model: Any, tokenizer: Any, settings: dict[str, Any], folder: Path) -> Path:
    """Make the weights larger, so that positions and keys matter, and write an ordinary folder."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.mul_(4)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def save_internvl(
    folder: Path, *, seed: int = 0, max_positions: int = 4096, split: str = "qwen2", text: str = "qwen2"
) -> Path:
    """Write an InternVL checkpoint of random weights: pictures of 24 x 24 pixels, nine tokens each."""
    tokenizer = build_tokenizer(split, INTERNVL_TOKENS, "<|im_end|>", chat_template=INTERNVL_TEMPLATE)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": [IMAGE_SIZE, IMAGE_SIZE],
        "patch_size": [4, 4],
    }
    config = InternVLConfig(
        vision_config=vision,
        text_config=text_settings(tokenizer, text, max_positions),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=9,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    settings = {"size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE}, "resample": 3, "crop_to_patches": True}
    return save(InternVLForConditionalGeneration(config), tokenizer, settings | HALVES, folder)


def save_smolvlm(
    folder: Path, *, seed: int = 0, max_positions: int = 4096, split: str = "gpt2", text: str = "llama"
) -> Path:
    """Write a SmolVLM checkpoint of random weights: pictures of 24 x 24 pixels, nine tokens each."""
    tokenizer = build_tokenizer(split, SMOLVLM_TOKENS, "<end_of_utterance>")
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": IMAGE_SIZE,
        "patch_size": 4,
    }
    config = SmolVLMConfig(
        vision_config=vision,
        text_config=text_settings(tokenizer, text, max_positions),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    settings = {
        "size": {"longest_edge": IMAGE_SIZE},
        "max_image_size": {"longest_edge": IMAGE_SIZE},
        "resample": 1,
        "do_image_splitting": True,
    }
    return save(SmolVLMForConditionalGeneration(config), tokenizer, settings | HALVES, folder)


def pixels_of(frames: list[Frame]) -> torch.Tensor:
    """Normalise pictures that have the vision tower's size already."""
    pixels = np.stack([frame.image for frame in frames]).astype(np.float32) / 127.5 - 1
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def tokens_of(tokenizer: Any, text: str) -> torch.Tensor:
    """Tokenize a whole chat at once."""
    return torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])


def internvl_inputs(folder: Path, frames: list[Frame], question: str, *, fps: float = 1.0) -> dict[str, Any]:
    """Expand the chat by transformers' own function: a number and nine placeholders for each picture."""
    processor = SimpleNamespace(**INTERNVL_TOKENS, image_token="<IMG_CONTEXT>", image_seq_length=9)
    pixels = pixels_of(frames)
    video = InternVLProcessor.replace_video_token(processor, {"pixel_values_videos": [pixels]}, 0)
    text = f"<|im_start|>user\n{video}\n{question}<|im_end|>\n<|im_start|>assistant\n"
    return {"input_ids": tokens_of(AutoTokenizer.from_pretrained(folder), text), "pixel_values": pixels}


def smolvlm_inputs(folder: Path, frames: list[Frame], question: str, *, fps: float = 1.0) -> dict[str, Any]:
    """Expand the chat with transformers' own parts; the introduction leaves out number and duration."""
    picture = official_smolvlm._prompt_single_image(
        9,
        image_token="<image>",
        fake_token_around_image="<fake_token_around_image>",
        global_image_token="<global-img>",
    )
    introduction = official_smolvlm.DEFAULT_VIDEO_INTRO.replace("{frame_count} ", "")
    video = introduction.replace("{video_duration} [H:MM:SS] ", "")
    for second in (k / fps for k in range(len(frames))):
        stamp = f"{int(second // 60):02d}:{int(second % 60):02d}"
        video += official_smolvlm.FRAME_TIMESTAMP_MESSAGE.format(timestamp=stamp) + picture
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}],
        chat_template=official_smolvlm.DEFAULT_CHAT_TEMPLATE,
        add_generation_prompt=True,
        tokenize=False,
    ).replace("<video>", video + official_smolvlm.DEFAULT_MEDIA_OUTTRO)
    return {"input_ids": tokens_of(tokenizer, text), "pixel_values": pixels_of(frames)[None]}
