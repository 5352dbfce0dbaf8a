"""Chat completions as OpenAI's clients ask for them, and what of it is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hermes_stream.server.errors import RefusedError

_MAX_URL_CHARACTERS = 64 * 1024 * 1024  # pictures come within; the size of the body is bounded before

_EXAMPLE: dict[str, Any] = {
    "model": "tiny",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "video_url", "video_url": {"url": "stream://door"}},
                {"type": "text", "text": "What is at the door?"},
            ],
        }
    ],
}


class Url(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """Where a picture or video lies."""

    url: Annotated[str, Field(min_length=1, max_length=_MAX_URL_CHARACTERS)]
    """`stream://NAME`, `data:...;base64,...`, the id of an uploaded file, or an address that is allowed."""


class File(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """A file that was uploaded, or is sent along."""

    file_id: Annotated[str, Field(max_length=80)] | None = None
    content: Annotated[str, Field(max_length=_MAX_URL_CHARACTERS)] | None = Field(None, alias="file_data")


class TextPart(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """Text."""

    type: Literal["text"]
    text: str


class ImagePart(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """A picture."""

    type: Literal["image_url"]
    image_url: Url


class VideoPart(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """A video, or a stream."""

    type: Literal["video_url"]
    video_url: Url


class FilePart(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """A file."""

    type: Literal["file"]
    file: File


Part = Annotated[TextPart | ImagePart | VideoPart | FilePart, Field(discriminator="type")]


class Message(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(max_length=2000)] | None = None

    @property
    def text(self) -> str:
        """All text of the turn."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def media(self) -> list[ImagePart | VideoPart | FilePart]:
        """Pictures and videos of the turn, in order."""
        parts = self.content if isinstance(self.content, list) else []
        return [part for part in parts if not isinstance(part, TextPart)]


class StreamOptions(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """Of an answer that is sent as it is made."""

    include_usage: bool = False
    """Send a last chunk with the number of tokens."""


class HermesOptions(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """What OpenAI has no word for."""

    options: Annotated[list[str], Field(min_length=2, max_length=26)] | None = None
    """Choices, one of which is the answer."""
    num_moments: Annotated[int, Field(ge=0, le=100)] = 3
    """Moments of evidence, at most."""
    clarify_below: Annotated[float, Field(ge=0, le=1)] | None = None
    """Reply with a question back where the confidence is below; the text then comes whole."""
    allow_unseen: bool = False
    """Offer "not seen" beside all other answers."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Pictures sampled per second of a video that is sent."""
    policy: Annotated[str, Field(max_length=500)] | None = None
    """What is kept of a video that is sent."""
    budget_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """Visual tokens that are kept of a video that is sent."""


class ChatRequest(
    BaseModel,
    extra="allow",
    use_attribute_docstrings=True,
    allow_inf_nan=False,
    json_schema_extra={"examples": [_EXAMPLE]},
):
    """A chat completion. Without `temperature`, the likeliest tokens are taken."""

    model: Annotated[str, Field(max_length=300)]
    """As `/v1/models` names it."""
    messages: Annotated[list[Message], Field(min_length=1, max_length=500)]
    """The last is the user's question; earlier turns are put before it as text."""
    stream: bool | None = False
    """Send the answer as it is made."""
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Tokens of the answer, at most."""
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """The same, in its newer word."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """0 takes the likeliest token; above, tokens are sampled."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from the smallest set of tokens with this share of probability."""
    repetition_penalty: Annotated[float, Field(ge=1, le=100)] | None = None
    """Above 1, tokens of the answer so far are less likely."""
    stop: (
        Annotated[str, Field(min_length=1, max_length=200)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=16)]
        | None
    ) = None
    """Texts that end the answer."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    """Of the sampling."""
    logprobs: bool | None = False
    """Tell how likely each token was."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """And so many of the likeliest beside it."""
    n: int | None = 1
    """Answers: one."""
    hermes: HermesOptions = HermesOptions()
    """What OpenAI has no word for."""

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """Texts that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def media(self) -> list[ImagePart | VideoPart | FilePart]:
        """Pictures and videos of all turns, in order."""
        return [part for message in self.messages for part in message.media]

    @property
    def question(self) -> str:
        """What is asked, with what was said before.

        Raises:
            RefusedError: the last turn is not the user's, or says nothing.
        """
        last = self.messages[-1]
        if last.role != "user" or not last.text.strip():
            raise RefusedError(
                400,
                "the last message asks nothing; end with a message of role 'user' that has text",
                code="no_question",
                param="messages",
            )
        rules = [one.text for one in self.messages[:-1] if one.role in ("system", "developer") and one.text]
        turns = [one for one in self.messages[:-1] if one.role in ("user", "assistant") and one.text]
        if not turns:
            return "\n\n".join([*rules, last.text])
        names = {"user": "User", "assistant": "Assistant"}
        talk = [f"{names[one.role]}: {one.text}" for one in (*turns, last)]
        return "\n\n".join([*rules, "\n".join(talk)])


# What is taken and does nothing here, and what is taken in one value alone.
_IGNORED = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
_ONE_VALUE: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0, 0.0),
    "presence_penalty": (None, 0, 0.0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "parallel_tool_calls": (None, True, False),
    "functions": (None, []),
    "function_call": (None, "none"),
    "audio": (None,),
    "prediction": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None,),
    "web_search_options": (None,),
}


def check_parameters(request: ChatRequest) -> None:
    """Check that nothing is asked for that would not be done.

    Raises:
        RefusedError: a parameter is not supported, or unknown.
    """
    if request.n not in (None, 1):
        raise _unsupported("n", request.n, "one answer is given: n must be 1; ask again with another seed")
    for name, value in (request.model_extra or {}).items():
        if name in _IGNORED or (name in _ONE_VALUE and value in _ONE_VALUE[name]):
            continue
        if name in _ONE_VALUE:
            raise _unsupported(name, value, f"{name} is not supported; leave it out")
        raise _unsupported(name, value, f"there is no parameter {name!r}; see /docs for those that there are")
    if request.top_logprobs is not None and not request.logprobs:
        raise _unsupported("top_logprobs", request.top_logprobs, "top_logprobs goes with logprobs: true")


def _unsupported(name: str, value: Any, message: str) -> RefusedError:
    shown = repr(value)
    return RefusedError(
        400,
        f"{message} (got {shown[:80]}{'...' if len(shown) > 80 else ''})",
        code="unsupported_parameter",
        param=name,
    )
