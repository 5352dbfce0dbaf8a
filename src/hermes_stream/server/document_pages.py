"""The OpenAPI document for people: as a page without anything from elsewhere, and as Markdown."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}h2{border-bottom:1px solid #ccc;margin-top:2.5rem}code,pre{font:.9em monospace}"
    "pre{background:#f4f4f4;padding:.75rem;overflow:auto}td{text-align:left;padding:.2rem .8rem .2rem 0;"
    "vertical-align:top}summary{cursor:pointer}.scope{color:#555}@media(prefers-color-scheme:dark){"
    "body{background:#161616;color:#e8e8e8}pre{background:#242424}.scope{color:#aaa}a{color:#9cf}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route and method, ready to be shown.

    Attributes:
        title: method and path.
        tag: what it belongs to.
        summary: what it does.
        scope: what the key must allow; None where none is needed.
        fields: of path, query and body: name, type, text.
        body_kinds: content types of the body.
        example: of the body, as JSON; None without.
        answers: status codes and what they mean.
        returned: fields of what is returned, each of many where it is a list.
    """

    title: str
    tag: str
    summary: str
    scope: str | None
    fields: tuple[tuple[str, str, str], ...]
    body_kinds: tuple[str, ...]
    example: str | None
    answers: tuple[tuple[str, str], ...]
    returned: tuple[tuple[str, str, str], ...]


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield what a document holds, in its order; WebSockets last."""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            body = one.get("requestBody", {}).get("content", {})
            schema = _resolved(document, body.get("application/json", {}).get("schema", {}))
            yield Operation(
                title=f"{method.upper()} {path}",
                tag=one.get("tags", ["other"])[0],
                summary=one.get("description", one.get("summary", "")).strip(),
                scope=one.get("x-scope"),
                fields=(*_parameters(document, one), *_fields(document, schema)),
                body_kinds=tuple(body),
                example=_example(schema),
                answers=tuple((code, answer["description"]) for code, answer in one["responses"].items()),
                returned=tuple(_returned(document, one["responses"])),
            )
    for path, one in document.get("x-websockets", {}).items():
        yield Operation(
            title=f"WEBSOCKET {path}",
            tag="websockets",
            summary=one["summary"],
            scope=one["x-scope"],
            fields=(),
            body_kinds=(),
            example=None,
            answers=(),
            returned=(),
        )


def _parameters(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for one in operation.get("parameters", []):
        if one["in"] != "header" or one["name"].lower() == "last-event-id":
            yield one["name"], f"{one['in']}, {_type(document, one['schema'])}", one.get("description", "")


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", [])
    for name, one in schema.get("properties", {}).items():
        text = " ".join(one.get("description", "").split())
        default = one.get("default")
        kind = _type(document, one) + (", required" if name in required else "")
        shown = "" if default is None or name in required else f" Default {json.dumps(default)}."
        yield name, kind, text + shown


def _returned(document: Mapping[str, Any], responses: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    content: dict[str, Any] = next(
        (one.get("content", {}) for code, one in responses.items() if code.startswith("2")), {}
    )
    schema = _resolved(document, content.get("application/json", {}).get("schema", {}))
    listed = schema.get("properties", {}).get("data", {}).get("items", {})
    yield from _fields(document, _resolved(document, listed) if "$ref" in listed else schema)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _type(document, _resolved(document, schema)) or str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema or "oneOf" in schema:
        kinds = [_type(document, one) for one in schema.get("anyOf", schema.get("oneOf", []))]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if "const" in schema or "enum" in schema:
        return " or ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(document, schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _example(schema: Mapping[str, Any]) -> str | None:
    examples = schema.get("examples")
    return json.dumps(examples[0], indent=2) if examples else None


def as_html(document: Mapping[str, Any]) -> str:
    """Return one page, which loads nothing."""
    parts: list[str] = []
    tag = None
    for one in operations(document):
        if one.tag != tag:
            tag = one.tag
            parts.append(f"<h2>{html.escape(tag.capitalize())}</h2>")
        parts.append(_section(one))
    about = document["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(about['title'])} API</title><style>{_STYLE}</style><main>"
        f"<h1>{html.escape(about['title'])} {html.escape(about['version'])}</h1>"
        f"<p>{html.escape(about['summary'])} For programs: <a href=openapi.json>openapi.json</a>.</p>"
        f"{''.join(parts)}</main></html>"
    )


def _section(one: Operation) -> str:
    scope = f" <span class=scope>needs <code>{one.scope}</code></span>" if one.scope else ""
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code><td>{html.escape(kind)}<td>{html.escape(text)}"
        for name, kind, text in one.fields
    )
    kinds = f"<p>Body: {html.escape(', '.join(one.body_kinds))}</p>" if one.body_kinds else ""
    example = f"<pre>{html.escape(one.example)}</pre>" if one.example else ""
    answers = "".join(f"<tr><td>{code}<td>{html.escape(text)}" for code, text in one.answers)
    fields = ", ".join(f"<code>{html.escape(name)}</code>" for name, _, _ in one.returned)
    answers += f"<p>Returns {fields}" if fields else ""
    return (
        f"<details><summary><code>{html.escape(one.title)}</code> {html.escape(one.summary)}{scope}</summary>"
        f"<table>{rows}</table>{kinds}{example}<table>{answers}</table></details>"
    )


def as_markdown(document: Mapping[str, Any], preface: str) -> str:
    """Return one page of Markdown.

    Args:
        document: of OpenAPI.
        preface: what stands before the routes.
    """
    lines = [preface.rstrip(), ""]
    tag = None
    for one in operations(document):
        if one.tag != tag:
            tag = one.tag
            lines += [f"## {tag.capitalize()}", ""]
        lines += _paragraphs(one)
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(one: Operation) -> list[str]:
    scope = f" Needs `{one.scope}`." if one.scope else ""
    lines = [f"### `{one.title}`", "", f"{' '.join(one.summary.split())}{scope}", ""]
    if one.fields:
        lines += ["| field | type | |", "|---|---|---|"]
        lines += [f"| `{name}` | {_cell(kind)} | {_cell(text)} |" for name, kind, text in one.fields]
        lines.append("")
    if one.returned:
        lines += ["Returns " + ", ".join(f"`{name}`" for name, _, _ in one.returned) + ".", ""]
    if one.body_kinds and one.body_kinds != ("application/json",):
        lines += [f"Body: {', '.join(f'`{kind}`' for kind in one.body_kinds)}.", ""]
    if one.example:
        lines += ["```json", one.example, "```", ""]
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
