"""The judge, against a server on this machine that behaves well, badly or not at all."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.lab.episodes import question

from hermes_lab.evaluation import Prediction, Reply
from hermes_lab.evaluation.grading import grade, is_for_judge
from hermes_lab.evaluation.judging import SYSTEM_PROMPT, Judge, Verdict, Verdicts
from hermes_lab.evaluation.scorers import strict
from hermes_stream.errors import JudgeError

YES = '{"pred": "yes", "score": 4}'


class Endpoint:
    """Answers as it is told: a text, or a status code, one after the other; the last one again and again."""

    def __init__(self, *replies):
        self.replies, self.requests, self.lock = list(replies), [], threading.Lock()

    def next(self, path, headers, body):
        with self.lock:
            self.requests.append((path, headers, json.loads(body)))
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def serving(*replies):
    endpoint = Endpoint(*replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = endpoint.next(self.path, dict(self.headers), body)
            code, text = (reply, "refused") if isinstance(reply, int) else (200, reply)
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "http://elsewhere.invalid/")
            self.end_headers()
            if code == 200 and not text.startswith("raw:"):
                text = json.dumps({"choices": [{"message": {"content": text}}]})
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answered(text="Onions are cut.", name="q"):
    asked = question("What is done?", "Chopping onions.", options=(), name=name)
    return Prediction(video="v", question=asked, reply=Reply(text=text), at_seconds=1.0)


def judge(url, **more):
    return Judge(url, model="m", **({"first_wait_seconds": 0.0, "timeout_seconds": 5.0} | more))


def test_what_is_sent_and_what_comes_back():
    with serving(YES) as (url, endpoint):
        assert judge(url, key="secret").verdict(answered()) == Verdict(is_right=True, score=4.0)
    ((path, headers, body),) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"]) == ("m", 0)
    system, user = body["messages"]
    assert system["content"] == SYSTEM_PROMPT
    assert json.loads(user["content"]) == {
        "question": "What is done?",
        "correct_answer": "Chopping onions.",
        "answer_to_grade": "Onions are cut.",
    }


def test_without_a_key_none_is_sent():
    with serving(YES) as (url, endpoint):
        judge(f"{url}/chat/completions/").verdict(answered())
    ((path, headers, _),) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers


def test_a_query_stays_behind_the_path():
    with serving(YES) as (url, endpoint):
        judge(f"{url}/openai/?api-version=1").verdict(answered())
    ((path, *_),) = endpoint.requests
    assert path == "/v1/openai/chat/completions?api-version=1"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("{'pred': 'no', 'score': 0}", Verdict(is_right=False, score=0.0)),
        ('```json\n{"pred": "YES", "score": 5}\n```', Verdict(is_right=True, score=5.0)),
        ('{"score": 3.5, "pred": "no"}', Verdict(is_right=False, score=3.5)),
    ],
)
def test_replies_in_other_forms(text, verdict):
    with serving(text) as (url, _):
        assert judge(url).verdict(answered()) == verdict


@pytest.mark.parametrize(
    "text", ["I think so", '{"pred": "yes"}', '{"pred": "yes", "score": 9}', "raw:no JSON"]
)
def test_replies_that_are_no_verdict_leave_the_answer_unjudged(text):
    with serving(text) as (url, _):
        verdict = judge(url).verdict(answered())
    assert verdict.is_right is None
    assert verdict.problem


def test_an_empty_answer_is_wrong_without_asking():
    with serving(YES) as (url, endpoint):
        assert judge(url).verdict(answered("  ")) == Verdict(is_right=False, score=0.0)
    assert endpoint.requests == []


def test_what_passes_is_tried_again():
    with serving(503, 429, YES) as (url, endpoint):
        assert judge(url).verdict(answered()).is_right
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(("code", "num_requests"), [(500, 3), (401, 1), (404, 1), (302, 1)])
def test_what_does_not_pass_is_told(code, num_requests):
    with serving(code) as (url, endpoint), pytest.raises(JudgeError) as caught:
        judge(url, key="secret", num_attempts=3).verdict(answered())
    assert len(endpoint.requests) == num_requests
    assert str(code) in str(caught.value)
    assert "HERMES_JUDGE_API_KEY" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_nobody_there():
    with serving(YES) as (url, _):
        pass
    with pytest.raises(JudgeError, match="does not judge"):
        judge(url, num_attempts=2).verdict(answered())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8000", "ftp://x/y", ""])
def test_addresses_that_are_none(url):
    with pytest.raises(JudgeError, match="no web address"):
        Judge(url, model="m")


def test_no_answer_is_judged_twice(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    ones = [answered(f"answer {k}", name=f"q{k}") for k in range(6)] + [answered("answer 0", name="q9")]
    told = []
    with serving(YES) as (url, endpoint):
        first = Verdicts(path).judged(judge(url), ones, on_progress=told.append)
        with path.open("a") as file:
            file.write('{"name": "cut sho')
        assert Verdicts(path).judged(judge(url), ones) == first
        assert len(endpoint.requests) == 6
        Verdicts(path).judged(Judge(url, model="another"), ones[:1])
        assert len(endpoint.requests) == 7
    assert told == [1, 2, 3, 4, 5, 6]


def test_a_judge_that_stops_loses_no_verdict(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    ones = [answered(f"answer {k}") for k in range(4)]
    with serving(YES, YES, 401) as (url, _), pytest.raises(JudgeError):
        Verdicts(path).judged(judge(url, num_at_once=1), ones)
    with serving(YES) as (url, endpoint):
        # The address is no part of what a verdict is called.
        assert all(one.is_right for one in Verdicts(path).judged(judge(url), ones))
        assert len(endpoint.requests) == 2


def test_the_judge_decides_over_words_and_nothing_else():
    ones = [answered(name="a"), answered(name="b"), answered("Chopping onions.", name="c")]
    verdicts = {"a": Verdict(is_right=True, score=4.0), "b": Verdict(problem="?")}
    graded = grade(ones, strict, verdicts)
    assert graded.rights == [True, True]
    assert graded.unscored == [ones[1]]
    assert is_for_judge(ones[0])
    choice = Prediction(video="v", question=question(), reply=Reply(text="A"), at_seconds=1.0)
    assert not is_for_judge(choice)
