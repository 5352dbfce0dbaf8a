"""Damage to a checkpoint folder: settings of other types and ranges, broken files, other weights.

Every kind of damage is a function from folder and random numbers to a line that says what was done.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Damage = Callable[[Path, Random], str]

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, -1, 7, 10**9, 2**63, 10**30, 0.0, 0.5, -0.5, 1e-30, 1e30),
    *(float("nan"), float("inf"), "", "a", "1", "full_attention", "<video>", "x" * 5000, "\ud800", "\0"),
    *([], [1], ["a"], [0, 0, 0], [1, 2, 3], [[]], {}, {"a": 1}, [None] * 3, {"size": {}}),
)
_SETTINGS = ("num_hidden_layers", "depth", "rope_theta", "rms_norm_eps", "layer_norm_eps", "image_std")
_EXTRA: dict[str, list[Any]] = {
    "model_type": ["qwen2", "llama", "bert", "qwen3_vl"],
    "quantization_config": [{}, {"quant_method": "awq"}, {"quant_method": 5}, "int8", {"bits": 4}],
    "guidance_prompts": [{"local_prompt": 5}, {"local_prompt": "<|im_end|>" * 50}, [], {"other": "a"}],
    "multiple_choice": ["dice", 3],
    "training_fps": [-1, "fast", 1e30],
    "memory_budget_tokens": [-1, 10**12, 1.5],
    "auto_map": [{"AutoConfig": "evil.Config", "AutoTokenizer": ["evil.Tokenizer", None]}],
    "rope_scaling": [{"rope_type": "yarn"}, {"type": "dynamic", "factor": 0}, {"type": "mrope"}, 5],
    "layer_types": [["sliding_attention"] * 3, ["linear_attention"], 5],
    "chat_template": ["{{ 1 }}", 5, [{"name": "default", "template": 3}], {"default": "{% for %}"}],
    "added_tokens_decoder": [{"5": {"content": 5}}, {"x": {}}, []],
    "tokenizer_class": ["NoSuchTokenizer", "BertTokenizer", 5],
    "eos_token_id": [10**9, -1, "end", [[1]], [], None],
    "do_center_crop": [True],
    "size": [{"height": 10**6, "width": 3}, {"shortest_edge": -3}, 5, []],
}
_TEMPLATES = (
    "{% for i in range(10**12) %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{{ 10 ** (10 ** 9) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ messages[0].content[7].nothing.at_all }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% include 'x' %}{{ 1 / 0 }}",
    "{{ raise_exception('no') }}",
    "<video><video>{{ messages[0]['content'][1]['text'] }}",
    "<video>{{ messages[0]['content'][1]['text'] }}",
    "",
)


def change_setting(folder: Path, random: Random) -> str:
    """Give a setting a value of another type or range."""
    path, document = _some_json(folder, random)
    places = list(_leaves(document))
    if not places:
        return "nothing to change"
    holder, key = random.choice(places)
    holder[key] = _other(holder[key], random)
    return _written(path, document, f"{key} = {holder[key]!r}")


def change_known_setting(folder: Path, random: Random) -> str:
    """Give a setting that decides what is computed another value, wherever it stands."""
    name = random.choice(_SETTINGS)
    paths = [path for path in _json_files(folder) if f'"{name}"' in path.read_text(encoding="utf-8")]
    if not paths:
        return change_setting(folder, random)
    path = random.choice(paths)
    document = json.loads(path.read_text(encoding="utf-8"))
    holder, key = random.choice([place for place in _leaves(document, name) if place[1] == name])
    holder[key] = _other(holder[key], random)
    return _written(path, document, f"{key} = {holder[key]!r}")


def remove_setting(folder: Path, random: Random) -> str:
    """Leave a setting or a whole section out."""
    path, document = _some_json(folder, random)
    places = [place for place in _places(document) if isinstance(place[0], dict)]
    if not places:
        return "nothing to remove"
    holder, key = random.choice(places)
    del holder[key]
    return _written(path, document, f"without {key}")


def add_setting(folder: Path, random: Random) -> str:
    """Add a setting that is read, with a value that may not be accepted."""
    path, document = _some_json(folder, random)
    holders = [document] if isinstance(document, dict) else []
    holders += [own for holder in holders for own in holder.values() if isinstance(own, dict)][:3]
    if not holders:
        return "nothing to add to"
    key = random.choice(sorted(_EXTRA))
    random.choice(holders)[key] = value = random.choice(_EXTRA[key])
    return _written(path, document, f"{key} = {value!r}")


def break_file(folder: Path, random: Random) -> str:
    """Cut a file short, change bytes in it, replace it, or remove it."""
    path = random.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    content, kind = path.read_bytes(), random.choice(("cut", "noise", "empty", "nested", "gone", "folder"))
    path.unlink()
    if kind == "cut":
        path.write_bytes(content[: random.randrange(len(content) + 1)])
    elif kind == "noise":
        garbled = bytearray(content)
        for _ in range(random.choice((1, 5, 200))):
            if garbled:
                garbled[random.randrange(len(garbled))] = random.randrange(256)
        path.write_bytes(garbled)
    elif kind == "nested":
        path.write_text("[" * 100_000, encoding="utf-8")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    return f"{path.name}: {kind}"


def change_template(folder: Path, random: Random) -> str:
    """Write another chat template, or change letters of the one that is there."""
    path = folder / "chat_template.jinja"
    template = random.choice(_TEMPLATES)
    if path.is_file() and random.random() < 0.6:
        letters = list(path.read_text(encoding="utf-8"))
        for _ in range(random.choice((1, 2, 5))):
            letters[random.randrange(len(letters))] = random.choice("{}%'|() \nx")
        template = "".join(letters)
    _replace(path, template.encode())
    return f"chat_template.jinja: {template[:60]!r}"


def change_weights(folder: Path, random: Random) -> str:
    """Change one tensor: its numbers, shape, name, kind, or whether it is there."""
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors = load_file(path)
    name = random.choice(sorted(tensors))
    tensor = tensors[name].clone()
    kind = random.choice(("nan", "inf", "huge", "name", "gone", "extra", "shape", "transposed", "integer"))
    if kind in ("nan", "inf", "huge"):
        number = {"nan": float("nan"), "inf": float("-inf"), "huge": 3e38}[kind]
        tensor.view(-1)[random.randrange(tensor.numel())] = number
        tensors[name] = tensor
    elif kind == "name":
        tensors[f"{name}_"] = tensors.pop(name)
    elif kind == "gone":
        del tensors[name]
    elif kind == "extra":
        tensors[name.replace(".0.", ".77.") if ".0." in name else f"{name}.more"] = tensor
    elif kind == "shape":
        tensors[name] = torch.cat([tensor, tensor])
    elif kind == "transposed":
        tensors[name] = tensor.movedim(0, -1).contiguous()
    else:
        tensors[name] = tensor.to(torch.int8)
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})
    return f"{path.name}: {name} {kind}"


def change_header(folder: Path, random: Random) -> str:
    """Change what a safetensors header says of its tensors."""
    path = random.choice(sorted(folder.glob("*.safetensors")))
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    holder, key = random.choice(list(_places(header)))
    holder[key] = _other(holder[key], random)
    changed = json.dumps(header).encode()
    if random.random() < 0.2:
        length = random.choice((0, 1, len(changed) + 5, 2**40, 2**63))
    else:
        length = len(changed)
    _replace(path, length.to_bytes(8, "little") + changed + content[8 + len(changed) :])
    return f"{path.name}: header {key} = {str(holder[key])[:60]!r}"


def fewer_layers(folder: Path, random: Random) -> str:
    """Let the config tell of fewer layers than the weights hold, or of more."""
    path = folder / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    places = [place for place in _leaves(settings) if place[1] in ("num_hidden_layers", "depth")]
    if not places:
        return change_setting(folder, random)
    holder, key = random.choice(places)
    holder[key] += random.choice((-2, -1, 1))
    holder.pop("layer_types", None)
    return _written(path, settings, f"{key} = {holder[key]}")


DAMAGES: dict[str, tuple[Damage, int]] = {
    "setting": (change_setting, 7),
    "known setting": (change_known_setting, 3),
    "missing setting": (remove_setting, 2),
    "added setting": (add_setting, 3),
    "broken file": (break_file, 4),
    "template": (change_template, 1),
    "weights": (change_weights, 4),
    "header": (change_header, 2),
    "layers": (fewer_layers, 1),
}
"""What each kind is called, and how often it is chosen."""


def damage(source: Path, folder: Path, random: Random) -> tuple[str, list[str]]:
    """Make a damaged copy of a checkpoint.

    Args:
        source: the checkpoint, not changed.
        folder: does not exist yet; files that are not damaged are links.
        random: decides what is done.

    Returns:
        The kind of the first damage, and a line for each.
    """
    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file():
            _link(path, folder / path.name)
    kinds = random.choices(
        list(DAMAGES), [weight for _, weight in DAMAGES.values()], k=random.choice((1, 1, 2))
    )
    lines = []
    for kind in kinds:
        try:
            lines.append(DAMAGES[kind][0](folder, random))
        except Exception as error:
            lines.append(
                f"not possible any more: {type(error).__name__}"
            )  # what was broken first cannot be read
    return kinds[0], lines


def _link(path: Path, link: Path) -> None:
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # a link: the source stays as it is
    path.write_bytes(content)


def _written(path: Path, document: Any, what: str) -> str:
    _replace(path, json.dumps(document).encode())
    return f"{path.name}: {what}"[:200]


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.is_file())


def _some_json(folder: Path, random: Random) -> tuple[Path, Any]:
    paths = _json_files(folder)
    weights = [4 if path.name in ("config.json", "preprocessor_config.json") else 1 for path in paths]
    path = random.choices(paths, weights)[0]
    return path, json.loads(path.read_text(encoding="utf-8"))


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every holder and key of a JSON document."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])


def _leaves(document: Any, also: str = "") -> Iterator[tuple[Any, Any]]:
    for holder, key in _places(document):
        if not isinstance(holder[key], dict | list) or key == also:
            yield holder, key


def _other(value: Any, random: Random) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and random.random() < 0.4:
        return random.choice((value * 2, value / 2, value // 2, value + 1, value - 1, -value, value * 1e6))
    return random.choice(_VALUES)
