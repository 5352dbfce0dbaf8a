"""What is counted and measured, in Prometheus' words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hermes_stream.errors import StoreError
from hermes_stream.service import LiveAnswer, Service, StreamStatus
from hermes_stream.stream.stats import Stage

_LATENCIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
_STATES = ("opening", "live", "waiting", "sleeping", "reconnecting", "ended", "failed")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests and answers, and reads the service when it is asked.

    Args:
        service: what is read.

    Attributes:
        open_connections: requests and WebSockets that are open.
        refused_connections: closed, because there were too many or they brought no request in time.
    """

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_ServiceCollector(service))
        own: dict[str, Any] = {"registry": self._registry}
        labels = ("method", "route", "status")
        self._requests = Counter("hermes_http_requests", "Requests that ended.", labels, **own)
        self._seconds = Histogram(
            "hermes_http_request_seconds",
            "From a request's first byte to the end of its response.",
            ("route",),
            buckets=_LATENCIES,
            **own,
        )
        self.open_connections = Gauge(
            "hermes_http_open_connections", "Requests and WebSockets that are open.", **own
        )
        self.refused_connections = Counter(
            "hermes_http_refused_connections",
            "Connections closed because there were too many, or no request came over them in time.",
            **own,
        )
        self._ttft = Histogram(
            "hermes_ttft_seconds",
            "From a question to the first token of its answer, what waits included.",
            buckets=_LATENCIES,
            **own,
        )
        self._inter_token = Histogram(
            "hermes_inter_token_seconds",
            "Time for each token of an answer after the first.",
            buckets=(0.001, 0.0025, 0.005, *_LATENCIES[:8]),
            **own,
        )
        self._answers = Counter("hermes_answers", "Answers that ended.", ("finish_reason",), **own)
        self._preview_bytes = Counter("hermes_preview_bytes", "Bytes of previews that were sent.", **own)

    def count_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that ended.

        Args:
            method: of HTTP; clients may make up others, which are counted together.
            route: its template, never the address itself: clients would make up labels without end.
            status: of the response.
            seconds: what it took.
        """
        known = method if method in _METHODS else "(other)"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_answer(self, answer: LiveAnswer) -> None:
        """Count an answer that ended."""
        self._answers.labels(answer.finish_reason or "abandoned").inc()
        if answer.token_ids or answer.option_index is not None:
            self._ttft.observe(answer.ttft_seconds)
        if answer.tokens_per_second:
            self._inter_token.observe(1 / answer.tokens_per_second)

    def count_preview(self, num_bytes: int) -> None:
        """Count a preview that was sent."""
        self._preview_bytes.inc(num_bytes)

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it. Asks the service: not for the event loop's thread."""
        return generate_latest(self._registry)


class _ServiceCollector(Collector):
    """Reads a service each time that metrics are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        return ()  # else a registry would ask the service when it is made

    def collect(self) -> Iterator[Metric]:
        yield from _of_health(self._service)
        streams = self._service.streams()
        states = GaugeMetricFamily("hermes_streams", "Streams, by state.", labels=["state"])
        for state in _STATES:
            states.add_metric([state], sum(one.state == state for one in streams))
        yield states
        yield from _of_streams(streams)
        yield from _of_watches(self._service, streams)
        yield from _of_webhooks(self._service)
        yield from _of_broker(self._service)


def _gauge(name: str, text: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(f"hermes_{name}", text, value=value)


def _of_health(service: Service) -> Iterator[Metric]:
    health, capacity = service.health(), service.capacity()
    yield from _gauge("live", "1 while engine and record run.", float(health.is_live))
    yield from _gauge("ready", "1 while work is taken.", float(health.is_ready))
    yield from _gauge(
        "step_seconds", "What the engine's step in hand has taken; 0 waits.", health.step_seconds
    )
    yield from _gauge("waiting_writes", "Rows that wait to be recorded.", health.num_waiting_writes)
    yield from _gauge("open_questions", "Questions that wait or are answered.", capacity.num_open_questions)
    yield from _gauge("open_questions_limit", "Questions at most.", capacity.max_open_questions)
    yield from _gauge("streams_limit", "Streams at most.", capacity.max_streams)
    yield from _gauge("streams_more", "Streams that still fit.", capacity.more_streams)
    yield from _gauge("memory_used_bytes", "What all memories take at most.", capacity.used_bytes)
    yield from _gauge("memory_limit_bytes", "What they may take.", capacity.memory_bytes)
    yield from _gauge("busy_share", "Part of the last minute that the engine worked.", capacity.busy_share)
    yield from _gauge("frame_seconds", "What a frame took lately.", capacity.frame_seconds)
    stages = CounterMetricFamily(
        "hermes_stage_seconds", "What stages of the engine's work have taken together.", labels=["stage"]
    )
    for stage in get_args(Stage):
        stages.add_metric([stage], capacity.stage_seconds.get(stage, 0.0))
    yield stages
    lost = CounterMetricFamily("hermes_lost_events", "Events that could not be recorded.")
    lost.add_metric([], health.num_lost_events)
    failures = CounterMetricFamily("hermes_engine_failures", "How often the engine was made again.")
    failures.add_metric([], health.num_engine_failures)
    yield from (lost, failures)


def _of_watches(service: Service, streams: Iterable[StreamStatus]) -> Iterator[Metric]:
    def family(kind: Any, name: str, text: str, *labels: str) -> Any:
        return kind(f"hermes_watch_{name}", text, labels=["stream", *labels])

    asked = family(CounterMetricFamily, "asked", "Looks of watches.")
    skipped = family(CounterMetricFamily, "skipped", "Looks that came too late to be taken.")
    failed = family(CounterMetricFamily, "failed", "Looks that failed.")
    seconds = family(CounterMetricFamily, "seconds", "What looks took.")
    told = family(CounterMetricFamily, "events", "Events that a watch sent.", "watch")
    held = family(CounterMetricFamily, "suppressed", "Events that were not sent.", "watch", "reason")
    score = family(GaugeMetricFamily, "score", "The newest score of a watch.", "watch")
    for one in streams:
        if one.watches is not None:
            asked.add_metric([one.name], one.watches.num_asked)
            skipped.add_metric([one.name], one.watches.num_skipped)
            failed.add_metric([one.name], one.watches.num_failed)
            seconds.add_metric([one.name], one.watches.seconds)
    for watch in service.watches.all():
        labels = [watch.stream, watch.settings.label]
        if watch.stats is not None:
            told.add_metric(labels, watch.stats.num_events)
            for reason, count in watch.stats.num_suppressed.items():
                held.add_metric([*labels, reason], count)
        if watch.score is not None:
            score.add_metric(labels, watch.score)
    yield from (asked, skipped, failed, seconds, told, held, score)


def _of_webhooks(service: Service) -> Iterator[Metric]:
    sent = CounterMetricFamily("hermes_webhook_sent", "Messages that arrived.", labels=["webhook"])
    failed = CounterMetricFamily("hermes_webhook_failed", "Tries that did not arrive.", labels=["webhook"])
    try:
        webhooks = service.webhooks.all()
    except StoreError:  # all else is told just when the record is away
        return
    for one in webhooks:
        sent.add_metric([str(one.id)], one.num_sent)
        failed.add_metric([str(one.id)], one.num_failed)
    yield from (sent, failed)


def _of_broker(service: Service) -> Iterator[Metric]:
    broker = service.mqtt
    if broker is None:
        return
    yield from _gauge("mqtt_connected", "1 while the MQTT broker listens.", float(broker.is_connected))
    published = CounterMetricFamily("hermes_mqtt_published", "Messages that the broker took.")
    published.add_metric([], broker.num_published)
    failed = CounterMetricFamily("hermes_mqtt_failed", "Times that the broker was not there, or was lost.")
    failed.add_metric([], broker.num_failed)
    yield from (published, failed)


def _of_streams(streams: Iterable[StreamStatus]) -> Iterator[Metric]:
    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"hermes_stream_{name}", text, labels=["stream", *labels])

    def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"hermes_stream_{name}", text, labels=["stream", *labels])

    frames = counter("frames", "Frames taken in.")
    skipped = counter("skipped_frames", "Frames that came and were not due.")
    dropped = counter("dropped_frames", "Frames lost, by place.", "place")
    gaps = counter("gaps", "Pauses of the stream.")
    reconnections = counter("reconnections", "How often the source was opened again.")
    compressions = counter("compressions", "How often tokens were evicted.")
    lag = gauge("lag_seconds", "How far memory and intake are behind the newest frame.")
    waiting = gauge("waiting_frames", "Frames that are not in the memory yet.")
    delivered = gauge("delivered_fps", "Frames a second that came lately.")
    tokens = gauge("memory_tokens", "Visual tokens in the fullest layer, by tier.", "tier")
    cache = gauge("cache_bytes", "Bytes of the stream's buffers on the device.")
    for one in streams:
        name = one.name
        frames.add_metric([name], one.num_frames)
        skipped.add_metric([name], one.num_skipped_frames)
        for place in ("decode", "ring", "engine"):
            dropped.add_metric([name, place], getattr(one.dropped, place))
        gaps.add_metric([name], one.num_gaps)
        reconnections.add_metric([name], one.num_reconnections)
        lag.add_metric([name], one.lag_seconds)
        waiting.add_metric([name], one.num_waiting_frames)
        delivered.add_metric([name], one.delivered_fps)
        if one.memory is not None:
            compressions.add_metric([name], one.memory.num_compressions)
            cache.add_metric([name], one.memory.cache_bytes)
            for tier, count in one.memory.num_kept_by_tier.items():
                tokens.add_metric([name, tier], count)
    yield from (frames, skipped, dropped, gaps, reconnections, compressions)
    yield from (lag, waiting, delivered, tokens, cache)
