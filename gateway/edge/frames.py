"""Every frame of the stream, as a Struct told apart by `type`; the JSON Schemas of the edge are made of these."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from schemas import VenueName

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(min_length=1, max_length=10_000)]
Mode = Literal["events", "state"]


class Subscribe(Struct, frozen=True, kw_only=True, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """Ask for events, or for the newest of each lane; fields are joined by AND, the values of one by OR."""

    id: Annotated[Name, Meta(description="The reader's name for it; its frames carry it.")]
    mode: Annotated[Mode, Meta(description="Every event in order, or the newest of each lane.")]
    venues: Annotated[Annotated[tuple[VenueName, ...], Meta(min_length=1)] | None, Meta(description="Only these.")] = (
        None
    )
    accounts: Annotated[Names | None, Meta(description="Only these; none: all that the token opens.")] = None
    lanes: Annotated[Names | None, Meta(description="Only these.")] = None
    issuers: Annotated[Names | None, Meta(description="Only what these asked for.")] = None
    resume: Annotated[
        str | None,
        Meta(description="A position to go on from, without a snapshot; `beginning` is that of the oldest event."),
    ] = None
    max_delay_ms: Annotated[
        Annotated[int, Meta(ge=0, le=60_000)] | None,
        Meta(description="How long frames may gather; in mode `state` fewer frames come of it."),
    ] = None


class Unsubscribe(Struct, frozen=True, kw_only=True, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True):
    """End a subscription."""

    id: Name


class CommandFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="command", forbid_unknown_fields=True):
    """Hand a command in."""

    ref: Annotated[Name, Meta(description="The sender's name for it; its result and its event carry it.")]
    command: Annotated[Raw, Meta(description="A SetLeverage.")]


ClientFrame = Subscribe | Unsubscribe | CommandFrame


class Limits(Struct, frozen=True, kw_only=True):
    """What a stream is bound by."""

    max_frame_bytes: int
    max_subscriptions: int
    max_rate_per_token: int
    max_unread_bytes: int
    max_unread_seconds: float


class Hello(Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """The first frame."""

    limits: Limits
    heartbeat_seconds: float


class Snapshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """Lanes as they were at one position; `more` says that another page comes."""

    id: str
    lanes: Annotated[list[Raw], Meta(description="Each a LeverageChanged, as the state topic has it.")]
    more: bool


class Live(Struct, frozen=True, kw_only=True, tag_field="type", tag="live"):
    """All before the position has been told; `resumed`: it goes on from where the reader said, nothing missed."""

    id: str
    position: str
    resumed: bool


class EventFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="event"):
    """One event; `ref` where the reader sent its command, no `id` where no subscription asks for it."""

    id: str | UnsetType = UNSET
    ref: str | UnsetType = UNSET
    event: Annotated[Raw, Meta(description="A LeverageChanged or LeverageRejected, as the events topic has it.")]
    position: str | UnsetType = UNSET


class StateFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="state"):
    """A lane's newest change."""

    id: str
    event: Annotated[Raw, Meta(description="A LeverageChanged, as the events topic has it.")]
    position: str | UnsetType = UNSET


class Heartbeat(Struct, frozen=True, kw_only=True, tag_field="type", tag="heartbeat"):
    """The stream is there; what its subscriptions asked for has been told up to the position.

    `position` is null while a snapshot is on its way: there is none yet to go on from. One comes where nothing else was
    told for `heartbeat_seconds`, at once when the instance falls behind the topic or has come up to it again, and
    before the pong of every ping: whoever pings knows how old what it has is at most. So while none says otherwise, an
    event that comes is told by an instance that is no more than a second behind.
    """

    position: str | None
    lag_ms: Annotated[int, Meta(description="How far this instance may be behind the topic.")]


class Problem(Struct, frozen=True, kw_only=True):
    """Why something was refused."""

    code: str
    message: str


class Result(Struct, frozen=True, kw_only=True, tag_field="type", tag="result"):
    """What became of handing a command in."""

    ref: str
    accepted: Annotated[str | UnsetType, Meta(description="The id of the command, which Kafka has.")] = UNSET
    error: Problem | UnsetType = UNSET


class ErrorFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """A frame that was refused; `id` is its subscription's, where it is one's."""

    id: str | UnsetType = UNSET
    code: str
    message: str


class Notice(Struct, frozen=True, kw_only=True, tag_field="type", tag="notice"):
    """This instance goes away: connect anew within that time, and resume."""

    reason: str
    reconnect_within_seconds: float


ServerFrame = Hello | Snapshot | Live | EventFrame | StateFrame | Heartbeat | Result | ErrorFrame | Notice
