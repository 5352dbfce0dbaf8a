"""Signatures, quotas, certificates and options by themselves."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import until

from hermes_stream.errors import StoreError
from hermes_stream.server import tls
from hermes_stream.server.access.callers import COOKIE, Access, Caller
from hermes_stream.server.access.origins import check_host, check_origin
from hermes_stream.server.access.quotas import Quotas, check_streams
from hermes_stream.server.access.signing import Signer, server_secret
from hermes_stream.server.access.standing import Standing
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.settings import ServerSettings
from hermes_stream.server.tls import self_signed
from hermes_stream.service.keys import Keys


def test_what_was_signed_is_read_until_it_is_too_old():
    now = [100.0]
    signer = Signer(b"s" * 32, clock=lambda: now[0])
    text = signer.sign("cookie", {"key": 1}, seconds=60)
    assert signer.read("cookie", text) == {"key": 1}
    assert signer.read("websocket", text) is None
    assert Signer(b"t" * 32).read("cookie", text) is None
    now[0] += 59.5
    assert signer.read("cookie", text) == {"key": 1}
    now[0] += 0.5
    assert signer.read("cookie", text) is None


def test_what_is_too_long_is_not_looked_at():
    signer = Signer(b"s" * 32)
    assert signer.read("cookie", signer.sign("cookie", {"key": "x" * 2000}, seconds=60)) is not None
    assert signer.read("cookie", signer.sign("cookie", {"key": "x" * 4000}, seconds=60)) is None


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


def test_nothing_at_all_may_be_a_quota():
    with pytest.raises(RefusedError) as refused:
        Quotas().take_question(7, 0)
    assert refused.value.refusal.retry_after_seconds == 60
    with pytest.raises(RefusedError, match="may have 0 streams open"):
        check_streams(0, 0)


DAY_SECONDS = 24 * 3600.0
STRANGE = {"origin": "https://evil.example", "host": "127.0.0.1:8000"}


def test_a_caller_is_known_by_key_cookie_or_token_each_in_its_place(tmp_path):
    now = [1000.0]
    with Keys.open(tmp_path) as keys:
        access = Access(ServerSettings(require_keys=True), keys, Signer(b"s" * 32, clock=lambda: now[0]))
        secret, record = keys.create("a", ["read"])
        caller, cookie = access.sign_in(secret)
        token = access.websocket_token(caller)

        def known(headers=None, cookies=None, *, method="POST", **given):
            return access.identify(headers or {}, cookies or {}, method=method, **given).key == record

        # a page that sends a key has it, whatever page it is
        assert known({**STRANGE, "authorization": f"bearer {secret}"})
        assert known({"authorization": "Bearer "}, {COOKIE: cookie})
        assert known(method="WEBSOCKET", token=token)
        with pytest.raises(RefusedError, match="has no key"):
            known(method="GET", token=token)
        now[0] += 6.9 * DAY_SECONDS
        assert known(cookies={COOKIE: cookie})
        keys.revoke(record.id)
        with pytest.raises(RefusedError, match="was revoked"):
            known(cookies={COOKIE: cookie})


@pytest.mark.parametrize(
    ("origin", "host", "is_good"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://Camera.example", "CAMERA.example", True),
        ("https://home.example", "127.0.0.1:8000", True),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", False),
        ("null", "", False),
    ],
)
def test_a_page_is_the_servers_own_by_name_and_port(origin, host, is_good):
    settings = ServerSettings(allow_origins=("https://home.example",))

    def check() -> None:
        check_origin(settings, {"origin": origin, "host": host}, method="POST")

    if is_good:
        check()
    else:
        with pytest.raises(RefusedError, match="may not use this server"):
            check()


@pytest.mark.parametrize(
    ("options", "host", "is_good"),
    [
        ({}, "localhost:8000", True),
        ({}, "[::1]:8000", True),
        ({}, "evil.localhost", False),
        ({}, "camera.example", False),
        ({"allow_hosts": ("camera.example",)}, "camera.example", True),
        ({"host": "0.0.0.0", "no_auth": True}, "camera.example", True),
    ],
)
def test_a_server_that_asks_for_no_key_answers_to_its_names(options, host, is_good):
    settings = ServerSettings(**options)
    if is_good:
        check_host(settings, {"host": host})
    else:
        with pytest.raises(RefusedError, match="is not called"):
            check_host(settings, {"host": host})


class ShakyKeys:
    """Keys of a record that is away at times."""

    def __init__(self) -> None:
        self.is_away = False

    def good(self, numbers) -> frozenset[int]:
        if self.is_away:
            raise StoreError("away")
        return frozenset()


def test_a_record_that_is_away_sends_nobody_off(tmp_path):
    with Keys.open(tmp_path) as keys:
        caller = Caller(key=keys.create("a", ["read"])[1])
    shaky = ShakyKeys()
    standing = Standing(shaky)

    async def stay() -> None:
        async with standing.of(caller):
            shaky.is_away = True
            await standing._look()
            await asyncio.sleep(0)
            shaky.is_away = False
            await standing._look()
            await asyncio.sleep(10)

    with pytest.raises(RefusedError, match="was revoked while it was open"):
        asyncio.run(stay())
    assert not standing._open


def test_a_requests_own_timeout_is_no_revoked_key(tmp_path):
    with Keys.open(tmp_path) as keys:
        caller = Caller(key=keys.create("a", ["read"])[1])

    async def wait() -> None:
        async with Standing(ShakyKeys()).of(caller):
            raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(wait())


def test_a_certificate_is_of_addresses_that_can_be_called(tmp_path):
    certificate, _ = self_signed(tmp_path, hosts=("0.0.0.0", "::", "192.168.1.7", "camera.example"))
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(one) for one in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "192.168.1.7"}
    assert {"camera.example", "localhost"} <= set(names.get_values_for_type(x509.DNSName))


def test_a_certificate_that_ends_soon_or_is_not_whole_is_made_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(tls, "_DAYS", tls._RENEW_DAYS - 1)
        certificate, key = self_signed(tmp_path, hosts=())
    first = certificate.read_bytes()
    self_signed(tmp_path, hosts=())
    second = certificate.read_bytes()
    assert first != second
    key.unlink()
    self_signed(tmp_path, hosts=())
    assert key.exists()
    assert certificate.read_bytes() != second
    certificate.write_text("half")
    self_signed(tmp_path, hosts=())
    assert certificate.read_bytes().startswith(b"-----BEGIN")


def test_a_certificate_is_made_once_and_names_its_hosts(tmp_path):
    hosts = ("192.168.1.7", "camera.example", "FD00:0::7")
    certificate, key = self_signed(tmp_path, hosts=hosts)
    before = certificate.read_bytes()
    for again in (hosts, ("192.168.1.7",)):
        assert self_signed(tmp_path, hosts=again)[0].read_bytes() == before
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
