"""``hermes serve``: cameras and streams, questions about them over HTTP, a record that lasts."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated, Any, final

import typer

from hermes_stream.cli.configured_streams import Reloads, open_streams, tell_receivers
from hermes_stream.cli.knowledge import warn_of_narrow_model
from hermes_stream.cli.opening import load, share_processors
from hermes_stream.cli.options import JsonOption, ModelOptions
from hermes_stream.cli.output import complain, print_json, say
from hermes_stream.cli.pid_file import pid_file
from hermes_stream.cli.serving import missing_server
from hermes_stream.cli.settings_options import with_flags
from hermes_stream.cli.standing_options import RecipeOption
from hermes_stream.errors import ServiceError, SettingsError
from hermes_stream.service.heap import bound_heap

try:
    from hermes_stream.server.cluster_settings import ClusterSettings
    from hermes_stream.server.settings import ServerSettings
    from hermes_stream.service.settings import NamedStream, ServiceSettings, StartSettings
    from hermes_stream.service.settings_files import read_settings
except ModuleNotFoundError as error:
    raise missing_server(error) from error

from hermes_stream.recipes import recipe as recipe_named

if TYPE_CHECKING:
    from hermes_stream.cluster.plan import Plan
    from hermes_stream.models.base import VideoModel
    from hermes_stream.server import Server
    from hermes_stream.service import Service

_KINDS = (StartSettings, ServiceSettings, ServerSettings, ClusterSettings)

SettingsOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings, as TOML.")]
SourcesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="NAME=URL",
        help="A stream and its source: rtsp://, http://, udp://, /dev/video0, screen:, a file; may be "
        "given several times.",
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "--data-dir",
        metavar="DIR",
        help="Folder of record, pictures, snapshots and journals. [default: hermes-data]",
    ),
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Say whether the settings would do, and open nothing.")
]


@with_flags(_KINDS)
def serve(
    *,
    file: SettingsOption = None,
    recipe: RecipeOption = None,
    source: SourcesOption = None,
    data_dir: FolderOption = None,
    check: CheckOption = False,
    json: JsonOption = False,
    flags: dict[str, Any],
) -> None:
    """Watch streams and answer questions about them over HTTP, until SIGTERM or Ctrl-C.

    Every option has the same name in a file (--config), in the environment (HERMES_NAME) and here; what
    stands here holds. Streams that were open when the service ended, however that was, are open again.
    SIGHUP, or 'hermes reload', opens the streams that the file has got in the meantime.
    """
    from hermes_stream.server import Server  # noqa: F401 - says which package is missing, where one is

    settings = Settings(file, {**flags, "data_dir": data_dir}, source or [], recipe=recipe)
    faults = settings.faults()
    if check:
        _show_check(faults, as_json=json)
        return
    if faults:
        raise SettingsError("settings are not accepted:\n" + "\n".join(f"- {fault}" for fault in faults))
    if settings.cluster.cluster:
        _serve_cluster(settings.plan(), as_json=json)
        return
    bound_heap()
    with Reloads(settings.start_now) as reloads, _place(settings) as listener:
        share_processors(settings.start.threads)
        model = load(ModelOptions(model=settings.start.model))
        warn_of_narrow_model(model)
        _run(model, settings, reloads, listener, as_json=json)


@contextmanager
def _place(settings: Settings) -> Iterator[socket]:
    """Lend the server's address, taken; and check the folder: a model takes long to load in vain."""
    from hermes_stream.server.listening import bind
    from hermes_stream.service.service_folder import ServiceFolder, is_served

    folder = settings.start.data_dir
    with suppress(OSError):  # there is none yet
        if is_served(folder):
            ServiceFolder(folder)  # which says so
    with bind(settings.server.host, settings.server.port) as listener:
        yield listener


def _run(model: VideoModel, settings: Settings, reloads: Reloads, listener: socket, *, as_json: bool) -> None:
    from hermes_stream.server import Server
    from hermes_stream.service import Service

    with Service(model, settings.start.data_dir, settings=settings.service) as service:
        server = Server(service, settings.server, log_level="INFO")
        open_streams(service, settings.start)
        tell_receivers(service, settings.start)
        gc.freeze()  # model and packages stay: to search them took seconds of the program's end
        with pid_file(service.data_dir), reloads.into(service), _Watchdog(service, server) as watchdog:
            server.run(
                on_listening=lambda url: _tell(url, service, settings, as_json=as_json), listener=listener
            )
    if watchdog.failure is not None:
        raise watchdog.failure


@final
class Settings:
    """All settings, read from file, environment and command line; the file may be read again.

    Args:
        file: TOML, or None.
        flags: values by field; None where one was not given.
        sources: of the command line, ``NAME=URL``.
        recipe: whose file lies below all else; None takes none.

    Attributes:
        start: what the service is started with, the command line's streams included.
        service: options of the service.
        server: options of the server.
        cluster: whether replicas run behind one address, and how many.

    Raises:
        SettingsError: a name is unknown or a value is not accepted.
    """

    start: StartSettings
    service: ServiceSettings
    server: ServerSettings
    cluster: ClusterSettings

    def __init__(
        self, file: Path | None, flags: Mapping[str, Any], sources: list[str], *, recipe: str | None = None
    ) -> None:
        self._base = None if recipe is None else recipe_named(recipe).path
        self._file, self._flags, self._sources = file, flags, dict(map(_named_source, sources))
        self.start, self.service, self.server, self.cluster = self._read()

    def _read(self) -> tuple[StartSettings, ServiceSettings, ServerSettings, ClusterSettings]:
        start, service, server, cluster = read_settings(
            _KINDS, base=self._base, file=self._file, environment=os.environ, flags=self._flags
        )
        # what the file says of a stream of that name stays
        known = start.streams
        named = {
            name: known.get(name, NamedStream()).model_copy(update={"source": url})
            for name, url in self._sources.items()
        }
        return start.model_copy(update={"streams": {**start.streams, **named}}), service, server, cluster

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong beyond single values, in words."""
        from hermes_stream.service.settings_check import check_settings

        found = (*check_settings(self.service, self.start), *_faults_of_server(self.server))
        return (*found, *self.plan().faults()) if self.cluster.cluster else found

    def plan(self) -> Plan:
        """Return them as what replicas run."""
        from hermes_stream.cluster.plan import Plan

        return Plan(start=self.start, service=self.service, server=self.server, cluster=self.cluster)

    def start_now(self) -> StartSettings:
        """Read the file again, and return what it names now.

        Raises:
            SettingsError: it is not accepted any more.
        """
        return self._read()[0]


def _faults_of_server(server: ServerSettings) -> list[str]:
    from hermes_stream.video.sources.policy import SourcePolicy

    faults = []
    for name, file in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key)):
        if file is not None and not os.access(file, os.R_OK):
            faults.append(f"{name}: {file} cannot be read; give a PEM file")
    try:
        SourcePolicy(allow=server.allow_sources, private_networks=server.private_networks)
    except ValueError as error:
        faults.append(str(error))
    return faults


def _named_source(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not (name and equals and url):
        raise typer.BadParameter(  # not shown: an address may hold a password
            "it is no NAME=URL; give such as door=rtsp://192.168.1.20/stream1", param_hint="--source"
        )
    return name, url


def _show_check(faults: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"is_accepted": not faults, "faults": list(faults)})
    else:
        for fault in faults:
            complain(fault)
        if not faults:
            say("the settings are accepted; nothing was opened")
    if faults:
        raise typer.Exit(1)


def _serve_cluster(plan: Plan, *, as_json: bool) -> None:
    """Run replicas behind one address until SIGTERM or Ctrl-C; their streams are saved first."""
    from hermes_stream.cluster.running import local_cluster

    ended = threading.Event()
    with local_cluster(plan, on_trouble=lambda text: complain(text, kind="warning")) as url:
        for sig in (signal.SIGINT, signal.SIGTERM):  # Ray has taken them, and would end at once
            signal.signal(sig, lambda *_: ended.set())
        if as_json:
            print_json({"url": url, "model": plan.start.model, "replicas": plan.cluster.replicas})
        else:
            say(f"listening at {url}; replicas: {plan.cluster.replicas}; API at {url}/docs")
            say("who has what: hermes cluster status --store URL")
        ended.wait()


@final
class _Watchdog:
    """Stops the server when the service has failed for good, so that the program ends with 1.

    Attributes:
        failure: what the service failed with.
    """

    def __init__(self, service: Service, server: Server) -> None:
        self.failure: ServiceError | None = None
        self._service, self._server, self._is_over = service, server, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> _Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                self._service.wait(0.5)
            except ServiceError as error:
                self.failure = error
                self._server.stop()
                return


def _tell(url: str, service: Service, settings: Settings, *, as_json: bool) -> None:
    """Say where the service is, what runs, and how to ask it something."""
    streams = [status.name for status in service.streams()]
    policy, model = settings.service.policy, service.model.card
    if as_json:
        about = {"url": url, "model": model.name, "model_knows": model.knows, "policy": policy}
        print_json({**about, "streams": streams, "needs_keys": settings.server.needs_keys})
        return
    say(f"listening at {url}; {model.name} with the memory {policy}; record in {service.data_dir}")
    say(f"streams: {', '.join(streams) or 'none yet'}; the page is at {url}, the API at {url}/docs")
    key = ' -H "Authorization: Bearer $HERMES_KEY"' if settings.server.needs_keys else ""
    name = streams[0] if streams else "NAME"
    body = """'{"question": "What is seen now?"}'"""
    say(f"ask: curl {url}/v1/streams/{name}/ask{key} -H 'Content-Type: application/json' -d {body}")
    if settings.server.needs_keys and not any(
        key.revoked_wall_seconds is None for key in service.keys.list()
    ):
        complain("nobody has a key yet; 'hermes keys create LABEL' makes one", kind="warning")
    if settings.server.no_auth and not settings.server.is_local:
        complain(f"everyone who reaches {url} may do everything: --no-auth", kind="warning")
