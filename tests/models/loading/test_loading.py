"""From a name to a model, and what is said when that fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.checkpoints import visual_tokens
from transformers import LlavaOnevisionForConditionalGeneration
from transformers.utils import logging as transformers_logging

from hermes_stream import DeviceError, ModelError, UnknownFamilyError, load_model
from hermes_stream.models import MODELS
from hermes_stream.models.loading.placement import choose_device, choose_dtype, is_installed
from hermes_stream.models.loading.progress import LoadingProgress
from hermes_stream.video.frame import Frame


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
    folder = Path(__file__).parents[3] / "src/hermes_stream/tiny/weights"
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
        (" ", "is empty"),
        (__file__, "is a file"),
    ],
)
def test_a_wrong_name_says_what_is_accepted(name, reason):
    with pytest.raises(ModelError, match=f"{reason}.*; give one of tiny"):
        load_model(name)


def test_a_revision_is_for_hub_names(copy):
    for folder in ("tiny", copy):
        with pytest.raises(ModelError, match="revision 'main' is for hub names"):
            load_model(folder, revision="main")


def test_a_hub_name_that_is_not_cached_is_an_error_offline():
    with pytest.raises(ModelError, match=r"'nobody/nothing'.*offline mode"):
        load_model("nobody/nothing", offline=True)


@pytest.mark.long
def test_a_hub_name_without_a_network_is_an_error_not_a_hang():
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "hermes_stream", "doctor", "--model", "nobody/nothing"]
    run = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=90)
    assert run.returncode == 1
    assert run.stderr.startswith("hermes: error: model 'nobody/nothing'")
    assert "cannot be reached" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_folder_without_config_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model(tmp_path)


def test_an_unknown_family_names_those_supported(copy):
    (copy / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UnknownFamilyError, match=r"'llama'.*supported: .*llava_onevision") as refused:
        load_model(copy)
    assert "docs/adding-a-model.md" in str(refused.value)
    assert all(family in str(refused.value) for family in MODELS)


def test_a_family_that_transformers_does_not_know_is_refused_alike(copy):
    (copy / "config.json").write_text(json.dumps({"model_type": "internvl_chat"}))
    with pytest.raises(UnknownFamilyError, match="'internvl_chat'"):
        load_model(copy)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("[]", "must hold a JSON object"),
        ("{}", "names no model_type"),
        ('{"model_type": 3}', "names no model_type"),
        ('{"model_type": "llava_onevision", "text_config": 3}', "cannot read the config"),
    ],
)
def test_a_broken_config_is_named(copy, content, reason):
    (copy / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError, match=reason):
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
    from safetensors.torch import load_file

    tensors = load_file(copy / "model.safetensors")
    gone = next(name for name in tensors if "q_proj.weight" in name)
    del tensors[gone]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete: 1 tensors.*q_proj"):
        load_model(copy)


@pytest.fixture
def sharded(copy):
    """The same checkpoint, its weights in several files."""
    whole = LlavaOnevisionForConditionalGeneration.from_pretrained(copy)
    (copy / "model.safetensors").unlink()
    whole.save_pretrained(copy, max_shard_size="100kB")
    assert len(list(copy.glob("model-*.safetensors"))) > 2
    return copy


def test_sharded_weights_are_loaded_as_whole_ones(sharded, model):
    assert torch.equal(load_model(sharded).embed([5]), model.embed([5]))


def test_a_broken_or_missing_shard_is_named(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"{shard.name} is no whole safetensors file: it is truncated"):
        load_model(sharded)
    shard.unlink()
    with pytest.raises(ModelError, match=f"1 of the .* are missing, the first is {shard.name}"):
        load_model(sharded)


def test_weights_of_other_shapes_are_refused(copy):
    settings = json.loads((copy / "config.json").read_text())
    settings["text_config"]["intermediate_size"] *= 2
    (copy / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"30 tensors have other shapes.*mlp.* with \[64, 64\] instead of"):
        load_model(copy)


def test_a_config_of_another_size_is_refused_before_anything_is_made_up(copy):
    edit(copy / "config.json", text_config={"model_type": "qwen2"})
    began = time.perf_counter()
    with pytest.raises(ModelError, match=r"tells of [\d,]+ parameters: its files hold [\d,]+"):
        load_model(copy)
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "compressed-tensors"])
def test_quantised_weights_without_their_package_name_it(copy, method):
    edit(copy / "config.json", quantization_config={"quant_method": method, "load_in_4bit": True})
    with pytest.raises(ModelError, match=rf"quantised by '{method}', which needs .*pip install"):
        load_model(copy)


def test_an_unknown_quantisation_is_refused(copy):
    edit(copy / "config.json", quantization_config={"quant_method": "dice"})
    with pytest.raises(ModelError, match="'dice', which this transformers does not know"):
        load_model(copy)


def test_a_device_map_needs_accelerate_and_no_device():
    with pytest.raises(ValueError, match="exclude each other"):
        load_model("tiny", device="cpu", device_map="auto")
    with pytest.raises(ValueError, match="for a single device give device='cuda:0'"):
        load_model("tiny", device_map="cuda:0")
    if is_installed("accelerate"):
        assert load_model("tiny", device_map={"": "cpu"}).layout.num_layers >= 10
    else:
        with pytest.raises(DeviceError, match=r"pip install 'hermes-stream\[multi-gpu\]'"):
            load_model("tiny", device_map="auto")


def test_pixel_limits_are_for_families_that_keep_a_pictures_size():
    with pytest.raises(ModelError, match="mean nothing to a model that resizes every picture"):
        load_model("tiny", max_pixels=1000)


def test_progress_is_told_and_the_libraries_stay_silent(copy, capfd):
    before = transformers_logging.set_tqdm_hook(None)
    moments: list[LoadingProgress] = []
    load_model(copy, on_progress=moments.append)
    assert [moment.done for moment in moments] == list(range(1, len(moments) + 1))
    assert {moment.total for moment in moments} == {len(moments)}
    assert {moment.stage for moment in moments} == {"read"}
    assert transformers_logging.set_tqdm_hook(before) is None
    (copy / "model.safetensors").unlink()
    save_file({"lm_head.weight": torch.zeros(400_000)}, copy / "model.safetensors")
    with pytest.raises(ModelError, match="incomplete"):
        load_model(copy)
    assert capfd.readouterr() == ("", "")


def test_an_empty_folder_is_refused_at_once(tmp_path):
    began = time.perf_counter()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model(tmp_path)
    assert time.perf_counter() - began < 1


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


@pytest.mark.parametrize("part", ["video_processor", "image_processor"])
def test_preprocessing_may_stand_in_the_processors_file(copy, model, part):
    """transformers 5 writes one file for all parts of a processor; it is the newer one."""
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "processor_config.json").write_text(
        json.dumps({part: settings | {"image_mean": [0.1, 0.2, 0.3]}})
    )
    picture = torch.full((24, 24, 3), 90, dtype=torch.uint8).numpy()
    nested = encoded(load_model(copy), picture)
    assert not torch.allclose(nested, encoded(model, picture))
    (copy / "preprocessor_config.json").unlink()
    torch.testing.assert_close(encoded(load_model(copy), picture), nested)


def encoded(model, picture):
    return visual_tokens(
        model, [Frame(pts_seconds=0, image=picture)], start_seconds=0.0, num_patches_before=0
    ).embeddings


def test_a_checkpoint_without_preprocessor_file_takes_the_size_of_its_vision_tower(copy, model):
    (copy / "preprocessor_config.json").unlink()
    picture = torch.zeros(40, 30, 3, dtype=torch.uint8).numpy()
    torch.testing.assert_close(encoded(load_model(copy), picture), encoded(model, picture))


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
