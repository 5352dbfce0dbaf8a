"""The parts on Ray Serve: engine replicas, and the gateway before them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy, RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from hermes_stream.cluster.gateway import Gateway
from hermes_stream.cluster.listening import Listening
from hermes_stream.cluster.plan import Plan
from hermes_stream.cluster.replica_finder import ReplicaFinder
from hermes_stream.service.ownership.directory import Directory
from hermes_stream.service.ownership.placement import Load, num_replicas_wanted

APP = "hermes"
_STATS_SECONDS = 1.0
_HEALTH_SECONDS = 5.0
_GOODBYE_SECONDS = 60.0
_PLACE_SECONDS = 5.0
_MANY_CALLS = 1000
_SCALE_UP_SECONDS = 5.0


class EngineReplica:
    """A replica as Ray Serve runs it.

    Args:
        values: of the plan.
        is_local: whether all run on one machine, and listen to it alone.
    """

    def __init__(self, values: Mapping[str, Any], is_local: bool) -> None:
        from hermes_stream.cluster.replica import Replica, new_name

        host = "127.0.0.1" if is_local else ray.util.get_node_ip_address()
        self._replica: Replica | None = Replica(Plan.read(values), new_name(), host=host)

    @property
    def _running(self) -> Any:
        assert self._replica is not None
        return self._replica

    async def place(self, stream: str) -> str:
        """Return the address at which a stream is opened: this call was routed here for that."""
        del stream
        address: str = self._running.address
        return address

    async def open_stream(self, stream: str, settings: dict[str, Any]) -> str:
        """Open a stream of the settings, whose source is trusted; return what became of it."""
        status = await asyncio.to_thread(self._running.open_stream, stream, settings)
        return f"{status.name}: {status.state}"

    async def tell_receivers(self) -> None:
        """Let the receivers be told that the settings name."""
        await asyncio.to_thread(self._running.tell_receivers)

    async def record_routing_stats(self) -> dict[str, Any]:
        """Say what streams are here; Ray Serve asks every second, and shows it to routers."""
        stats: dict[str, Any] = await asyncio.to_thread(self._running.stats)
        return stats

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Say how many streams are here, and how many more it keeps up with."""
        stats: dict[str, float] = await asyncio.to_thread(self._running.load_stats)
        return stats

    async def check_health(self) -> None:
        """Let Ray begin this replica again where its engine hangs or is gone.

        Raises:
            RuntimeError: so it is.
        """
        health = self._running.service.health()
        if not health.is_live:
            raise RuntimeError("; ".join(health.reasons))

    def __del__(self) -> None:
        """Give all streams back: Ray Serve calls this when the replica is to end."""
        replica, self._replica = getattr(self, "_replica", None), None
        if replica is not None:
            replica.close()


class GatewayReplica:
    """The gateway as Ray Serve runs it. It listens itself: Ray's proxy would be one more hop for each piece.

    Args:
        values: of the plan.
        port: to listen at.
        engines: where new streams are opened.
    """

    def __init__(self, values: Mapping[str, Any], port: int, engines: DeploymentHandle) -> None:
        plan, self._engines = Plan.read(values), engines
        self._directory = Directory(plan.service.store, lease_seconds=plan.cluster.lease_seconds)
        finder = ReplicaFinder(self._directory.replicas, self._place)
        gateway = Gateway(finder, max_body_bytes=plan.server.max_body_bytes)
        self._listening = Listening(gateway, plan.server.host, port, shared=True)

    async def _place(self, stream: str) -> str:
        def ask() -> str:
            address: str = self._engines.place.remote(stream).result(timeout_s=_PLACE_SECONDS)
            return address

        return await asyncio.to_thread(ask)

    async def check_health(self) -> None:
        """Let Ray begin this gateway again where it does not listen any more.

        Raises:
            RuntimeError: so it is.
        """
        if not self._listening.is_alive:
            raise RuntimeError("the gateway does not listen any more")

    def __del__(self) -> None:
        """Let the port go: Ray Serve calls this when the gateway is to end."""
        if hasattr(self, "_listening"):
            self._listening.close()
            self._directory.close()


def replicas_wanted(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """Return how many replicas carry the streams that there are, whatever is asked of them."""
    loads = loads_of(context.raw_metrics or {}, context.running_replicas)
    wanted = num_replicas_wanted(
        loads, fewest=context.capacity_adjusted_min_replicas, most=context.capacity_adjusted_max_replicas
    )
    # one that came just now has said nothing yet, and is not to go for that
    return max(wanted, context.current_num_replicas if len(loads) < context.current_num_replicas else 0), {}


def loads_of(metrics: Mapping[str, Mapping[Any, Any]], replicas: Sequence[Any]) -> list[Load]:
    """Return what each replica said of itself last.

    Args:
        metrics: of what ``record_autoscaling_stats`` returns, by name: a series of values of each replica.
        replicas: that run.
    """
    found = []
    for number, replica in enumerate(replicas):
        said = {name: by_replica[replica] for name, by_replica in metrics.items() if by_replica.get(replica)}
        if "num_streams" in said and "more_streams" in said:
            num_streams, more = (round(said[name][-1].value) for name in ("num_streams", "more_streams"))
            found.append(Load(id=number, num_streams=num_streams, more_streams=more))
    return found


def application(plan: Plan, *, port: int, is_local: bool) -> serve.Application:
    """Return what ``serve.run`` runs.

    Args:
        plan: what it is.
        port: that gateways listen at.
        is_local: whether all run on one machine.
    """
    cluster, values = plan.cluster, plan.as_json()
    number: dict[str, Any] = {"num_replicas": cluster.num_replicas}
    if cluster.num_replicas is None:
        number = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=1,
                max_replicas=cluster.max_replicas,
                upscale_delay_s=_SCALE_UP_SECONDS,
                downscale_delay_s=cluster.scale_down_seconds,
                policy=AutoscalingPolicy(policy_function=replicas_wanted),
            )
        }
    from hermes_stream.cluster.stream_router import StreamRouter

    engines = serve.deployment(EngineReplica).options(
        name="engines",
        max_ongoing_requests=_MANY_CALLS,
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=_GOODBYE_SECONDS,
        ray_actor_options={"num_cpus": cluster.replica_cpus, "num_gpus": cluster.replica_gpus},
        request_router_config=RequestRouterConfig(
            request_router_class=StreamRouter, request_routing_stats_period_s=_STATS_SECONDS
        ),
        **number,
    )
    gateway = serve.deployment(GatewayReplica).options(
        name="gateway",
        num_replicas=cluster.gateways,
        health_check_period_s=_HEALTH_SECONDS,
        ray_actor_options={"num_cpus": 0.1},
    )
    return gateway.bind(values, port, engines.bind(values, is_local))
