"""A service speaks up by itself, and a receiver hears of it: python alerts.py [MODEL]."""

import base64
import hashlib
import hmac
import json
import queue
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from hermes_stream import Service
from hermes_stream.synthetic.world import generate_world

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
heard: "queue.Queue[dict]" = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    """Takes messages that are signed with the secret."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        text = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        code = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), text, hashlib.sha256).digest()
        is_ours = f"v1,{base64.b64encode(code).decode()}" in self.headers["webhook-signature"].split()
        self.send_response(204 if is_ours else 401)
        self.end_headers()
        if is_ours:
            heard.put(json.loads(body))

    def log_message(self, *_):
        pass


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "tiny"
    world = generate_world(5, 40)
    thing = world.appearances[1].thing
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, Service(model, folder) as service:
        service.webhooks.add(f"http://127.0.0.1:{server.server_port}/", secret=SECRET)
        service.open_stream("world", fps=1.0, chunk_frames=1)
        service.watches.add("world", f"was there a {thing}?", name=str(thing), clear_at=0.0, post_seconds=2)
        for frame in world.frames(fps=1.0):
            service.push_frames("world", frame, wait_seconds=30)
        for _ in range(2):
            message = heard.get(timeout=60)
            told = message["data"]
            pictures = len(told["picture_urls"])
            print(f"{message['type']}: {told['watch']} at {told['stream_seconds']:g} s, {pictures} pictures")
        service.watches.remove("world", str(thing))
        print(f"{heard.get(timeout=60)['type']}: one id, {told['incident_id']}")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
