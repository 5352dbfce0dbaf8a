"""The model as lmms-eval sees it; imported by lmms-eval alone."""

from __future__ import annotations

from typing import Any, NoReturn

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms

from hermes_lmms_eval.watching import answer, make_policy
from hermes_stream import Session, load_model


class Hermes(lmms):
    """Watches each video in a fresh session with a bounded memory, and answers.

    Args:
        pretrained: what ``load_model`` takes.
        policy: the name of a policy.
        budget_tokens: visual tokens that each layer keeps; None takes the model's default.
        fps: frames sampled per second; None takes the model's default.
        chunk_frames: frames that enter the memory together.
        device: what ``load_model`` takes.
        dtype: what ``load_model`` takes.
        batch_size: must be 1.
        others: arguments of lmms-eval itself, which mean nothing here.
    """

    def __init__(
        self,
        pretrained: str = "tiny",
        policy: str = "hermes",
        budget_tokens: int | None = None,
        fps: float | None = None,
        chunk_frames: int = 16,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | str = 1,
        **others: Any,  # noqa: ARG002
    ) -> None:
        super().__init__()
        if int(batch_size) != 1:
            raise ValueError(f"batch_size is {batch_size}; questions are asked one by one, so it must be 1")
        self._model = load_model(pretrained, device=device or "auto", dtype=dtype)
        self._policy = make_policy(policy, None if budget_tokens is None else int(budget_tokens), self._model)
        self._fps = self._model.card.default_fps if fps is None else float(fps)
        self._chunk_frames = int(chunk_frames)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answer every request, in their order."""
        return [self._answered(request) for request in requests]

    def _answered(self, request: Instance) -> str:
        context, settings, doc_to_visual, doc_id, task, split = request.args
        visuals = doc_to_visual(self.task_dict[task][split][doc_id])
        session = Session(self._model, self._policy, chunk_frames=self._chunk_frames)
        return answer(session, list(visuals), context, {**settings, "fps": self._fps})

    def loglikelihood(self, requests: list[Instance]) -> NoReturn:
        """Refuse: likelihoods of given texts are not offered."""
        raise NotImplementedError(f"{len(requests)} requests ask for likelihoods; choose tasks that generate")

    def generate_until_multi_round(self, requests: list[Instance]) -> NoReturn:
        """Refuse: rounds are not offered."""
        raise NotImplementedError(f"{len(requests)} requests have rounds; choose tasks of one question each")
