"""The embedded model's architecture and vocabulary: a LLaVA-OneVision checkpoint, very small.

What is written here is an ordinary checkpoint folder; it is loaded by the code that loads any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from hermes_stream.synthetic.questions import NUMBERS
from hermes_stream.synthetic.world import COLOURS, SHAPES

SPECIAL_TOKENS = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
_WORDS = """
user assistant system what is was were are on screen now ? . , : ; ( ) came first last before after the a an
there colour color how many things so far yes no nothing question answer options only give best option find
recent details related to context summary thing did come seen shown it in and or at this video
circles squares triangles crosses b c d e f g shape which where left right top bottom middle centre moving up
down still way long ago second seconds minute minutes under over to twenty thirty small large
"""
# Behind the others, so that words of checkpoints trained before keep their numbers.
_LATER_WORDS = """
not since you answered ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
forty fifty
"""
WORDS = (*dict.fromkeys((*_WORDS.split(), *COLOURS, *SHAPES, *NUMBERS, *_LATER_WORDS.split())),)

# Templates and preprocessing are spelled here, though models/chat.py and models/preprocess.py read such parts
# of any checkpoint: they are what the shipped weights were trained with, and must go on describing them.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] if part['type'] == 'video' %}{{ '<video>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ '\\n' + part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

KNOWS = "coloured shapes that move in a generated world"
TRAINING_FRAMES = 48
TRAINING_FPS = 1.0
TOKENS_PER_TEMPORAL_PATCH = 9
MEMORY_BUDGET_TOKENS = TRAINING_FRAMES // 3 * TOKENS_PER_TEMPORAL_PATCH
IMAGE_SIZE = 72
DECODER = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 10,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "pad_token_id": SPECIAL_TOKENS.index("<pad>"),
    "eos_token_id": SPECIAL_TOKENS.index("<|im_end|>"),
}
PIXEL_SETTINGS = {
    "do_resize": True,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
}
WORD_STD = 0.1

GUIDANCE_PROMPTS = {
    "local_prompt": "what is on screen now?",
    "global_prompt": "what came first? what came before? what came after?",
    "local_opening": "{last_conversation}.",
    "global_opening": "{last_conversation}.",
}


def build_tokenizer(
    special_tokens: tuple[str, ...] = SPECIAL_TOKENS, chat_template: str = CHAT_TEMPLATE
) -> PreTrainedTokenizerFast:
    """Build the word-level tokenizer: lower case, punctuation apart, unknown words become ``<unk>``."""
    vocabulary = {word: i for i, word in enumerate((*special_tokens, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), behavior="removed"),
            pre_tokenizers.Punctuation(),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        additional_special_tokens=[
            token for token in special_tokens if token not in ("<pad>", "<unk>", "<|im_end|>")
        ],
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    )


def build_config() -> LlavaOnevisionConfig:
    """Describe the architecture: ten narrow decoder layers, so that all three tiers exist."""
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": IMAGE_SIZE,
        "patch_size": 12,
        "vision_use_head": False,
    }
    text = {
        **DECODER,
        "model_type": "qwen2",
        "vocab_size": len(SPECIAL_TOKENS) + len(WORDS),
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
    }
    return LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=SPECIAL_TOKENS.index("<image>"),
        video_token_index=SPECIAL_TOKENS.index("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[IMAGE_SIZE, IMAGE_SIZE]],
        tie_word_embeddings=True,
        training_frames=TRAINING_FRAMES,
        training_fps=TRAINING_FPS,
        knows=KNOWS,
        tokens_per_temporal_patch=TOKENS_PER_TEMPORAL_PATCH,
        memory_budget_tokens=MEMORY_BUDGET_TOKENS,
        guidance_prompts=GUIDANCE_PROMPTS,
        multiple_choice="text",
    )


def preprocessing_settings(side: int) -> dict[str, Any]:
    """Return what the preprocessor file says: images resized to a square, values from -1 to 1."""
    return {**PIXEL_SETTINGS, "size": {"height": side, "width": side}}


def save_checkpoint(model: LlavaOnevisionForConditionalGeneration, folder: Path) -> None:
    """Write weights, config, tokenizer and preprocessing as an ordinary checkpoint folder."""
    settings = preprocessing_settings(model.config.vision_config.image_size)
    save_folder(folder, model, build_tokenizer(), settings)


def save_folder(folder: Path, model: Any, tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Write a checkpoint folder, ``settings`` as its preprocessor file."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
