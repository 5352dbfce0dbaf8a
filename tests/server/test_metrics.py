"""What is measured is read by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


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
    requests = {dict(labels)["route"] for labels in now["hermes_http_requests_total"]}
    assert "/v1/streams/{name}/ask" in requests
    assert "(none)" in requests
    assert not any("made" in route or "door" in route for route in requests)
    assert now["hermes_live"][()] == now["hermes_ready"][()] == 1


def test_health_says_why(served):
    assert served.http.get("/health/live").json()["reasons"] == []
    assert served.http.get("/health").status_code == served.http.get("/health/ready").status_code == 200
