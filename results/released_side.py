"""The released code of HERMES at work: a program of its own, which ``released.py`` starts and talks to.

It reads one JSON request a line and writes one JSON answer a line. It runs on transformers 4.45.2, without
this project's packages. The released files are imported as they are; what they lack or expect of their
surroundings is made here: the base class, which was not released, a processor that knows a few texts, the
rotary class of the transformers that they were written for, a logger, and models "loaded" from numbers.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoProcessor, LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

Answer = dict[str, Any]


class AnyToken:
    """An end of text that every token is, so that an answer ends at its first."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


class KnownTexts:
    """A tokenizer of the texts that it was told; of the beginning of a conversation it knows one.

    Attributes:
        ids: tokens of each text.
        prefix_ids: tokens in front of a video.
    """

    eos_token_id = AnyToken()

    def __init__(self, ids: dict[str, list[int]], prefix_ids: list[int]) -> None:
        self.ids, self.prefix_ids = ids, prefix_ids

    def __call__(self, text: str, return_tensors: str | None = None) -> SimpleNamespace:
        """Return the tokens of a text; where tensors are asked for, it is the beginning."""
        if return_tensors is None:
            return SimpleNamespace(input_ids=self.ids[text])
        ids = torch.tensor([self.prefix_ids])
        # What loads a model sends these to a GPU.
        ids.to = lambda *_, own=ids: own
        return SimpleNamespace(input_ids=ids)

    def decode(self, ids: list[int], **_: object) -> str:
        """Return an answer as the numbers of its tokens."""
        return " ".join(map(str, ids))


class OldRotary(nn.Module):
    """Rotation by the old call, whole tables up to a length, and by the one that followed it.

    Args:
        inv_freq: turns of each pair of channels, in radians a position.
        num_positions: that tables are made for.
    """

    def __init__(self, inv_freq: Tensor, num_positions: int) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(num_positions, dtype=torch.float32), inv_freq.float())
        both = torch.cat((angles, angles), dim=-1)
        self._cos, self._sin = both.cos(), both.sin()

    def forward(
        self, x: Tensor, position_ids: Tensor | int | None = None, seq_len: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return cosines and sines: of these positions, or of all up to a length."""
        if isinstance(position_ids, Tensor):
            return self._cos[position_ids].to(x.dtype), self._sin[position_ids].to(x.dtype)
        length = position_ids if seq_len is None else seq_len
        return self._cos[:length].to(x.dtype), self._sin[:length].to(x.dtype)


class AbstractHermes(LlavaOnevisionForConditionalGeneration):
    """What the released class calls of the base class that was not released."""

    def __init__(  # arguments in the order in which the released code gives them
        self,
        processor: Any,
        n_frame_tokens: int,
        init_prompt_ids: list[list[int]],
        n_local: int | None,
        topk: int,
        chunk_size: int,
        kv_size: int,
        recency_ratio: float | None,
        k_ratio: float | None,
    ) -> None:
        # Its attributes are copied from a loaded model before this is called.
        self.processor, self.init_prompt_ids = processor, init_prompt_ids
        self.n_frame_tokens, self.n_local, self.topk, self.chunk_size = (
            n_frame_tokens,
            n_local,
            topk,
            chunk_size,
        )
        self.kv_size, self.recency_ratio, self.k_ratio = kv_size, recency_ratio, k_ratio
        self.kv_cache, self.visual_start_idx = None, 0

    def encode_init_prompt(self) -> None:
        """Begin a stream with what stands in front of its video."""
        ids = torch.tensor(self.init_prompt_ids)
        self.kv_cache = self.language_model(input_ids=ids, use_cache=True).past_key_values
        self.visual_start_idx = ids.shape[1]

    def _get_video_features(self, pixels: Tensor) -> Tensor:
        began = time.process_time()
        seen = self.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
        features = self.apply_pooling(self.multi_modal_projector(seen))
        self.encode_seconds = time.process_time() - began
        return features.flatten(0, 1)[None]

    def get_gpu_memory_usage_gb(self) -> float:
        """Return 0: there is no GPU."""
        return 0.0


def install(folder: Path) -> type:
    """Make the modules that are missing, and return the released class."""
    base, log = ModuleType("abstract_Hermes"), ModuleType("logzero")
    base.Abstract_Hermes, log.logger = AbstractHermes, logging.getLogger("released")
    sys.modules |= {"abstract_Hermes": base, "logzero": log}
    sys.path.insert(0, str(folder))
    import llavaov_online_official

    return llavaov_online_official


class Side:
    """One stream of the released code.

    Args:
        start: the first request; its keys are those of ``released.start_request``.
    """

    def __init__(self, start: dict[str, Any]) -> None:
        self._released = install(Path(start["inference_folder"]))
        self._frames = np.load(start["frames"], mmap_mode="r")
        tokenizer = KnownTexts(start["token_ids"], start["prefix_ids"])
        processor = SimpleNamespace(tokenizer=tokenizer, video_processor=prepared)
        AutoProcessor.from_pretrained = lambda *_, **__: processor
        base = plain_model(start["config"], start["weights"])
        LlavaOnevisionForConditionalGeneration.from_pretrained = lambda *_, **__: base
        self._model, _ = self._released.load_model("", n_local=0, kv_size=start["budget_tokens"])
        self._question, self._tokens_per_frame = start["question"], start["tokens_per_frame"]
        self._num_layers, self._num_frames = start["config"]["text_config"]["num_hidden_layers"], 0
        self._held: list[list[int]] = [[] for _ in range(self._num_layers)]
        self._prune = self._model.apply_kv_cache_pruning_strict
        self._model.apply_kv_cache_pruning_strict = self._prune_and_note
        self._model.encode_init_prompt()

    def prompts(self) -> Answer:
        """Return the texts that guide the memory while nobody has asked."""
        local, overall = self._released.LlavaOneVision_Hermes.predict_next_question(SimpleNamespace())
        return {"local": local, "global": overall}

    def chunk(self, request: dict[str, Any]) -> Answer:
        """Take frames in, and forget; return processor seconds."""
        first, count = request["first"], request["count"]
        frames = torch.from_numpy(np.array(self._frames[np.arange(first, first + count) % len(self._frames)]))
        began, clock = time.process_time(), time.perf_counter()
        self._model.encode_video_chunk(frames)
        entered = time.process_time()
        own = range(
            self._num_frames * self._tokens_per_frame, (self._num_frames + count) * self._tokens_per_frame
        )
        for layer in self._held:
            layer.extend(own)
        self._num_frames += count
        noted = time.process_time()
        self._model.predict_and_compress()
        ended = time.process_time()
        return {
            "seconds": entered - began + ended - noted,
            "encode_seconds": self._model.encode_seconds,
            "compress_seconds": ended - noted,
            "clock_seconds": time.perf_counter() - clock,
        }

    def question(self, _: dict[str, Any]) -> Answer:
        """Answer with one token; return processor seconds from the call to it."""
        began, clock = time.process_time(), time.perf_counter()
        asked = {"prompt": self._question, "question": self._question}
        # So called, it notes no conversation that would steer what is kept.
        token = self._model.question_answering(asked, max_new_tokens=1, pseudo_forward=True)
        seconds, clock_seconds = time.process_time() - began, time.perf_counter() - clock
        return {"seconds": seconds, "clock_seconds": clock_seconds, "token": int(token)}

    def kept(self, _: dict[str, Any]) -> Answer:
        """Return the visual tokens that each layer holds, numbered as they came; -1 is a summary."""
        return {"kept": self._held}

    def _prune_and_note(self, keep_of_layer: list[list[int]]) -> None:
        first, model = self._model.visual_start_idx, self._model
        self._prune(keep_of_layer)
        lengths = model._get_cache_seq_len_per_layer()
        for index, keep in enumerate(keep_of_layer):
            held = self._held[index]
            kept = [held[slot - first] for slot in keep if slot >= first]
            gained = lengths[index] - first - len(kept)
            assert gained in (0, 1), gained
            self._held[index] = kept + [-1] * gained


def prepared(frames: Tensor, **_: object) -> SimpleNamespace:
    """Return pictures of the right size as the vision tower takes them."""
    return SimpleNamespace(pixel_values_videos=frames.float() / 127.5 - 1)


def plain_model(config: dict[str, Any], weights: str) -> LlavaOnevisionForConditionalGeneration:
    """Return the model with these weights, and the rotation that the released code was written for."""
    model = LlavaOnevisionForConditionalGeneration(LlavaOnevisionConfig(**config)).eval()
    missing = model.load_state_dict(load_file(weights), strict=False)
    absent = [name for name in missing.missing_keys if name != "language_model.lm_head.weight"]
    if absent or missing.unexpected_keys:
        raise ValueError(f"weights do not fit: without {absent}, and besides {missing.unexpected_keys}")
    model.tie_weights()
    decoder = model.language_model.model
    rotary = OldRotary(decoder.rotary_emb.inv_freq, config["text_config"]["max_position_embeddings"])
    model.language_model.rotary_emb = rotary

    def without_embeddings(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"position_embeddings": None}

    for layer in decoder.layers:
        layer.self_attn.rotary_emb = rotary
        layer.register_forward_pre_hook(without_embeddings, with_kwargs=True)
    return model


def main() -> None:
    """Serve requests until there are none."""
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
    ):  # the released code prints as it goes
        side: Side | None = None
        for line in sys.stdin:
            request = json.loads(line)
            if side is None:
                side = Side(request)
                answer = side.prompts() | {"versions": {"torch": torch.__version__}}
                answer["versions"]["transformers"] = transformers.__version__
            else:
                serve: Callable[[dict[str, Any]], Answer] = getattr(side, request["do"])
                answer = serve(request)
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
