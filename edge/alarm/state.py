"""The alarm's inputs, memory and published state, as frozen records.

Times ending in ``_ns`` are monotonic, ``_wall_ns`` since the Unix epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from edge.alarm.table import ACKED, ACTIVE, LATCHED, Condition, Shelving, Trigger, priority, state_name
from edge.errors import ConfigError
from edge.frame import Quality, Verdict
from edge.units import NS_PER_S
from edge.wire.verbs import Verb


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """How one condition becomes an alarm.

    ``n`` of the last ``m`` known samples must be true for the condition to count as true. ``re_alarm_ns`` 0: never again. ``max_shelve_ns`` 0:
    may not be shelved; it bounds one-shot shelving too. ``chatter_count`` raises within ``chatter_window_ns`` are chattering;
    ``chatter_shelve_ns`` above 0 shelves a chattering alarm for so long. ``quality_hold_ns``: how long the data must be good before the
    quality returns from uncertain to good, so that a flickering quality does not flood the topic.

    Raises:
        ConfigError: numbers that contradict each other.
    """

    id: str
    severity: int = 500
    on_delay_ns: int = 0
    off_delay_ns: int = NS_PER_S
    n: int = 1
    m: int = 1
    latching: bool = False
    auto_ack: bool = False
    re_alarm_ns: int = 0
    max_shelve_ns: int = 8 * 3600 * NS_PER_S
    chatter_count: int = 3
    chatter_window_ns: int = 60 * NS_PER_S
    chatter_shelve_ns: int = 0
    quality_hold_ns: int = NS_PER_S
    clear: Trigger = field(init=False)

    def __post_init__(self) -> None:
        problems = {
            "severity must be in 1..1000": not 1 <= self.severity <= 1000,
            "delays and times must not be negative": min(
                self.on_delay_ns,
                self.off_delay_ns,
                self.re_alarm_ns,
                self.max_shelve_ns,
                self.chatter_shelve_ns,
                self.quality_hold_ns,
            )
            < 0,
            "n of m needs 1 <= n <= m <= 1000": not 1 <= self.n <= self.m <= 1000,
            "latching and auto_ack exclude each other": self.latching and self.auto_ack,
            "chattering needs at least 2 raises and a window": self.chatter_count < 2 or self.chatter_window_ns <= 0,
            "chatter shelving may not be longer than max_shelve": self.chatter_shelve_ns > self.max_shelve_ns,
        }
        wrong = [text for text, found in problems.items() if found]
        if wrong:
            raise ConfigError(f"alarm {self.id}: {'; '.join(wrong)}")
        kind = Trigger.CLEAR_LATCHING if self.latching else Trigger.CLEAR_AUTO_ACK if self.auto_ack else Trigger.CLEAR
        object.__setattr__(self, "clear", kind)


@dataclass(frozen=True, slots=True)
class Filter:
    """Progress towards the next raise or clear.

    ``window`` holds the last known samples, newest last. ``pending_ns``: for how long, of known time, the samples have asked for the change;
    None when they do not. ``known_ns``: when the newest sample came, None after missing data, which stops the clock and resets nothing.
    """

    window: tuple[bool, ...] = ()
    pending_ns: int | None = None
    pending_wall_ns: int | None = None
    known_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of the condition: its id, its times, and who acknowledged it."""

    id: str
    detected_wall_ns: int
    active_wall_ns: int
    cleared_wall_ns: int | None = None
    acked_wall_ns: int | None = None
    ack_user: str | None = None
    ack_comment: str | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """Why the alarm is hidden from the operator, if it is; three reasons, independent of each other."""

    shelving: Shelving = Shelving.UNSHELVED
    shelved_until_ns: int | None = None
    shelved_until_wall_ns: int | None = None
    suppressed: bool = False
    out_of_service: bool = False
    user: str | None = None  # of the newest change
    reason: str | None = None
    cause: str | None = None  # why the daemon itself suppressed it; None: it did not

    @property
    def hidden(self) -> bool:
        """Whether any of the three applies."""
        return self.out_of_service or self.suppressed or self.shelving is not Shelving.UNSHELVED


@dataclass(frozen=True, slots=True)
class AlarmState:
    """Everything an alarm remembers; nothing is known at first, hence quality bad."""

    condition: Condition = Condition.NORM
    quality: Quality = Quality.BAD
    better_since_ns: int | None = None
    value: float | None = None
    severity_override: int | None = None
    filter: Filter = Filter()
    occurrence: Occurrence | None = None
    availability: Availability = Availability()
    re_alarm_ns: int | None = None
    raises_ns: tuple[int, ...] = ()
    chattering: bool = False

    @property
    def name(self) -> str:
        """The derived state: OOS, SUPPRESSED, SHELVED, or the condition."""
        hiding = self.availability
        return state_name(
            self.condition, hiding.shelving, suppressed=hiding.suppressed, out_of_service=hiding.out_of_service
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of the condition now; unknown, stale or bad freezes it. Only a fresh one, confirmed by new data, counts for n of m."""

    verdict: Verdict
    quality: Quality = Quality.GOOD
    value: float | None = None
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class SetSeverity:
    """Another severity from now on, 1..1000; None returns to the configured one. A rise annunciates an active alarm again."""

    severity: int | None


@dataclass(frozen=True, slots=True)
class AlarmCommand:
    """One request. ``comment`` is the reason; shelving takes a duration or ``one_shot``; acknowledging names the occurrence it means."""

    verb: Verb
    user: str
    comment: str = ""
    occurrence_id: str | None = None
    duration_ns: int | None = None
    one_shot: bool = False
    cause: str | None = None  # suppression by the daemon itself: why


class Code(StrEnum):
    """How a command ended; the same words go on the wire."""

    OK = "ok"
    STALE_OCCURRENCE = "stale_occurrence"
    NOT_ALLOWED = "not_allowed"
    BAD_REQUEST = "bad_request"


@dataclass(frozen=True, slots=True)
class Transition:
    """One thing that happened to an alarm, for the journal; ``annunciate``: it is to be shown to the operator."""

    alarm_id: str
    trigger: str
    before: str
    after: str
    condition: Condition
    occurrence_id: str | None
    severity: int
    quality: Quality
    annunciate: bool
    now_ns: int
    wall_ns: int
    user: str | None = None
    comment: str | None = None

    @property
    def what(self) -> str:
        """The transition in words, for example ``NORM->UNACK_ALM``."""
        return f"{self.before}->{self.after}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a command: a code, a text for the user, the state afterwards, and what happened."""

    code: Code
    detail: str
    state: str
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The alarm's own part of an ``edge.alarm.machine/1`` message."""

    id: str
    occurrence_id: str | None
    state: str
    condition: Condition
    active: bool
    acked: bool
    latched: bool
    annunciated: bool
    shelving: Shelving
    suppressed: bool
    out_of_service: bool
    severity: int
    priority: str
    quality: Quality
    value: float | None
    detected_wall_ns: int | None
    active_wall_ns: int | None
    acked_wall_ns: int | None
    cleared_wall_ns: int | None
    shelved_until_wall_ns: int | None
    ack_user: str | None
    ack_comment: str | None
    chattering: bool
    cause: str | None

    @property
    def hidden(self) -> bool:
        """Whether it is shelved, suppressed or out of service."""
        return self.out_of_service or self.suppressed or self.shelving is not Shelving.UNSHELVED


def snapshot(spec: AlarmSpec, state: AlarmState) -> Snapshot:
    """What the alarm shows now; in NORM the times and the id are those of the last occurrence."""
    seen, hiding = state.occurrence, state.availability
    severity = state.severity_override or spec.severity
    return Snapshot(
        id=spec.id,
        occurrence_id=seen.id if seen else None,
        state=state.name,
        condition=state.condition,
        active=state.condition in ACTIVE,
        acked=state.condition in ACKED,
        latched=state.condition in LATCHED,
        annunciated=state.condition not in ACKED and not hiding.hidden,
        shelving=hiding.shelving,
        suppressed=hiding.suppressed,
        out_of_service=hiding.out_of_service,
        severity=severity,
        priority=priority(severity),
        quality=state.quality,
        value=state.value,
        detected_wall_ns=seen.detected_wall_ns if seen else None,
        active_wall_ns=seen.active_wall_ns if seen else None,
        acked_wall_ns=seen.acked_wall_ns if seen else None,
        cleared_wall_ns=seen.cleared_wall_ns if seen else None,
        shelved_until_wall_ns=hiding.shelved_until_wall_ns,
        ack_user=seen.ack_user if seen else None,
        ack_comment=seen.ack_comment if seen else None,
        chattering=state.chattering,
        cause=hiding.cause,
    )
