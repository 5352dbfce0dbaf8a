"""A cluster begun on this machine, or brought onto a Ray cluster that runs."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hermes_stream.cluster.plan import Plan
from hermes_stream.errors import MissingPackageError, ServiceError, SettingsError
from hermes_stream.service.settings import NamedStream

log = logging.getLogger(__name__)
_OPEN_SECONDS, _REACH_SECONDS = 60.0, 5.0
_HOST_AND_PORT = re.compile(r"(?:ray://)?(?P<host>[^/]+):(?P<port>[0-9]{1,5})")


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
    _check_port(plan.server.host, plan.server.port)
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


def deploy(plan: Plan, *, address: str | None = None, on_trouble: Callable[[str], None]) -> str:
    """Bring a plan onto a Ray cluster that runs, replica by replica where one runs there; return its address.

    Args:
        plan: what runs from now on.
        address: of the cluster, as Ray takes it: ``auto``, ``HOST:6379``, ``ray://HOST:10001``; None is what
            the plan says, else the environment's ``RAY_ADDRESS``, else a cluster of this machine.
        on_trouble: is told in words of a stream that cannot be opened.

    Raises:
        SettingsError: it cannot run so, or there is no such cluster.
        MissingPackageError: Ray is not installed.
        ServiceError: it was brought there, and does not run.
    """
    ray, serve = _ray()
    _check(plan)
    address = address or plan.cluster.ray_address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        _reach(address)
        ray.init(address=address, namespace="hermes", log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"there is no Ray cluster at {address!r} ({_first_line(error)}); begin one with 'ray start "
            "--head', or say where it is: --address HOST:6379, ray_address in the file, or RAY_ADDRESS"
        ) from error
    try:
        machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        if plan.server.is_local and len(machines) > 1:
            raise SettingsError(
                f"host {plan.server.host} is reached from one machine alone, and the cluster has "
                f'{len(machines)}; give host = "0.0.0.0", or the address of a network of its own'
            )
        return _deploy(_absolute(plan), serve, is_local=plan.server.is_local, on_trouble=on_trouble)
    finally:
        ray.shutdown()


def _deploy(plan: Plan, serve: Any, *, is_local: bool, on_trouble: Callable[[str], None]) -> str:
    from hermes_stream.cluster.deployments import APP, application
    from hermes_stream.server.listening import free_port

    server = plan.server
    port = server.port or free_port(server.host)
    serve.start(proxy_location="Disabled")
    try:
        serve.run(application(plan, port=port, is_local=is_local), name=APP, route_prefix=None)
    except RuntimeError as error:
        raise ServiceError(
            f"the cluster does not run as deployed: {_first_line(error)}; 'serve status' and the logs of Ray "
            "say more"
        ) from error
    engines = serve.get_deployment_handle("engines", APP)
    if plan.start.webhooks:
        engines.tell_receivers.remote().result(timeout_s=_OPEN_SECONDS)
    _open_streams(engines, plan.start.streams, on_trouble)
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


def _reach(address: str) -> None:
    """Check that somebody listens at a cluster's address: Ray itself tries for minutes.

    Raises:
        OSError: nobody does.
    """
    if (found := _HOST_AND_PORT.fullmatch(address)) is not None:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), _REACH_SECONDS).close()


def _absolute(plan: Plan) -> Plan:
    """Return a plan whose folders are the same from wherever a replica runs."""
    start: dict[str, Any] = {"data_dir": plan.start.data_dir.absolute()}
    if (folder := Path(plan.start.model)).is_dir():
        start["model"] = str(folder.absolute())
    return replace(plan, start=plan.start.model_copy(update=start))


def _check_port(host: str, port: int) -> None:
    """Refuse a port that another program has: gateways share theirs, and would share it with that one."""
    from hermes_stream.server.listening import is_free

    if port and not is_free(host, port):
        raise SettingsError(
            f"port {port} of {host} is taken; end the program that has it, or give another --port"
        )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


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
