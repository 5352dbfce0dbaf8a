"""A transformers model that is in hand already: its weights are shared, its attention is borrowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes_stream.attention import ATTENTION_NAME, register
from hermes_stream.errors import ModelError
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.loading.config_files import read_companions
from hermes_stream.models.loading.messages import first_line


def is_in_hand(model: object) -> bool:
    """Tell whether something is a loaded transformers model, without importing transformers for a name."""
    return callable(getattr(model, "set_attn_implementation", None)) and hasattr(model, "config")


def borrow(model: Any, processor: Any) -> tuple[Checkpoint, Callable[[], None]]:
    """Return a checkpoint of a model in hand, and what gives its attention back.

    Args:
        model: transformers' model for image and text to text.
        processor: transformers' processor of it; None reads the files that the model was loaded from.

    Raises:
        ModelError: the processor cannot be read, or there is none.
    """
    name = str(getattr(model, "name_or_path", "") or type(model).__name__)
    with TemporaryDirectory() as written:
        folder = Path(written)
        if processor is None:
            folder = Path(name)
            if not folder.is_dir():
                raise ModelError(
                    f"model {name!r} was not loaded from a folder, so that its tokenizer and preprocessing "
                    "are unknown; give its processor: load_model(model, processor)"
                )
        else:
            _write(model, processor, folder)
        companions = read_companions(folder, name, model.config)
    config = model.config
    before = {
        part: getattr(getattr(config, part, None), "_attn_implementation", None) or "sdpa"
        for part in ("text_config", "vision_config")
    }
    was_training = model.training
    register()
    model.set_attn_implementation({"text_config": ATTENTION_NAME, "vision_config": "sdpa"})
    model.eval()

    def give_back() -> None:
        model.set_attn_implementation(before)
        model.train(was_training)

    return Checkpoint(model=model, **companions), give_back


def _write(model: Any, processor: Any, folder: Path) -> None:
    """Write what stands beside the weights as transformers does, so that it is read as any checkpoint's."""
    try:
        processor.save_pretrained(folder)
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.save_pretrained(folder)
    except Exception as error:  # processors of all kinds raise all kinds
        raise ModelError(
            f"cannot read the processor, a {type(processor).__name__}: {first_line(error)}; give what "
            "AutoProcessor.from_pretrained returns for this model"
        ) from error
