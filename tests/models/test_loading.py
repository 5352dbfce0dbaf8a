"""From a name to a model, and what is said when that fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from hermes_stream import DeviceError, ModelError, UnknownFamilyError, load_model
from hermes_stream.models.checkpoint import choose_device, choose_dtype


@pytest.fixture
def copy(checkpoint_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint folder to damage."""
    return Path(shutil.copytree(checkpoint_folder, tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    settings = json.loads(path.read_text())
    settings.update(changes)
    path.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))


def test_the_embedded_model_is_loaded_as_any_other():
    model = load_model("tiny", device="cpu")
    assert model.card.family == "llava_onevision"
    assert model.layout.num_layers >= 10
    folder = Path(__file__).parents[2] / "src/hermes_stream/tiny/weights"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12e6
    assert torch.equal(load_model(folder, device="cpu").embed([5]), model.embed([5]))


def test_a_checkpoint_brings_its_own_guidance_prompts(copy):
    assert load_model(copy).card.guidance_prompts.local_prompt.startswith("Describe the current scene")
    edit(copy / "config.json", guidance_prompts={"local_prompt": "look", "global_prompt": "remember"})
    assert load_model(copy).card.guidance_prompts.texts("a") == (
        "Find recent details related to: a. look",
        "Context summary: a. remember",
    )
    edit(copy / "config.json", guidance_prompts={"locale_prompt": "look"})
    with pytest.raises(ModelError, match="locale_prompt"):
        load_model(copy)


def test_a_checkpoint_says_how_it_chooses_among_options(copy):
    assert load_model(copy).card.multiple_choice == "letter"
    edit(copy / "config.json", multiple_choice="text")
    assert load_model(copy).card.multiple_choice == "text"
    edit(copy / "config.json", multiple_choice="dice")
    with pytest.raises(ModelError, match="'dice'; accepted: 'letter', 'text'"):
        load_model(copy)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/no/such/folder", "does not exist"),
        ("tinny", "does not exist"),
        ("a/b/c", "does not exist"),
        (__file__, "is a file"),
    ],
)
def test_a_wrong_name_says_what_is_accepted(name, reason):
    with pytest.raises(ModelError, match=f"{reason}.*; give one of tiny"):
        load_model(name)


def test_a_hub_name_that_cannot_be_reached_is_an_error_not_a_hang(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="nobody/nothing"):
        load_model("nobody/nothing")


def test_a_folder_without_config_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model(tmp_path)


def test_an_unknown_family_names_those_supported(copy):
    (copy / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UnknownFamilyError, match=r"'llama'.*supported: llava_onevision"):
        load_model(copy)


def test_layers_without_full_attention_are_refused(copy):
    settings = json.loads((copy / "config.json").read_text())
    settings["text_config"]["layer_types"] = ["sliding_attention"] * 10
    settings["text_config"] |= {"use_sliding_window": True, "sliding_window": 8}
    (copy / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="sliding_attention"):
        load_model(copy)


def test_a_checkpoint_without_tokenizer_says_so(copy):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load_model(copy)


def test_a_checkpoint_without_weights_says_so(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="weights"):
        load_model(copy)


def test_truncated_weights_are_refused(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="weights"):
        load_model(copy)


def test_incomplete_weights_are_refused(copy):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    gone = next(name for name in tensors if "q_proj.weight" in name)
    del tensors[gone]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete: 1 tensors.*q_proj"):
        load_model(copy)


def test_a_pickled_checkpoint_is_refused(copy):
    torch.save({"x": torch.zeros(1)}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        load_model(copy)


def test_a_checkpoint_without_chat_template_says_so(copy):
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_model(copy)


def test_the_old_place_of_the_chat_template_is_read(copy):
    template = copy / "chat_template.jinja"
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template.read_text()}))
    template.unlink()
    assert load_model(copy).chat.before_video == "<|im_start|>user "


def test_a_broken_chat_template_file_is_named(copy):
    (copy / "chat_template.jinja").unlink()
    (copy / "chat_template.json").write_text("{")
    with pytest.raises(ModelError, match=r"chat_template\.json is not valid JSON"):
        load_model(copy)
    (copy / "chat_template.json").write_text("{}")
    with pytest.raises(ModelError, match="must hold a chat_template"):
        load_model(copy)


def test_a_broken_preprocessor_file_is_named(copy):
    (copy / "preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"preprocessor_config\.json is not valid JSON"):
        load_model(copy)


def test_a_checkpoint_without_preprocessor_file_takes_the_size_of_its_vision_tower(copy, model):
    (copy / "preprocessor_config.json").unlink()
    picture = torch.zeros(40, 30, 3, dtype=torch.uint8).numpy()
    torch.testing.assert_close(load_model(copy).encode([picture]), model.encode([picture]))


def test_devices_and_dtypes_that_are_not_there():
    with pytest.raises(DeviceError, match=r"cuda:99.*cpu"):
        choose_device("cuda:99")
    with pytest.raises(DeviceError, match="float8"):
        choose_dtype("float8", torch.device("cpu"), None)
    assert choose_dtype("auto", torch.device("cpu"), torch.float16) == torch.bfloat16
    assert choose_dtype("auto", torch.device("cpu"), torch.float32) == torch.float32


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.2), ("float16", 0.05)])
def test_half_precision_follows_float32(checkpoint_folder, model, dtype, tolerance):
    from tests.checkpoints import random_frames

    from hermes_stream import HermesPolicy, Session

    logits = []
    for loaded in (model, load_model(checkpoint_folder, device="cpu", dtype=dtype)):
        session = Session(loaded, HermesPolicy.paper(200), chunk_frames=4)
        session.observe(random_frames(8))
        logits.append(session.next_token_logits("what is on screen now?"))
    spread = logits[0].std()
    assert (logits[1] - logits[0]).abs().mean() < tolerance * spread
