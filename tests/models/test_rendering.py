"""Chat templates are programs of strangers: they are rendered within bounds, or refused in words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hermes_lab.training.checkpoint import build_tokenizer
from hermes_stream import ModelError
from hermes_stream.models.chat import split_chat
from hermes_stream.models.rendering import render_chat

TEMPLATES = sorted((Path(__file__).parents[1] / "data" / "chat_templates").glob("*.jinja"))
MESSAGES = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "what is it? ä"}]}]
TOKENIZER = build_tokenizer()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_writes_what_transformers_writes(path):
    template = path.read_text(encoding="utf-8")
    expected = TOKENIZER.apply_chat_template(
        MESSAGES, chat_template=template, add_generation_prompt=True, tokenize=False
    )
    assert render_chat(TOKENIZER, template, MESSAGES) == expected


def test_the_tokenizers_own_template_and_special_tokens_are_there():
    assert render_chat(TOKENIZER, None, MESSAGES).startswith("<|im_start|>user ")
    assert render_chat(TOKENIZER, "{{ eos_token }}{{ pad_token }}", MESSAGES) == "<|im_end|><pad>"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for i in range(10**12) %}{% endfor %}", "OverflowError"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "runs for too long",
        ),
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ 'a'.ljust(10**10) }}", "memory"),
        ("{{ '%10000000000d' | format(1) }}", "memory"),
        (
            "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "memory",
        ),
        ("{{ 10 ** (10 ** 10) }}", "runs for too long"),
        ("{{ 'a' * 200000 }}", "it writes 200,000 characters; accepted: up to 100,000"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ messages[0].nothing.more }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ raise_exception('no video, please') }}", "no video, please"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError|runs for too long"),
        ("{% include 'other' %}", "no loader"),
        ("{{ messages | nothing }}", "TemplateAssertionError"),
    ],
)
def test_a_template_that_fails_or_never_ends_is_refused_in_words(template, why):
    start = time.monotonic()
    with pytest.raises(ModelError, match=f"the chat template cannot be rendered: .*(?:{why})") as refused:
        split_chat(TOKENIZER, placeholder="<video>", stop_token_ids=frozenset(), template=template)
    assert time.monotonic() - start < 18
    assert len(str(refused.value)) < 700


def test_what_is_no_text_is_refused():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = {"first": "{{ 1 }}"}
    with pytest.raises(ModelError, match="multiple chat templates"):
        render_chat(tokenizer, None, MESSAGES)
    tokenizer.chat_template = 5
    with pytest.raises(ModelError, match="it is a int; accepted: a text"):
        render_chat(tokenizer, None, MESSAGES)


def test_a_long_text_is_shortened_where_it_is_quoted():
    with pytest.raises(ModelError, match="must write '<video>' once") as refused:
        split_chat(TOKENIZER, placeholder="<video>", stop_token_ids=frozenset(), template="{{ 'a' * 90000 }}")
    assert len(str(refused.value)) < 700
