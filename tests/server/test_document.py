"""The OpenAPI document: true to the routes, tried by schemathesis, shown without anything from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks
from tests.server.served import serving

from hermes_stream.server.app import api_document

ROOT = Path(__file__).parents[2]
# HERMES_LONG=1 tries many more
NUM_EXAMPLES = 200 if os.environ.get("HERMES_LONG") else 6


@pytest.fixture(scope="module")
def tried(tiny, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("tried"), model=tiny) as one:
        one.open_watched("door", 2)
        yield one


schema = schemathesis.openapi.from_dict(api_document())
load_all_checks()
WANTED = (
    "not_a_server_error",
    "content_type_conformance",
    "response_schema_conformance",
    "status_code_conformance",
)


@schema.parametrize()
@settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_no_request_makes_the_server_fail(case, tried):
    response = case.call(base_url=tried.url, timeout=30)
    case.validate_response(response, checks=CHECKS.get_by_names(WANTED))


def test_the_page_of_the_api_is_as_the_routes_are():
    script = runpy.run_path(str(ROOT / "docs" / "write_api.py"))
    assert script["main"](["--check"]) == 0, "docs/api.md is old; run: python docs/write_api.py"


def test_docs_load_nothing(tried):
    shown = tried.http.get("/docs")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    code = re.compile("<pre>.*?</pre>", re.DOTALL)  # examples of bodies may name addresses
    assert not re.search(r"https?://|<script|<link|<img|@import|src=", code.sub("", shown.text))
    assert "POST /v1/streams/{name}/ask" in shown.text


def test_routes_have_examples_and_say_what_goes_wrong():
    document = api_document()
    ask = document["paths"]["/v1/streams/{name}/ask"]["post"]
    assert {"400", "401", "404", "409", "422", "429"} <= set(ask["responses"])
    assert document["components"]["schemas"]["AskBody"]["examples"]
    assert document["components"]["schemas"]["ChatRequest"]["examples"]
    assert "text/event-stream" in ask["responses"]["200"]["content"]
