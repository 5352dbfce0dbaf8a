"""What is measured is read by Prometheus' own parser."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from prometheus_client.parser import text_string_to_metric_families

from hermes_stream.errors import StoreError


def measured(served) -> dict[str, dict[tuple, float]]:
    text = served.http.get("/metrics").text
    samples: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


def test_streams_questions_and_requests_are_counted(served):
    served.open_watched("door", 5)
    served.http.post("/v1/streams/door/ask", json={"question": "what is on screen now?"})
    served.http.get("/v1/streams/none")
    served.http.get("/v1/made/up/by/a/client")
    now = measured(served)
    assert now["hermes_streams"][(("state", "live"),)] == 1
    assert now["hermes_stream_frames_total"][(("stream", "door"),)] == 5
    assert now["hermes_ttft_seconds_count"][()] == 1
    assert now["hermes_answers_total"][(("finish_reason", "stop"),)] == 1
    assert now["hermes_stream_memory_tokens"][(("stream", "door"), ("tier", "sensory"))] > 0
    stages = {dict(labels)["stage"]: took for labels, took in now["hermes_stage_seconds_total"].items()}
    for stage in ("preprocess", "encode", "prefill", "question"):
        assert 0 < stages[stage] < 60, stage
    assert stages["watch"] == 0
    requests = {dict(labels)["route"] for labels in now["hermes_http_requests_total"]}
    assert "/v1/streams/{name}/ask" in requests
    assert "(none)" in requests
    assert not any("made" in route or "door" in route for route in requests)
    assert now["hermes_live"][()] == now["hermes_ready"][()] == 1


def test_what_is_measured_is_told_while_the_record_is_away(served, monkeypatch):
    number = served.service.webhooks.add("http://127.0.0.1:1/hook")[0].id
    counted = (("webhook", str(number)),)
    assert counted in measured(served)["hermes_webhook_sent_total"]

    def away(*_):
        raise StoreError("the record cannot be read: connection refused")

    monkeypatch.setattr(served.service.webhooks._store.database, "reading", away)
    now = measured(served)
    assert "hermes_lost_events_total" in now
    assert "hermes_webhook_sent_total" not in now
    monkeypatch.undo()
    assert counted in measured(served)["hermes_webhook_sent_total"]


def test_health_says_why(served):
    assert served.http.get("/health/live").json()["reasons"] == []
    assert served.http.get("/health").status_code == served.http.get("/health/ready").status_code == 200


def test_methods_that_clients_make_up_are_counted_together(served):
    for method in ("BREW", "POUR"):
        served.http.request(method, "/v1/streams")
    counted = {dict(labels)["method"] for labels in measured(served)["hermes_http_requests_total"]}
    assert "(other)" in counted
    assert not counted & {"BREW", "POUR"}


def test_health_is_told_while_all_threads_wait_for_the_engine(served):
    served.open_watched("door", 1)
    go_on = threading.Event()
    served.service._running.thread.submit(lambda _: go_on.wait(10))
    with ThreadPoolExecutor(60) as asking:
        waiting = [asking.submit(httpx.get, f"{served.url}/v1/streams/door", timeout=20) for _ in range(60)]
        try:
            time.sleep(0.5)
            assert httpx.get(f"{served.url}/health", timeout=2).status_code == 200
        finally:
            go_on.set()
        assert {one.result().status_code for one in waiting} == {200}
