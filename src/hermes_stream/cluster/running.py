"""A cluster begun on this machine, or brought onto a Ray cluster that runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hermes_stream.cluster.plan import Plan
from hermes_stream.errors import MissingPackageError, SettingsError
from hermes_stream.service.settings import NamedStream

log = logging.getLogger(__name__)
_OPEN_SECONDS = 60.0


@contextmanager
def local_cluster(plan: Plan, *, on_trouble: Callable[[str], None]) -> Iterator[str]:
    """Run a cluster on this machine while the block lasts; lend its address.

    Args:
        plan: what runs.
        on_trouble: is told in words of a stream that cannot be opened.

    Raises:
        SettingsError: it cannot run so.
        MissingPackageError: Ray is not installed.
    """
    ray, serve = _ray()
    _check(plan)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray lets its workers give way to all other programs, and a replica that gets no core loses its streams
    os.environ.setdefault("RAY_worker_niceness", "0")
    most = plan.cluster.num_replicas or plan.cluster.max_replicas
    # Ray counts cores that it gives away; replicas share those that there are
    cores = max(os.cpu_count() or 1, round(most * plan.cluster.replica_cpus) + 1)
    ray.init(
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        namespace="hermes",
        object_store_memory=80 * 1024 * 1024,
    )
    try:
        yield _deploy(plan, serve, is_local=True, on_trouble=on_trouble)
        serve.shutdown()
    finally:
        ray.shutdown()


def deploy(plan: Plan, *, address: str, on_trouble: Callable[[str], None]) -> str:
    """Bring a plan onto a Ray cluster that runs, replica by replica where one runs there; return its address.

    Args:
        plan: what runs from now on.
        address: of the cluster, as Ray takes it: ``auto``, ``HOST:6379``, ``ray://HOST:10001``.
        on_trouble: is told in words of a stream that cannot be opened.

    Raises:
        SettingsError: it cannot run so.
        MissingPackageError: Ray is not installed.
    """
    ray, serve = _ray()
    _check(plan)
    ray.init(address=address, namespace="hermes", log_to_driver=False, configure_logging=False)
    try:
        return _deploy(plan, serve, is_local=len(ray.nodes()) == 1, on_trouble=on_trouble)
    finally:
        ray.shutdown()


def _deploy(plan: Plan, serve: Any, *, is_local: bool, on_trouble: Callable[[str], None]) -> str:
    from hermes_stream.cluster.deployments import APP, application
    from hermes_stream.cluster.replica import free_port

    server = plan.server
    port = server.port or free_port(server.host)
    serve.start(proxy_location="Disabled")
    serve.run(application(plan, port=port, is_local=is_local), name=APP, route_prefix=None)
    _open_streams(serve.get_deployment_handle("engines", APP), plan.start.streams, on_trouble)
    return f"http://{f'[{server.host}]' if ':' in server.host else server.host}:{port}"


def _open_streams(
    engines: Any, streams: Mapping[str, NamedStream], on_trouble: Callable[[str], None]
) -> None:
    for name, stream in streams.items():
        values = stream.model_dump(mode="json", exclude_unset=True)
        try:
            engines.open_stream.remote(name, values).result(timeout_s=_OPEN_SECONDS)
        except Exception as error:
            told = getattr(error, "cause", None) or error
            on_trouble(f"stream {name!r} is not opened: {told}")


def _check(plan: Plan) -> None:
    if faults := plan.faults():
        raise SettingsError("settings are not accepted:\n" + "\n".join(f"- {fault}" for fault in faults))


def _ray() -> tuple[Any, Any]:
    try:
        import ray
        from ray import serve
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"a cluster needs the package {error.name!r}; install it with: pip install 'hermes-stream[ray]'"
        ) from error
    return ray, serve
