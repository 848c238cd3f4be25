"""A message on a command topic becomes one checked request, or the reply that refuses it.

Pure but for its memory of request ids: time is an argument. What a verb does to an alarm is the alarm's business.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import ValidationError

from edge.errors import RejectedInput
from edge.messages import Code, Command, Reply

MAX_PAYLOAD_BYTES = 16_384
MAX_AGE_S = 30.0  # an operator's click that arrives later than this is no longer what he meant
MAX_AHEAD_S = 30.0  # clocks differ
MAX_REMEMBERED = 1_000
MAX_TOPIC_BYTES = 512
MAX_TOPIC_LEVELS = 100  # Mosquitto drops the connection of whoever publishes on more than 200
MAX_DURATION_S = 1e9  # about 32 years: past it numbers overflow, and nobody means it


class Verb(StrEnum):
    """What SCADA may ask for; the last part of the command topic."""

    ACK = "ack"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"
    REBIRTH = "rebirth"
    REPLAY = "replay"
    EXPLAIN = "explain"
    SNAPSHOT = "snapshot"
    RELOAD = "reload"


NODE_VERBS = frozenset({Verb.REBIRTH, Verb.REPLAY, Verb.SNAPSHOT, Verb.RELOAD})  # these need no alarm_id


@dataclass(frozen=True, slots=True)
class Request:
    """A command that passed all checks."""

    verb: Verb
    command: Command


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that was not carried out, with the reply that says why."""

    verb: Verb
    command: Command
    reply: Reply


class CommandDesk:
    """Checks commands and remembers the replies to the newest request ids, so that a repeated request is answered, not executed.

    Args:
        refused: verbs that this site does not allow.
    """

    def __init__(self, refused: Collection[str] = ()) -> None:
        self.refused = refused
        self._replies: OrderedDict[str, Reply] = OrderedDict()

    def check(self, verb: str, payload: bytes, now_wall_ns: int, *, retained: bool) -> Request | Refused:
        """Turn a payload into a request, or into the reply that refuses it.

        Raises:
            RejectedInput: nothing can be answered: a retained message (a replay of the past), an unknown verb, or a payload without request id.
        """
        if retained:
            raise RejectedInput("retained_command", f"cmd/{verb} was retained; commands must not be")
        if verb not in set(Verb):
            raise RejectedInput("unknown_verb", f"cmd/{verb}")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise RejectedInput("oversize_command", f"cmd/{verb}: {len(payload)} bytes")
        try:
            command = Command.model_validate_json(payload, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            raise RejectedInput(
                "bad_command", f"cmd/{verb}: {'.'.join(map(str, first['loc'])) or 'payload'}: {first['msg']}"
            ) from error
        known = self._replies.get(command.request_id)
        if known is not None:
            again = known.model_copy(update={"code": "duplicate", "detail": f"already answered: {known.code}"})
            return Refused(Verb(verb), command, again)
        refusal = self._refusal(Verb(verb), command, now_wall_ns)
        if refusal is not None:
            return Refused(Verb(verb), command, self.answered(refuse(command, *refusal)))
        return Request(Verb(verb), command)

    def answered(self, reply: Reply) -> Reply:
        """Remember a reply under its request id."""
        if reply.request_id is not None:
            self._replies[reply.request_id] = reply
            if len(self._replies) > MAX_REMEMBERED:
                self._replies.popitem(last=False)
        return reply

    def _refusal(self, verb: Verb, command: Command, now_wall_ns: int) -> tuple[Code, str] | None:
        issued_ns = _wall_ns(command.issued_at)
        if issued_ns is None:
            return (
                "bad_request",
                f"issued_at {command.issued_at!r} is not RFC 3339 with an offset, e.g. 2026-11-23T22:00:00.000Z",
            )
        age_s = (now_wall_ns - issued_ns) / 1e9
        if not -MAX_AHEAD_S <= age_s <= MAX_AGE_S:
            return "expired", f"issued {age_s:.1f} s ago by this device's clock; at most {MAX_AGE_S:.0f} s are allowed"
        if verb not in NODE_VERBS and command.alarm_id is None:
            return "bad_request", f"{verb} needs alarm_id"
        if command.duration_s is not None and command.duration_s > MAX_DURATION_S:
            return (
                "bad_request",
                f"duration_s {command.duration_s:g} is too long; at most {MAX_DURATION_S:g} is allowed",
            )
        if verb.value in self.refused:
            return "not_allowed", f"this site refuses {verb} (commands.refused in its site file)"
        return None


def usable_response_topic(topic: str, prefix: str) -> bool:
    """Whether a reply may go to the topic that a request names: a real topic, and none on which something else of ours, or Sparkplug, is said.

    Our account may write there, so a reply could pass for an alarm's condition or a node's death; and one on a topic that brokers take for broken would
    cost us the connection.
    """
    ours = topic.startswith(f"{prefix}/") and not topic.startswith(f"{prefix}/res/")
    odd = any(letter in "+#" or unicodedata.category(letter) in {"Cc", "Cs"} for letter in topic)
    reserved = topic.startswith(("$", "spBv1.0/"))
    if ours or odd or reserved or topic.count("/") >= MAX_TOPIC_LEVELS:
        return False
    return 0 < len(topic.encode()) <= MAX_TOPIC_BYTES


def refuse(command: Command, code: Code, detail: str) -> Reply:
    """The reply that refuses a command."""
    return Reply(request_id=command.request_id, ok=False, code=code, detail=detail)


def _wall_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else round(moment.astimezone(UTC).timestamp() * 1e9)
    except (ValueError, OverflowError):  # the year 1 east of Greenwich is the year 0 in UTC, which there is not
        return None
