"""What requests and responses hold: the words of the API, from which its document is made."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from fastapi import Path
from pydantic import BaseModel, Field, model_validator

from hermes_stream.service.names import STREAM_NAME
from hermes_stream.service.settings import StreamSettings

T = TypeVar("T")

NAME_PATTERN = f"^{STREAM_NAME}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, examples=["door"])]
StreamName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="The stream's name.", examples=["door"], alias="name")
]
Seconds = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
EventId = Annotated[int, Field(ge=0, le=2**63 - 1)]


class ErrorContent(BaseModel, extra="allow", use_attribute_docstrings=True):
    """What went wrong."""

    type: str
    """Kind of error, for programs."""
    message: str
    """What failed, the value got, what is accepted, what to do."""
    code: str | None
    """The case within its kind."""
    param: str | None
    """Field of the request that is at fault."""
    accepted: Any = None
    """What the field takes, where that can be said."""
    retry_after_seconds: float | None = None
    """When to try again."""


class ErrorBody(BaseModel):
    """The one shape of every error, as OpenAI's clients read it."""

    error: ErrorContent


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "Not as described."},
    401: {"model": ErrorBody, "description": "No key, or one that is worth nothing."},
    403: {"model": ErrorBody, "description": "The key, the page or the source may not."},
    404: {"model": ErrorBody, "description": "There is no such thing."},
    408: {"model": ErrorBody, "description": "The body came too slowly."},
    409: {
        "model": ErrorBody,
        "description": "Not as things stand: no video yet, no room, or a name that is taken.",
    },
    413: {"model": ErrorBody, "description": "Too large."},
    422: {"model": ErrorBody, "description": "A field is not as described."},
    429: {"model": ErrorBody, "description": "Too much at once; `Retry-After` says when to try again."},
    503: {"model": ErrorBody, "description": "The service is closing, or its record fails."},
}


class Listing(BaseModel, Generic[T]):
    """A list, as OpenAI's clients read it."""

    object: Literal["list"] = "list"
    items: Annotated[list[T], Field(serialization_alias="data")]


class SourceSettings(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """How a source is read. Places are shares of the picture's width and height, from the left and top."""

    pace: Literal["own", "fast"] | None = None
    """Of a file: as it was recorded, or as quickly as it is read."""
    transport: Literal["tcp", "udp"] | None = None
    """Of RTSP."""
    key_frames_only: bool | None = None
    """Decode key frames alone; by default where they come often enough."""
    crop: tuple[float, float, float, float] | None = None
    """The part that is seen: left, top, width, height."""
    rotation: Literal[0, 90, 180, 270] | None = None
    """Degrees to turn the picture clockwise."""
    privacy_mask: Annotated[
        list[Annotated[list[tuple[float, float]], Field(max_length=100)]], Field(max_length=32)
    ] = []
    """Polygons that are black before anything sees or stores a picture."""
    schedule: Annotated[str, Field(max_length=500)] | None = None
    """When the source is watched: `mon-fri 08:00-18:00; sat 22:00-06:00`."""
    time_zone: Annotated[str, Field(max_length=64)] | None = None
    """Of the schedule, such as `Europe/Berlin`."""
    verify_tls: bool | None = None
    """Check the certificates of rtsps, https and rtmps."""
    silent_seconds: Annotated[float, Field(ge=0.5, le=86400)] | None = None
    """How long a source may send nothing before it counts as dead."""


class OpenStream(
    StreamSettings,
    frozen=True,
    extra="forbid",
    use_attribute_docstrings=True,
    json_schema_extra={"examples": [{"name": "door", "policy": "hermes", "budget_tokens": 600, "fps": 1.0}]},
):
    """A stream to open."""

    name: Name
    """Its name, which is its id. The same name and source again are the same stream."""
    source: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """Address of the source, as `allow_sources` permits, or id of an uploaded file. Without one, frames are
    pushed."""
    replace_source: bool = False
    """Go on with the memory that the stream has of another source, which is refused otherwise."""
    source_options: SourceSettings | None = None
    """How the source is read."""
    from_snapshot: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    """Number of a snapshot whose memory a new stream begins with; needs `admin`."""


class ChangeStream(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """What is to change."""

    name: Name | None = None
    """A new name."""
    policy: Annotated[str, Field(max_length=500)] | None = None
    """What the memory keeps from now on."""
    budget_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """Visual tokens that each layer keeps from now on; with `policy`."""


class AskBody(
    BaseModel,
    extra="forbid",
    use_attribute_docstrings=True,
    allow_inf_nan=False,
    json_schema_extra={"examples": [{"question": "What is at the door?", "max_new_tokens": 64}]},
):
    """A question about what a stream has shown so far."""

    question: Annotated[str, Field(min_length=1)]
    """What is asked."""
    options: Annotated[list[str], Field(min_length=2, max_length=26)] | None = None
    """Choices, one of which is the answer."""
    max_new_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Tokens of the answer, at most."""
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    """0 takes the likeliest token; above, tokens are sampled."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the smallest set of tokens with this share of probability."""
    repetition_penalty: Annotated[float, Field(ge=1, le=100)] = 1.0
    """Above 1, tokens of the answer so far are less likely."""
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=16)] = []
    """Texts that end the answer."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Of the sampling."""
    remember: bool = False
    """Let question and answer steer what the memory keeps."""
    num_moments: Annotated[int, Field(ge=0, le=100)] = 3
    """Moments of evidence, at most; 0 computes none."""
    clarify_below: Annotated[float, Field(ge=0, le=1)] | None = None
    """Reply with a question back where the confidence is below; the text then comes whole."""
    allow_unseen: bool = False
    """Offer "not seen" beside all other answers; at most 25 options, then."""
    wait_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Seconds of the stream to wait for its evidence; `finish_reason` is `not_seen` where it did not come."""
    until: Annotated[str, Field(min_length=1)] | None = None
    """With `wait_seconds`: asked by yes or no whether the evidence is there. Else the model is asked that."""
    stream: bool = False
    """Send the answer as it is made, as server-sent events; so does `Accept: text/event-stream`."""

    @model_validator(mode="after")
    def _check_wait(self) -> Self:
        if self.until is not None and self.wait_seconds is None:
            raise ValueError("until says when a question that waits is asked; give wait_seconds, too")
        return self


class Evidence(BaseModel, use_attribute_docstrings=True):
    """A moment on which the answer's attention rested. It tells what was looked at, not what decided."""

    seconds: float
    """When, in seconds of the stream."""
    from_seconds: float
    """Where the attention begins."""
    until_seconds: float
    """Where it ends."""
    share: float
    """Part of the attention to the video."""
    picture_url: str | None
    """Address of a picture on this server."""


class AnswerBody(BaseModel, use_attribute_docstrings=True):
    """An answer."""

    id: str
    """Its id; the record names it `answer_id`."""
    stream: str
    """Name of the stream."""
    question: str
    """What was asked."""
    seen_until_seconds: float | None
    """Time of the newest frame that the answer knows, in seconds of the stream."""
    text: str
    """The answer."""
    option_index: int | None
    """Which option it is; none for an open question."""
    finish_reason: str
    """`stop`, `length`, or `abandoned`."""
    num_tokens: int
    """Tokens of the answer."""
    ttft_seconds: float
    """From the question to the first token, less what waiting frames took."""
    ttft_with_pending_seconds: float
    """From the question to the first token, waiting frames folded in."""
    tokens_per_second: float | None
    """Of the tokens after the first."""
    confidence: float | None
    """How sure the model is: mean probability of the tokens; of an option, how likely it is among all."""
    clarification: bool = False
    """Whether the text is a question back, because the model was less sure than `clarify_below`."""
    guess: str | None = None
    """The answer that was held back then."""
    unseen: bool = False
    """Whether the answer is "not seen", which `allow_unseen` offers."""
    unseen_score: float | None = None
    """How likely that is against the best other answer, where it was offered."""
    evidence: list[Evidence]
    """Moments, the largest share first."""


class FramesReceipt(BaseModel, use_attribute_docstrings=True):
    """What became of frames that were pushed."""

    newest_pts_seconds: float | None
    """Time of the newest frame that was taken, now or before."""
    newest_pts_us: int | None
    """The same in microseconds, as the binary messages give times."""
    num_accepted: int
    """Frames that wait or are in the memory."""
    num_skipped: int
    """Frames that were not due, because the stream samples fewer."""
    num_dropped: int
    """Frames that are lost, these or older ones, because too many waited."""


class Login(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """A key to sign in with."""

    key: Annotated[str, Field(min_length=1, max_length=200, examples=["hermes_..."])]
    """The key."""


class Who(BaseModel, use_attribute_docstrings=True):
    """Who is signed in."""

    needs_keys: bool
    """Whether this server asks for keys."""
    label: str | None
    """What the key is for."""
    key: int | None
    """Its number, which the streams that it opened name as `owner`."""
    scopes: list[str]
    """What its holder may do."""


class WebSocketToken(BaseModel):
    """A text that opens one WebSocket: `?token=...`."""

    token: str
    expires_in_seconds: float
