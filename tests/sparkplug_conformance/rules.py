"""What a rule of the suite is: an assertion id, a check over the recording, and one way to spoil the recording so that the check must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sparkplug_conformance.recording import Message, Recording, middle

Check = Callable[[Recording], None]
Spoil = Callable[[Recording], Recording]


@dataclass(frozen=True)
class Rule:
    """One assertion: ``words`` is what it asks, in our own; ``check`` raises AssertionError where the recording breaks it."""

    words: str
    check: Check
    spoil: Spoil


RULES: dict[str, Rule] = {}


def holds(*ids: str, spoil: Spoil, words: str = "") -> Callable[[Check], Check]:
    """Make a function the check of these ids; its docstring says what they ask, unless ``words`` does."""

    def register(check: Check) -> Check:
        for name in ids:
            assert name not in RULES, f"{name} has two checks"
            RULES[name] = Rule(words or (check.__doc__ or "").strip().rstrip("."), check, spoil)
        return check

    return register


# --- ways to spoil


def one(*kinds: str) -> Callable[[Recording], Message]:
    """Some message of these types; ``WILL`` is the will of a session."""

    def pick(recording: Recording) -> Message:
        if kinds == ("WILL",):
            return middle(session.will for session in recording.born if session.will is not None)
        return middle(recording.said(*kinds))

    return pick


def of(node: str, kind: str, place: int = 0) -> Callable[[Recording], Message]:
    """The first message of a type that a node said, or the one at a place."""

    def pick(recording: Recording) -> Message:
        said = [message for session in recording.born if session.node.node == node for message in session.said(kind)]
        return said[place]

    return pick


def with_payload(pick: Callable[[Recording], Message], change: Callable[[Any], None]) -> Spoil:
    """Some message says something else."""
    return lambda recording: recording.rewritten(pick(recording), change)


def with_raw(pick: Callable[[Recording], Message], change: Callable[[bytes], bytes]) -> Spoil:
    """Some message has other bytes."""

    def spoil(recording: Recording) -> Recording:
        message = pick(recording)
        return recording.resent(message, payload=change(message.raw))

    return spoil


def with_token(pick: Callable[[Recording], Message], place: int, text: str) -> Spoil:
    """Some message has another word at one level of its topic."""

    def spoil(recording: Recording) -> Recording:
        message = pick(recording)
        tokens = list(message.tokens)
        tokens[place] = text
        return recording.resent(message, topic="/".join(tokens))

    return spoil


def with_mqtt(pick: Callable[[Recording], Message], **fields: Any) -> Spoil:
    """Some message has another QoS, retain flag or topic."""
    return lambda recording: recording.resent(pick(recording), **fields)


def without(pick: Callable[[Recording], Message]) -> Spoil:
    """Some message is missing."""
    return lambda recording: recording.exchanged(pick(recording).packet)


def clear(*fields: str) -> Callable[[Any], None]:
    """A payload loses fields."""

    def change(payload: Any) -> None:
        for name in fields:
            payload.ClearField(name)

    return change


def put(**fields: Any) -> Callable[[Any], None]:
    """A payload gets other values."""

    def change(payload: Any) -> None:
        for name, value in fields.items():
            setattr(payload, name, value)

    return change


def first_metric(change: Callable[[Any], None], name: str | None = None) -> Callable[[Any], None]:
    """Something happens to a payload's first metric, or to the one of this name."""

    def inner(payload: Any) -> None:
        change(next(item for item in payload.metrics if name in (None, item.name)))

    return inner
