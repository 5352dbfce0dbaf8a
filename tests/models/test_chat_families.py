"""Each family's public template is split where its video stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hermes_stream import ModelError
from hermes_stream.models.chat import Chat, split_chat

FOLDER = Path(__file__).parents[1] / "data" / "chat_templates"
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<end_of_utterance>"),
    *("<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>"),
    *("<video>", "<image>", "<IMG_CONTEXT>"),
)
QWEN = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
FIRST, ANSWER, SECOND = "What is on the table?", "A cup.", "Which colour has it?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A template, what it writes for a video, and the parts that it must be split into."""

    file: str
    video: str
    parts: tuple[str, str, str]
    before: str = ""

    @property
    def template(self) -> str:
        return (FOLDER / self.file).read_text(encoding="utf-8")

    def split(self) -> Chat:
        return split_chat(
            TOKENIZER,
            placeholder=self.video,
            stop_token_ids=frozenset({0}),
            template=self.template,
            before=self.before,
        )


IM_END = "<|im_end|>\n<|im_start|>assistant\n"
FAMILIES = {
    "qwen2_vl": Family(
        file="qwen2_vl.jinja",
        video="<|video_pad|>",
        parts=(QWEN + "<|vision_start|>", "<|vision_end|>", IM_END),
    ),
    "qwen2_5_vl": Family(
        file="qwen2_5_vl.jinja",
        video="<|video_pad|>",
        parts=(QWEN + "<|vision_start|>", "<|vision_end|>", IM_END),
    ),
    "qwen3_vl": Family(
        file="qwen3_vl.jinja",
        video="<|video_pad|>",
        before="<|vision_start|>",
        parts=("<|im_start|>user\n", "<|vision_end|>", IM_END),
    ),
    "llava_onevision": Family(
        file="llava_onevision.jinja",
        video="<video>",
        parts=("<|im_start|>user ", "\n", "<|im_end|><|im_start|>assistant\n"),
    ),
    "internvl3": Family(
        file="internvl3.jinja",
        video="<video>",
        parts=("<|im_start|>user\n", "\n", IM_END),
    ),
    "smolvlm2": Family(
        file="smolvlm2_video.jinja",
        video="<video>",
        parts=("<|im_start|>User: ", "", "<end_of_utterance>\nAssistant:"),
    ),
}


def build_tokenizer() -> Any:
    """A token for every byte and one for every special token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=list(SPECIAL))


TOKENIZER = build_tokenizer()


def user(question: str, *, video: bool) -> dict[str, Any]:
    text = {"type": "text", "text": question}
    return {"role": "user", "content": [{"type": "video"}, text] if video else [text]}


def spoken(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def render(family: Family, messages: list[dict[str, Any]], generation: bool = True) -> str:
    return TOKENIZER.apply_chat_template(
        messages, chat_template=family.template, add_generation_prompt=generation, tokenize=False
    )


def in_full(family: Family, chat: Chat, question: str) -> str:
    video = f"{family.before}{family.video}"
    return f"{chat.before_video}{video}{chat.before_question}{question}{chat.after_question}"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_template_is_split_around_the_video(family):
    chat = family.split()
    assert (chat.before_video, chat.before_question, chat.after_question) == family.parts


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_parts_are_the_whole(family):
    chat = family.split()
    whole = render(family, [user(FIRST, video=True)])
    assert in_full(family, chat, FIRST) == whole
    video = chat.encode(f"{family.before}{family.video}")
    assert chat.prefix_ids + video + chat.question_ids(FIRST) == chat.encode(whole)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_generation_prompt_ends_the_question(family):
    chat = family.split()
    without = render(family, [user(FIRST, video=True)], generation=False)
    opening = in_full(family, chat, FIRST).removeprefix(without)
    assert opening.lower().rstrip("\n").removesuffix(":").endswith("assistant")
    assert chat.after_question.endswith(opening)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_conversation_keeps_the_parts(family):
    chat = family.split()
    turns = [user(FIRST, video=True), spoken("assistant", ANSWER), user(SECOND, video=False)]
    whole = render(family, turns)
    asked = render(family, turns[:1], generation=False)
    answered = render(family, turns[:2], generation=False)
    assert in_full(family, chat, FIRST).startswith(asked)
    assert ANSWER in answered.removeprefix(asked)
    assert whole.startswith(answered)
    assert whole.endswith(SECOND + chat.after_question)
    assert whole.count(family.video) == 1


def test_a_template_that_writes_nothing_for_a_video_is_refused():
    template = (FOLDER / "smolvlm2.jinja").read_text(encoding="utf-8")
    with pytest.raises(ModelError, match=r"must write '<video>' once"):
        split_chat(TOKENIZER, placeholder="<video>", stop_token_ids=frozenset(), template=template)


def test_texts_that_do_not_stand_at_the_video_are_refused():
    family = FAMILIES["qwen2_vl"]
    with pytest.raises(ModelError, match="<frame>"):
        split_chat(
            TOKENIZER,
            placeholder=family.video,
            stop_token_ids=frozenset(),
            template=family.template,
            before="<frame>",
        )
