"""Signatures, quotas, certificates and options by themselves."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import until

from hermes_stream.server.access.quotas import Quotas, check_streams
from hermes_stream.server.access.signing import Signer, server_secret
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.settings import ServerSettings
from hermes_stream.server.tls import self_signed


def test_what_was_signed_is_read_until_it_is_too_old():
    now = [100.0]
    signer = Signer(b"s" * 32, clock=lambda: now[0])
    text = signer.sign("cookie", {"key": 1}, seconds=60)
    assert signer.read("cookie", text) == {"key": 1}
    assert signer.read("websocket", text) is None
    assert Signer(b"t" * 32).read("cookie", text) is None
    now[0] += 61
    assert signer.read("cookie", text) is None


@given(st.text(max_size=200), st.integers(0, 60))
def test_nothing_else_is_read(text, place):
    signer = Signer(b"s" * 32)
    good = signer.sign("cookie", {"key": 1}, seconds=60)
    assert signer.read("cookie", text) is None
    changed = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
    assert signer.read("cookie", changed) is None


def test_a_secret_is_made_once_and_kept_from_others(tmp_path):
    path = tmp_path / "inner" / "secret"
    first = server_secret(path)
    assert server_secret(path) == first
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"half")
    assert len(server_secret(path)) == 32


def test_questions_are_counted_by_the_minute():
    now = [0.0]
    quotas = Quotas(clock=lambda: now[0])
    for _ in range(3):
        quotas.take_question(7, 3)
    with pytest.raises(RefusedError) as refused:
        quotas.take_question(7, 3)
    assert refused.value.refusal.retry_after_seconds == 60
    quotas.take_question(8, 3)
    quotas.take_question(7, None)
    now[0] = 60.0
    quotas.take_question(7, 3)


def test_streams_are_counted():
    check_streams(None, 1000)
    check_streams(2, 1)
    with pytest.raises(RefusedError, match="may have 2 streams open"):
        check_streams(2, 2)


def test_a_certificate_is_made_once_and_names_its_hosts(tmp_path):
    certificate, key = self_signed(tmp_path, hosts=("192.168.1.7", "camera.example"))
    before = certificate.read_bytes()
    assert self_signed(tmp_path, hosts=("192.168.1.7",))[0].read_bytes() == before
    assert key.stat().st_mode & 0o077 == 0
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    self_signed(tmp_path, hosts=("10.0.0.1",))
    assert certificate.read_bytes() != before


def test_a_server_speaks_https_with_it(tiny, tmp_path):
    from tests.server.served import serving

    with serving(tmp_path, ServerSettings(port=0, tls_self_signed=True), model=tiny) as one:
        assert one.url.startswith("https://")
        assert one.http.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"no_auth": True, "require_keys": True},
        {"tls_cert": "a.pem"},
        {"tls_cert": "a.pem", "tls_key": "b.pem", "tls_self_signed": True},
        {"port": 70000},
        {"log_format": "xml"},
        {"colour": "red"},
    ],
)
def test_options_that_do_not_go_together_are_refused(options):
    with pytest.raises(ValueError, match=r"together|exclude|Input|String|permitted"):
        ServerSettings(**options)


def test_lines_of_the_log_are_json_with_ids():
    import json
    import logging

    from hermes_stream.server.log_lines import JsonLines

    record = logging.LogRecord("hermes_stream.x", logging.INFO, "f", 1, "%s ended", ("it",), None)
    record.stream, record.status = "door", 200
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["stream"], line["status"], line["level"]) == (
        "it ended",
        "door",
        200,
        "info",
    )


def test_requests_are_spans_where_tracing_is_there(served):
    trace = pytest.importorskip("opentelemetry.trace", reason="the extra otel is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    served.http.get("/v1/streams/none", headers={"traceparent": parent, "X-Request-ID": "mine"})

    def ended():
        return [one for one in spans.get_finished_spans() if one.name == "GET /v1/streams/{name}"]

    until(ended)  # a span ends after its answer has been sent
    [span] = ended()
    assert span.attributes["http.response.status_code"] == 404
    assert span.attributes["hermes.request_id"] == "mine"
    assert span.attributes["hermes.stream"] == "none"
    assert f"{span.context.trace_id:032x}" in parent
