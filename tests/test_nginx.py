"""The configuration for several services behind nginx, with the real program and two real services."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from hermes_stream.server import Server
from hermes_stream.server.listening import free_port
from hermes_stream.server.settings import ServerSettings
from hermes_stream.service import Service
from hermes_stream.video.jpeg import encode_jpeg

SHIPPED = Path(__file__).parents[1] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
JPEG = encode_jpeg(np.zeros((48, 48, 3), dtype=np.uint8))
QUESTION = {"question": "what is seen now?", "max_new_tokens": 2}


@pytest.fixture
def behind_nginx(model, tmp_path):
    """Two services and their address behind nginx."""
    if NGINX is None:
        pytest.skip("nginx is not installed; apt-get install nginx-light")
    text, ports = SHIPPED.read_text(encoding="utf-8"), {}
    with ExitStack() as stack:
        services = [stack.enter_context(Service(model, tmp_path / str(k))) for k in (1, 2)]
        for shipped, service in zip(("8001", "8002"), services, strict=True):
            url = stack.enter_context(Server(service, ServerSettings(port=0)).listening())
            ports[shipped] = url.rpartition(":")[2]
        ports["8000"] = str(free_port("127.0.0.1"))
        for shipped, port in ports.items():
            assert f"127.0.0.1:{shipped}" in text
            text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
        # as root, its workers would be of another user, who may not look into the folder
        (tmp_path / "nginx.conf").write_text(text.replace("worker_processes auto", "worker_processes 1"))
        command = [
            NGINX,
            "-c",
            tmp_path / "nginx.conf",
            "-p",
            tmp_path,
            "-g",
            "daemon off; master_process off;",
        ]
        program = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(program.terminate)
        url = f"http://127.0.0.1:{ports['8000']}"
        for _ in range(200):
            try:
                httpx.get(f"{url}/health")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url, services


def test_each_stream_has_its_process(behind_nginx):
    url, services = behind_nginx
    # which ports are free decides the shares: one pair in a hundred gave all of eight names to one process
    names = [f"s{k}" for k in range(32)]
    with httpx.Client(base_url=url, timeout=30) as client:
        refused = client.post("/v1/streams", json={"name": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "stream_missing")
        for name in names:
            assert client.post(f"/v1/streams?stream={name}", json={"name": name}).status_code == 201
            pushed = client.post(
                f"/v1/streams/{name}/frames", content=JPEG, headers={"content-type": "image/jpeg"}
            )
            assert pushed.status_code == 200, pushed.text
            assert client.post(f"/v1/streams/{name}/ask", json=QUESTION).json()["text"]
        held = [{one.name for one in service.streams()} for service in services]
        assert held[0] | held[1] == set(names)
        assert held[0] & held[1] == set()
        assert all(held), "both have some"
        headers = {"accept": "text/event-stream"}
        with client.stream("POST", "/v1/streams/s0/ask", json=QUESTION, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert any(line.startswith("data:") for line in answer.iter_lines())
    with connect(f"ws{url[4:]}/v1/streams/s1/frames") as socket_:
        socket_.send((9_000_000).to_bytes(8, "little") + JPEG)
        assert socket_.recv(timeout=10)
