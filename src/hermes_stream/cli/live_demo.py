"""``hermes demo --live``: a generated camera, the service, and a client that asks it, all on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hermes_stream.cli.options import MemoryOptions
from hermes_stream.cli.output import mark, print_json, say
from hermes_stream.cli.serving import missing_server
from hermes_stream.errors import ServiceError

if TYPE_CHECKING:
    from hermes_stream.client import Client, EventValue, StreamValue
    from hermes_stream.models import VideoModel
    from hermes_stream.synthetic.moment import Question
    from hermes_stream.synthetic.recording import Recording

_NAME = "world"
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0
# A camera's clock counts in ticks of its own: the frame of second 47 may come at 46.9986.
_CLOCK_SECONDS = 0.1
_ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question about the world, and what the service said.

    Attributes:
        question: what was asked.
        text: the answer.
        ttft_seconds: from the question to the first token, frames that waited folded in.
    """

    question: Question
    text: str
    ttft_seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the answer is the truth."""
        from hermes_stream.synthetic.recording import is_truth

        return is_truth(self.question, self.text)


def play_live(model: VideoModel, memory: MemoryOptions, recording: Recording, *, as_json: bool) -> None:
    """Play a world over RTSP as it happens, watch it with a service, and ask over HTTP.

    Args:
        model: watches.
        memory: what it remembers.
        recording: the world and its questions.
        as_json: end with a JSON document.

    Raises:
        ServiceError: the stream stops showing frames before the last question.
    """
    with _running(model, memory, recording) as client:
        if not as_json:
            say(f"a camera plays story {recording.world.seed}; the service answers as it happens\n")
        client.watch(_NAME, _standing_question(recording), clear_at=0.0)
        answers: list[Answered] = []
        alerts: list[EventValue] = []
        for question in recording.questions:
            _wait_for(client, float(question.asked_seconds))
            answers.append(_ask(client, question))
            new = client.events(kind=["alert_raised"], after=alerts[-1].id if alerts else 0)
            alerts += new
            if not as_json:
                _tell(answers[-1], new)
        document = _document(recording, answers, client.stream(_NAME))
        document["alerts"] = [
            {"question": one.payload["question"], "stream_seconds": one.pts_seconds} for one in alerts
        ]
    if as_json:
        print_json({"model": model.card.name, "policy": memory.policy, **document})
    else:
        right = sum(one.is_right for one in answers)
        say(
            f"\n{right} of {len(answers)} right; {document['num_frames']} frames, {document['num_dropped']} "
            f"dropped; first token after {1000 * document['ttft_seconds']:.0f} ms in the median"
        )


@contextmanager
def _running(model: VideoModel, memory: MemoryOptions, recording: Recording) -> Iterator[Client]:
    """Run camera, service and server while it lasts; return a client that watches the camera."""
    try:
        from hermes_stream.client import Client
        from hermes_stream.server import Server, ServerSettings
        from hermes_stream.service import Service, ServiceSettings
    except ModuleNotFoundError as error:
        raise missing_server(error) from error
    from hermes_stream.video.rtsp.server import RtspServer

    with ExitStack() as stack:
        camera = stack.enter_context(RtspServer())
        # nothing is shown before somebody looks: the story begins at the stream's second 0
        address = camera.add(f"/{_NAME}", recording.path, waits=True)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hermes-live-")))
        settings = ServiceSettings(**asdict(memory))
        service = stack.enter_context(Service(model, folder, settings=settings))
        allowed = ServerSettings(
            port=0,
            allow_sources=(f"rtsp://127.0.0.1:{camera.port}/*",),
            private_networks=("127.0.0.1/32",),
        )
        url = stack.enter_context(Server(service, allowed).listening())
        client = stack.enter_context(Client(url))
        client.open_stream(_NAME, address, fps=model.card.default_fps)
        yield client


def _wait_for(client: Client, seconds: float) -> None:
    """Wait until the stream has shown a moment."""
    newest, since = -1.0, time.monotonic()
    while newest < seconds - _CLOCK_SECONDS:
        stream = client.stream(_NAME)
        now = stream.newest_pts_seconds
        if now is not None and now > newest:
            newest, since = now, time.monotonic()
        elif stream.state in ("ended", "failed") or time.monotonic() > since + _PATIENCE_SECONDS:
            raise ServiceError(
                f"the camera showed nothing new after {newest:g} s; state {stream.state}, {stream.reason}"
            )
        time.sleep(_POLL_SECONDS)


def _ask(client: Client, question: Question) -> Answered:
    answer = client.ask(_NAME, question.text, max_new_tokens=_ANSWER_TOKENS, num_moments=0)
    return Answered(question=question, text=answer.text, ttft_seconds=answer.ttft_with_pending_seconds)


def _standing_question(recording: Recording) -> str:
    """Return what is asked by itself: about the first thing that enters after the questions began."""
    begin = recording.questions[0].asked_seconds
    later = [one for one in recording.world.appearances if one.enters_seconds > begin]
    thing = (later or list(recording.world.appearances))[0].thing
    return f"was there a {thing}?"


def _tell(one: Answered, alerts: Sequence[EventValue]) -> None:
    """Say a question with its answer, and the alerts that came since the one before."""
    question = one.question
    for alert in alerts:
        say(f"{alert.pts_seconds:>5.0f} s  !  alert: {alert.payload['question']}  yes")
    truth = "" if one.is_right else f"   (it was {question.answer})"
    say(f"{question.asked_seconds:>5} s  {mark(is_right=one.is_right)}  {question.text}  {one.text}{truth}")


def _document(recording: Recording, answers: list[Answered], stream: StreamValue) -> dict[str, Any]:
    from hermes_stream.synthetic.recording import accuracies

    return {
        "seed": recording.world.seed,
        "duration_seconds": recording.world.duration_seconds,
        **accuracies(answers),
        "num_questions": len(answers),
        "num_frames": stream.num_frames,
        "num_dropped": stream.num_dropped_frames,
        "num_gaps": stream.num_gaps,
        "ttft_seconds": round(median(one.ttft_seconds for one in answers), 6),
        "answers": [one.text for one in answers],
    }
