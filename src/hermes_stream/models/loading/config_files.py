"""What a checkpoint folder holds beside its weights: config, tokenizer, template, preprocessing, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig, AutoTokenizer

from hermes_stream.errors import ModelError, page
from hermes_stream.models.card import config_settings
from hermes_stream.models.loading.config_ranges import check_ranges
from hermes_stream.models.loading.messages import refusing
from hermes_stream.models.settings import Settings, read_settings
from hermes_stream.policies.base import GuidancePrompts

CONFIG_FILE = "config.json"
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_PROCESSOR_FILE = "processor_config.json"
_PREPROCESSING_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")
_PROMPTS = frozenset(field.name for field in fields(GuidancePrompts))
_MULTIPLE_CHOICE: dict[str | int, Literal["letter", "text"]] = {"letter": "letter", "text": "text"}


def read_family(folder: Path, name: str) -> str:
    """Return the ``model_type`` that a checkpoint folder names.

    Args:
        folder: holds the checkpoint.
        name: what it was asked for by, for the message.

    Raises:
        ModelError: there is no readable config.json, or it names none.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ModelError(
            f"no config.json in {name}; give a folder as transformers' save_pretrained writes it"
        )
    family = read_settings(path).values.get("model_type")
    if not isinstance(family, str):
        raise ModelError(
            f"{path} names no model_type (got {family!r}), so that its family is unknown; give a checkpoint "
            "that transformers can load"
        )
    return family


def read_config(folder: Path, name: str) -> Any:
    """Read the config of a checkpoint, and check that its attention can be remembered.

    Raises:
        ModelError: transformers cannot read it, a value is out of its range, or some layers have no full
            attention.
    """
    check_ranges(Settings(read_settings(folder / CONFIG_FILE).values, CONFIG_FILE))
    what, advice = f"read the config of model {name!r}", "take its config.json from the checkpoint again"
    with refusing(what, advice):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        raise ModelError(
            f"model {name!r} has layers of kind {', '.join(sorted(kinds))}; the memory keeps keys and values "
            f"of full attention, and needs it in every layer ({page('adding-a-model.md')} says what a family "
            "must have)"
        )
    return config


def read_companions(folder: Path, name: str, config: Any) -> dict[str, Any]:
    """Read everything beside config and weights, as keyword arguments of ``Checkpoint``.

    Args:
        folder: holds the checkpoint.
        name: of the model, for messages.
        config: transformers' config of the whole model.

    Raises:
        ModelError: the tokenizer cannot be read, or a file or setting is broken.
    """
    advice = (
        "its folder must hold the tokenizer that it was trained with (tokenizer.json, tokenizer_config.json)"
    )
    with refusing(f"read the tokenizer of model {name!r}", advice):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    own = config_settings(config)
    return {
        "name": name,
        # the hub's cache names a folder by its commit
        "revision": folder.name if folder.parent.name == "snapshots" else None,
        "tokenizer": tokenizer,
        "chat_template": _read_template(folder),
        "preprocessing": _read_preprocessing(folder),
        "guidance_prompts": GuidancePrompts(**own.texts("guidance_prompts", _PROMPTS)),
        "multiple_choice": own.choice("multiple_choice", _MULTIPLE_CHOICE, "letter"),
        "stop_token_ids": _read_stop_tokens(folder, config, tokenizer),
    }


def _read_template(folder: Path) -> str | None:
    """Return the multimodal chat template beside the weights, if there is one."""
    path = _find(folder, _TEMPLATE_FILES)
    if path is None:
        return None
    if path.suffix == ".jinja":
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} is no text in UTF-8: {error}") from error
    settings = read_settings(path)
    template = settings.text("chat_template", None)
    if template is None:
        raise ModelError(f"{path} must hold a chat_template, it holds {sorted(settings.values)}")
    return template


def _read_preprocessing(folder: Path) -> Settings:
    """Return the preprocessor settings of a video, whichever file transformers' version wrote them to."""
    joint = folder / _PROCESSOR_FILE
    parts = read_settings(joint) if joint.is_file() else Settings({}, str(joint))
    for part in ("video_processor", "image_processor"):
        if isinstance(parts.values.get(part), dict):
            return parts.section(part)
    path = _find(folder, _PREPROCESSING_FILES)
    return read_settings(path) if path else Settings({}, "the preprocessor file")


def _read_stop_tokens(folder: Path, config: Any, tokenizer: Any) -> frozenset[int]:
    """Collect every end-of-answer token that the checkpoint names."""
    own = Settings({"eos_token_id": config.get_text_config().eos_token_id}, str(folder / CONFIG_FILE))
    of_tokenizer = Settings({"eos_token_id": tokenizer.eos_token_id}, str(folder / "tokenizer_config.json"))
    named = [own, of_tokenizer]
    if generation := _find(folder, ["generation_config.json"]):
        named.append(read_settings(generation))
    return frozenset(token for settings in named for token in settings.token_ids("eos_token_id"))


def _find(folder: Path, filenames: Sequence[str]) -> Path | None:
    """Return the first of these files that the checkpoint brings."""
    return next((folder / name for name in filenames if (folder / name).is_file()), None)
