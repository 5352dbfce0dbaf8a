"""The page: sent with a strict policy, kept by browsers for as long as it is the same, small and whole."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from tests.server.served import jpeg, serving

from hermes_stream.server.page_files import read_page
from hermes_stream.server.settings import ServerSettings

PAGE = Path(__file__).parents[2] / "src/hermes_stream/server/page"
MOST_BYTES = 150 * 1024
SOURCES = sorted([*PAGE.rglob("*.js"), *PAGE.rglob("*.css"), *PAGE.rglob("*.html")])


def test_the_page_is_sent_under_a_strict_policy(served):
    sent = served.http.get("/")
    assert sent.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        part.strip().split(" ", 1) for part in sent.headers["content-security-policy"].split(";") if part
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert sent.headers["referrer-policy"] == "no-referrer"
    assert "camera=(self)" in sent.headers["permissions-policy"]


def test_the_page_is_asked_for_again_and_sent_when_it_changed(served):
    sent = served.http.get("/")
    assert sent.headers["cache-control"] == "no-cache"
    again = served.http.get("/", headers={"If-None-Match": sent.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert served.http.head("/").headers["etag"] == sent.headers["etag"]


def test_files_are_kept_for_ever_under_the_version(served):
    paths = re.findall(r'(?:src|href)="(/page/[^"]+)"', served.http.get("/").text)
    assert len(paths) > 5
    for path in paths:
        sent = served.http.get(path)
        assert sent.status_code == 200, path
        assert "immutable" in sent.headers["cache-control"]
        assert sent.headers["content-encoding"] == "gzip"
    plain = served.http.get(paths[0], headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == served.http.get(paths[0]).content


@pytest.mark.parametrize("path", ["/page/0000/main.js", "/page/main.js", "/page/VERSION/../../app.py"])
def test_nothing_else_is_sent(served, path):
    refused = served.http.get(path.replace("VERSION", read_page().version))
    assert refused.status_code == 404
    assert refused.json()["error"]["message"]


def test_the_page_needs_no_key_and_what_it_shows_does(tiny, tmp_path):
    with serving(tmp_path, ServerSettings(port=0, require_keys=True), model=tiny) as one:
        assert one.http.get("/").status_code == 200
        assert one.http.get(f"/page/{read_page().version}/main.js").status_code == 200
        for path in ("/v1/figures", "/v1/about", "/v1/policies"):
            assert one.http.get(path).status_code == 401


def test_the_page_is_small_and_loads_nothing_from_elsewhere():
    page = read_page()
    size = len(page.index.compressed) + sum(len(file.compressed) for file in page.files.values())
    assert size <= MOST_BYTES, size
    assert all(gzip.decompress(file.compressed) == file.content for file in page.files.values())
    for source in SOURCES:
        text = source.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org)", text), source
        assert not re.search(r"\sstyle=|<script>|\son\w+=\"|innerHTML", text), source


def test_every_text_is_there_in_both_languages_and_said_somewhere():
    tables = sorted(PAGE.glob("ground/text_table*.js"))
    table = "\n".join(one.read_text(encoding="utf-8") for one in tables)
    rows = re.findall(
        r'^  "?([\w.]+)"?: \[\s*("(?:[^"\\]|\\.)*"),\s*("(?:[^"\\]|\\.)*"),?\s*\]', table, re.MULTILINE
    )
    keys = {key for key, _, _ in rows}
    assert len(keys) == len(rows) == len(re.findall(r'^  "?[\w.]+"?: \[', table, re.MULTILINE))
    for key, english, german in rows:
        assert json.loads(english), key
        names = [set(re.findall(r"\{(\w+)\}", text)) for text in (english, german)]
        assert names[0] == names[1], key
    code = "\n".join(one.read_text(encoding="utf-8") for one in PAGE.rglob("*.js") if one not in tables)
    assert not set(re.findall(r'\bt\("([\w.]+)"', code)) - keys
    made_of_parts = tuple(re.findall(r"`([a-z]+(?:\.[a-z]+)*\.)\$\{", code))
    said = set(re.findall(r'"([a-z]\w*(?:\.\w+)*)"', code))
    found = {key.removesuffix(".single") for key in keys}  # a row for the number 1 is said with its row
    assert not {key for key in found if key not in said and not key.startswith(made_of_parts)}


def test_what_the_page_begins_with_is_asked_for_at_once():
    found, waiting = set(), ["main.js"]
    while waiting:
        path = waiting.pop()
        text = (PAGE / path).read_text(encoding="utf-8")
        named = re.findall(r'^import [^;]*?from "([^"]+)"', text, re.MULTILINE)
        needed = {((PAGE / path).parent / name).resolve().relative_to(PAGE).as_posix() for name in named}
        waiting += needed - found
        found |= needed
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'rel="modulepreload" href="/page/([^"]+)"', index)) == found


def test_figures_tell_how_streams_and_service_are(served):
    served.open_watched("figures")
    figures = served.http.get("/v1/figures").json()
    assert "figures" in [one["name"] for one in figures["streams"]]
    assert figures["capacity"]["num_streams"] == len(figures["streams"])
    assert figures["health"]["is_live"]
    headers = {"Accept": "text/event-stream"}
    with served.http.stream("GET", "/v1/figures?every_seconds=0.2", headers=headers) as sent:
        told = [line for line, _ in zip(_contents(sent), range(2), strict=False)]
    assert told[1]["wall_seconds"] > told[0]["wall_seconds"]
    assert served.http.get("/v1/figures?every_seconds=0").status_code == 422


def test_the_memory_is_told_when_it_changes(served):
    served.open_watched("told", 2, chunk_frames=1)
    headers = {"Accept": "text/event-stream"}
    with served.http.stream("GET", "/v1/streams/told/memory?every_seconds=0.2", headers=headers) as sent:
        contents = _contents(sent)
        first = next(contents)
        served.http.post(
            "/v1/streams/told/frames",
            params={"pts_us": 9_000_000},
            content=jpeg(9),
            headers={"Content-Type": "image/jpeg"},
        )
        later = next(one for one in contents if 9.0 in one["layers"][0]["seconds"])
    assert first["stream"] == later["stream"] == "told"
    assert served.http.get("/v1/streams/none/memory", headers=headers).status_code == 404


def test_about_and_policies_say_what_runs_here(served):
    about = served.http.get("/v1/about").json()
    assert about["model"]["name"] == served.service.model.card.name
    assert {"python", "torch"} <= set(about["versions"])
    policies = {one["name"]: one for one in served.http.get("/v1/policies").json()["data"]}
    assert policies["hermes"]["summary"]
    assert "window" in policies


def _contents(sent):
    for line in sent.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])
