"""The embedded model's architecture and vocabulary: a LLaVA-OneVision checkpoint, very small.

What is written here is an ordinary checkpoint folder; it is loaded by the code that loads any other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from hermes_stream.models.chat import Chat, split_chat
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
WORDS = (*dict.fromkeys((*_WORDS.split(), *COLOURS, *SHAPES, *NUMBERS)),)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] if part['type'] == 'video' %}{{ '<video>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ '\\n' + part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

TRAINING_FRAMES = 48
TRAINING_FPS = 1.0
TOKENS_PER_TEMPORAL_PATCH = 9
MEMORY_BUDGET_TOKENS = TRAINING_FRAMES // 3 * TOKENS_PER_TEMPORAL_PATCH
IMAGE_SIZE = 72
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
    ids = {word: i for i, word in enumerate(SPECIAL_TOKENS)}
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
        "model_type": "qwen2",
        "vocab_size": len(SPECIAL_TOKENS) + len(WORDS),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 10,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<pad>"],
    }
    return LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[IMAGE_SIZE, IMAGE_SIZE]],
        tie_word_embeddings=True,
        training_frames=TRAINING_FRAMES,
        training_fps=TRAINING_FPS,
        tokens_per_temporal_patch=TOKENS_PER_TEMPORAL_PATCH,
        memory_budget_tokens=MEMORY_BUDGET_TOKENS,
        guidance_prompts=GUIDANCE_PROMPTS,
        multiple_choice="text",
    )


def build_model(seed: int) -> LlavaOnevisionForConditionalGeneration:
    """Build the untrained model with weights drawn from the seed.

    Half of the attention heads begin with equal projections of queries and keys, so that they attend to what
    resembles the token itself: finding a thing that a question names need not be discovered.
    """
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(build_config())
    text = model.config.text_config
    head_dim = text.hidden_size // text.num_attention_heads
    heads_per_group = text.num_attention_heads // text.num_key_value_heads
    with torch.no_grad():
        model.model.language_model.embed_tokens.weight.normal_(std=WORD_STD)
        for layer in model.model.language_model.layers:
            queries = layer.self_attn.q_proj.weight.view(text.num_attention_heads, head_dim, -1)
            keys = layer.self_attn.k_proj.weight.view(text.num_key_value_heads, head_dim, -1)
            keys.normal_(std=text.hidden_size**-0.5)
            queries[::heads_per_group] = keys
    return model


def build_chat() -> Chat:
    """Split the chat template around the video, as it is split for every checkpoint."""
    tokenizer = build_tokenizer()
    stop = frozenset([int(tokenizer.eos_token_id)])
    return split_chat(tokenizer, placeholder="<video>", stop_token_ids=stop, template=None)


def preprocessing_settings(side: int) -> dict[str, Any]:
    """Return what the preprocessor file says: pictures resized to a square, values from -1 to 1."""
    return {
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }


def save_checkpoint(model: LlavaOnevisionForConditionalGeneration, folder: Path) -> None:
    """Write weights, config, tokenizer and preprocessing as an ordinary checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    settings = preprocessing_settings(model.config.vision_config.image_size)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
