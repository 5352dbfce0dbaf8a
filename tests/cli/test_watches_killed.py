"""A service with watches that is killed: what it told before is not told again, by the record or outside."""

from __future__ import annotations

import json
import signal
import time

import pytest
from tests.cli.test_serving import start
from tests.service.receiver import receiving
from tests.waiting import until

from hermes_stream.client import Client
from hermes_stream.service.watch_events import WATCH_KINDS
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video.jpeg import encode_jpeg

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5IQ=="


def push(client, frames):
    for frame in frames:
        client.push("door", encode_jpeg(frame.image), frame.pts_seconds)
        until(lambda at=frame.pts_seconds: folded(client) >= at, 60.0)


def folded(client):
    seconds = client.stream("door").folded_until_seconds
    return -1.0 if seconds is None else seconds


@pytest.mark.long
def test_each_incident_is_told_once_over_kills(tmp_path):
    frames = list(generate_world(5, 40).frames(fps=1.0))
    with receiving() as receiver:
        settings = tmp_path / "settings.toml"
        settings.write_text(
            f'[streams.door]\n[[webhooks]]\nurl = "{receiver.url}"\nsecret = "{SECRET}"\n', encoding="utf-8"
        )
        words = ("--recipe", "world", "--config", str(settings))
        for first, last in ((0, 26), (26, 33), (33, 40)):
            process, url = start(tmp_path, *words)
            try:
                with Client(url) as client:
                    newest = client.stream("door").newest_pts_seconds
                    again = 0 if newest is None else int(newest) + 1  # what was lost is pushed again
                    assert again <= first
                    push(client, frames[again:last])
                    assert len(client.watches("door")) == 4
                    time.sleep(0.3)
                    told = client.events(kind=list(WATCH_KINDS), limit=1000)
                    incidents = client.incidents()
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        raised = [one.payload["incident"] for one in told if one.kind == "alert_raised"]
        assert len(raised) == len(set(raised)) >= 2
        names = [one.payload["name"] for one in told if one.kind == "alert_raised"]
        assert sorted(names) == ["blue square", "red circle"]
        assert {one.id for one in incidents} == set(raised)
        sent = {headers["webhook-id"]: json.loads(body) for headers, body in receiver.messages}
        heard = [one["data"]["incident_id"] for one in sent.values() if one["type"] == "incident.new"]
        assert len(heard) == len(set(heard))
        assert set(heard) <= set(raised)
        assert set(raised[:1]) <= set(heard)
        assert SECRET not in (tmp_path / "log").read_text()
