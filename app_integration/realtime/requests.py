"""What a client may ask for, field by field, with its limits. Pure: a request is one of these models or a refusal.

Strict: a number is no text, and a field that is not known is refused. Text is kept as it was written, HTML and all, and
is nowhere interpreted; only what PostgreSQL or JSON cannot carry is refused.
"""

from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError
from pydantic.alias_generators import to_camel

from app_integration.realtime.names import ROOM, USER
from app_integration.realtime.refusal import Refusal

LONGEST_TEXT = 4_000
"""Characters of a chat message."""

LONGEST_SDP = 30_000
"""Characters of a session description; a video call's with simulcast has about 10,000."""

LONGEST_CANDIDATE = 1_000
PAGE = 50
LARGEST_PAGE = 200
LARGEST_NUMBER = 2**53 - 1
"""JavaScript counts no further (ECMA-262, Number.MAX_SAFE_INTEGER)."""


def _sound(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character NUL cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character cannot be stored") from None
    return text


Room = Annotated[str, Field(pattern=rf"\A{ROOM.pattern}\z"), AfterValidator(_sound)]
User = Annotated[str, Field(pattern=rf"\A{USER.pattern}\z"), AfterValidator(_sound)]
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_sound)]
ClientId = Annotated[str, Field(pattern=r"\A[A-Za-z0-9_-]{1,64}\z")]
Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
CallId = Annotated[UUID, Strict(strict=False)]
Sdp = Annotated[str, Field(max_length=LONGEST_SDP), AfterValidator(_sound)]


class Request(BaseModel):
    """Something that a client asks for."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, frozen=True)


class Join(Request):
    """Enter a room; with `after`, the numbers of what the client has had already."""

    room: Room
    after: Number | None = None
    feed_after: Number | None = None


class InRoom(Request):
    """Leave a room, type in it, or ask who is there."""

    room: Room


class Say(Request):
    """Write to a room's chat."""

    room: Room
    text: Text
    client_id: ClientId | None = None


class History(Request):
    """Read what was before, or after, a number."""

    room: Room
    stream: Literal["chat", "feed"] = "chat"
    before: Number | None = None
    after: Number | None = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = PAGE


class Offer(Request):
    """An `RTCSessionDescriptionInit` (WebRTC 1.0, section 4.7.1) of type offer."""

    type: Literal["offer"]
    sdp: Sdp


class Answered(Request):
    """An `RTCSessionDescriptionInit` of type answer."""

    type: Literal["answer"]
    sdp: Sdp


class IceCandidate(Request):
    """An `RTCIceCandidateInit` (WebRTC 1.0, section 4.8.1)."""

    candidate: Annotated[str, Field(max_length=LONGEST_CANDIDATE), AfterValidator(_sound)]
    sdp_mid: Annotated[str, Field(max_length=64), AfterValidator(_sound)] | None = None
    sdp_m_line_index: Annotated[int, Field(ge=0, le=65_535)] | None = Field(None, alias="sdpMLineIndex")
    username_fragment: Annotated[str, Field(max_length=256), AfterValidator(_sound)] | None = None


class Invite(Request):
    """Call somebody."""

    to: User
    media: Literal["voice", "video"]
    offer: Offer


class Answer(Request):
    """Take a call that rings."""

    call_id: CallId
    answer: Answered


class Candidate(Request):
    """Pass a candidate to the other side of a call."""

    call_id: CallId
    candidate: IceCandidate


class HangUp(Request):
    """End a call: hang up, take back, or decline."""

    call_id: CallId


Asked = TypeVar("Asked", bound=Request)


def parse(model: type[Asked], arguments: tuple[Any, ...]) -> Asked:
    """Check what a client sent with an event.

    Raises:
        Refusal: it is not what it should be; `field` names what, and `limit` how long it may be.
    """
    if len(arguments) != 1:
        raise Refusal("invalid", f"the event came with {len(arguments)} arguments; allowed is one object")
    try:
        return model.model_validate(arguments[0], by_alias=True, by_name=False)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])[:100] or "the argument"
    if first["type"] == "string_too_long":
        limit = first["ctx"]["max_length"]
        return Refusal("too_large", f"{name} is longer than {limit} characters", field=name, limit=limit)
    return Refusal("invalid", f"{name}: {first['msg']}", field=name)
