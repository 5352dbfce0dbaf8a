"""A hub on this machine: the addresses that a model is listed and fetched by, over folders."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(models: Mapping[str, Path], asked: list[str]) -> Iterator[str]:
    """Serve folders as models, note every path that is asked for, and give the address."""

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            asked.append(path)
            for name, folder in models.items():
                if path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
                    files = [{"rfilename": f.name, "size": f.stat().st_size} for f in folder.iterdir()]
                    return self.give(json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode())
                if path.startswith(f"/api/models/{name}/tree/"):
                    return self.give(json.dumps([entry(f) for f in folder.iterdir()]).encode())
                if path.startswith(f"/{name}/resolve/"):
                    file = folder / path.rpartition("/")[2]
                    if file.is_file():
                        return self.give(file.read_bytes(), digest(file))
                if path.startswith(f"/api/models/{name}/revision/"):
                    return self.refuse("RevisionNotFound")
            return self.refuse("RepoNotFound")

        def give(self, body: bytes, etag: str | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Repo-Commit", COMMIT)
            if etag is not None:
                self.send_header("ETag", f'"{etag}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def entry(file: Path) -> dict[str, object]:
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": digest(file)}


def digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
