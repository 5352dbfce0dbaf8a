"""Ask the second embedded checkpoint with transformers alone: whole sequences, positions written out.

Nothing of the stream's own code takes part but frames, questions and the chat template, so that the figures
say what the checkpoint knows. A question counts as right where greedy decoding gives the truth's very words.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from hermes_lab.training.qwen2_5_vl import to_pixel_patches
from hermes_stream.models.chat import split_chat
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import QUESTION_KINDS
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import FileSource, write_video

FPS = 2
SIDE = 3
PREPROCESSING = Preprocessing(height=72, width=72)


def patches_until(last: int, interrupted_at: list[int]) -> list[tuple[int, int]]:
    """Pair the frames up to the last; where a question interrupts, the frame that waits is repeated."""
    pairs, waiting = [], None
    for frame in range(last + 1):
        if waiting is not None:
            pairs.append((waiting, frame))
            waiting = None
        elif frame in interrupted_at or frame == last:
            pairs.append((frame, frame))
        else:
            waiting = frame
    return pairs


class PlainModel:
    """The checkpoint as transformers loads it."""

    def __init__(self, folder: Path) -> None:
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self.chat = split_chat(
            tokenizer, placeholder="<|video_pad|>", stop_token_ids=frozenset(), template=None
        )

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor, pairs: list[tuple[int, int]]) -> list[torch.Tensor]:
        """Encode temporal patches of frames ``[frames, 3, 72, 72]``: nine tokens each."""
        grid = torch.tensor([[1, 2 * SIDE, 2 * SIDE]]).expand(len(pairs), -1)
        tokens = self.model.model.visual(to_pixel_patches(pixels[torch.tensor(pairs)]), grid).pooler_output
        return list(tokens.split(SIDE * SIDE))

    @torch.no_grad()
    def knows(self, video: torch.Tensor, pairs: list[tuple[int, int]], question: str, answer: str) -> bool:
        """Say whether greedy decoding after these patches' tokens gives the answer."""
        words = self.model.model.language_model.embed_tokens
        prefix, asked = self.chat.prefix_ids, self.chat.question_ids(question)
        truth = self.chat.encode(answer + "<|im_end|>")
        begin = len(prefix)
        seconds = torch.tensor([first / FPS for first, _ in pairs])
        time = begin + (seconds * self.model.config.vision_config.tokens_per_second).floor().long()
        axes = torch.meshgrid(time, begin + torch.arange(SIDE), begin + torch.arange(SIDE), indexing="ij")
        seen = torch.stack(axes).flatten(1)
        clock = int(seen.max()) + 1 + torch.arange(len(asked) + len(truth))
        where = torch.cat([torch.arange(begin).expand(3, -1), seen, clock.expand(3, -1)], dim=1)
        text = [words(torch.tensor(ids)) for ids in (prefix, [*asked, *truth])]
        embeds = torch.cat([text[0], video, text[1]])[None]
        logits = self.model(inputs_embeds=embeds, position_ids=where[:, None]).logits[0]
        return logits[-len(truth) - 1 : -1].argmax(-1).tolist() == truth


def ask_plainly(folder: Path, *, seed: int, num_streams: int, num_seconds: int) -> dict[str, Any]:
    """Ask about stories that training never saw, each question in a stream of its own or all in one.

    In ``fresh`` streams patches are pairs from whole seconds on and the newest frame is repeated. In
    ``shared`` ones every question interrupts the same stream, so that patches begin at any half second.
    """
    model = PlainModel(folder)
    hits: dict[str, dict[str, list[bool]]] = {"fresh": {}, "shared": {}}
    for k in range(seed, seed + num_streams):
        world = generate_world(k, num_seconds)
        with TemporaryDirectory() as place:
            path = Path(place) / "story.mp4"
            write_video(path, world.frames(FPS, size=192), fps=FPS)
            images = [frame.image for frame in FileSource(path)]
        pixels = PREPROCESSING.pixels(images, device=torch.device("cpu"), dtype=torch.float32).values
        questions = plan_questions(world, num_questions=40, seed=k)
        moments = [int(question.asked_seconds * FPS) for question in questions]
        asked = [
            (style, question, patches_until(last, interrupted_at))
            for question, last in zip(questions, moments, strict=True)
            for style, interrupted_at in (("fresh", []), ("shared", moments))
        ]
        every = sorted({pair for _, _, pairs in asked for pair in pairs})
        tokens = dict(zip(every, model.encode(pixels, every), strict=True))
        for style, question, pairs in asked:
            video = torch.cat([tokens[pair] for pair in pairs])
            known = model.knows(video, pairs, question.text, question.answer)
            hits[style].setdefault(question.kind, []).append(known)
    return {
        "seed": seed,
        "streams": num_streams,
        "seconds": num_seconds,
        "styles": {
            style: {kind: summary(by_kind[kind]) for kind in QUESTION_KINDS}
            for style, by_kind in hits.items()
        },
    }


def summary(known: list[bool]) -> dict[str, Any]:
    """Return how many were asked and the share that was right."""
    return {"num_questions": len(known), "accuracy": round(sum(known) / len(known), 4)}
