"""Turns a message on a command topic into one checked request, or the reply that rejects it.

Pure but for its memory of request ids: time is an argument. What a verb does to an alarm is the alarm's business.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.errors import RejectedInput
from edge.wire.envelope import Incoming
from edge.wire.message import timestamp
from edge.wire.requests import Code, Command, Reply
from edge.wire.tolerance import read_command, request_id_of
from edge.wire.verbs import VERBS, Verb

MAX_AGE_S = 30.0  # an operator's click that arrives later than this is no longer what he meant
MAX_AHEAD_S = 30.0  # clocks differ
LONGEST_QUEUE_S = 3_630.0  # a broker keeps a command for an hour at most: an older one was stamped by another clock
MAX_REMEMBERED = 1_000
MAX_TOPIC_BYTES = 512
MAX_TOPIC_LEVELS = 100  # Mosquitto drops the connection of a client that publishes on more than 200
MAX_DURATION_S = 1e9  # about 32 years: past it numbers overflow, and no use is known


_PATH = re.compile(r"(?<![\w.:/~-])(?:file://)?/(?:[^\s/:;,'\"()\[\]]+/)+([^\s/:;,'\"()\[\]]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A command that passed all checks, and where its answer goes; no topic: to the node's own."""

    verb: Verb
    command: Command
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that is not carried out, with the reply that gives the reason.

    Args:
        verb: the last part of the command's topic; of an unknown one, as it was sent.
        reply: the answer.
        command: what was asked; None: it could not be read.
        reason: under which it is counted as a bad message; None: it was a good one.
        response_topic: where the answer goes; None: to the node's own.
        correlation: comes back with the answer.
    """

    verb: str
    reply: Reply
    command: Command | None = None
    reason: str | None = None
    response_topic: str | None = None
    correlation: bytes | None = None


class CommandDesk:
    """Checks commands and remembers the replies to the newest request ids, so that a repeated request is answered, not executed.

    Args:
        refused: verbs that this site does not allow.
    """

    def __init__(self, refused: Collection[str] = ()) -> None:
        self.refused = refused
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        #: When a command was last refused whose time no queue explains: its clock or this device's is wrong; monotonic ns. None: a later one was right.
        self.clocks_differ_ns: int | None = None

    def check(self, incoming: Incoming, now_wall_ns: int) -> Request | Refused:
        """Turn a message into a request, or into the reply that refuses it; the verb is the last part of its topic.

        Raises:
            RejectedInput: ``retained_command``: a copy that the broker kept is a replay of the past, and not answered.
        """
        verb = incoming.topic.rpartition("/")[2]
        if incoming.retained:
            raise RejectedInput("retained_command", f"cmd/{verb} was retained; commands must not be")
        if verb not in set(Verb):
            problem = RejectedInput("unknown_verb", f"no verb {verb[:60]!a}; there are {', '.join(Verb)}")
            return unreadable(incoming, problem)
        try:
            command = read_command(incoming.payload)
        except RejectedInput as error:
            return unreadable(incoming, error)
        request = Request(Verb(verb), command, incoming.response_topic, incoming.correlation)
        known = self._replies.get(command.request_id)
        if known is not None:
            again = known.model_copy(update={"code": "duplicate", "detail": f"already answered: {known.code}"})
            return _refused(request, again)
        refusal = self._too_old(command, now_wall_ns, incoming.received_ns) or self._refusal(request.verb, command)
        if refusal is not None:
            return _refused(request, self.answered(refuse(command, *refusal)))
        return request

    def answered(self, reply: Reply) -> Reply:
        """Remember a reply under its request id."""
        if reply.request_id is not None:
            self._replies[reply.request_id] = reply
            if len(self._replies) > MAX_REMEMBERED:
                self._replies.popitem(last=False)
        return reply

    def _too_old(self, command: Command, now_wall_ns: int, now_ns: int) -> tuple[Code, str] | None:
        """Whether a command's time is not that of an operator's click just now; notes when two clocks must differ."""
        issued_ns = _wall_ns(command.issued_at)
        if issued_ns is None:
            return (
                "bad_request",
                f"issued_at {command.issued_at!r} is not RFC 3339 with an offset, e.g. 2026-11-23T22:00:00.000Z",
            )
        age_s = (now_wall_ns - issued_ns) / 1e9
        if -MAX_AHEAD_S <= age_s <= MAX_AGE_S:
            self.clocks_differ_ns = None
            return None
        if not -MAX_AHEAD_S <= age_s <= LONGEST_QUEUE_S:
            self.clocks_differ_ns = now_ns
        issued = f"issued {age_s:.1f} s ago" if age_s >= 0 else f"issued {-age_s:.1f} s in the future"
        return (
            "expired",
            f"{issued} by this device's clock, which shows {timestamp(now_wall_ns)}; at most {MAX_AGE_S:.0f} s are allowed",
        )

    def _refusal(self, verb: Verb, command: Command) -> tuple[Code, str] | None:
        if VERBS[verb].about != "node" and command.alarm_id is None:
            return "bad_request", f"{verb} needs alarm_id"
        if command.duration_s is not None and command.duration_s > MAX_DURATION_S:
            return (
                "bad_request",
                f"duration_s {command.duration_s:g} is too long; at most {MAX_DURATION_S:g} is allowed",
            )
        if command.valid is not None and verb is not Verb.ACK:
            return "bad_request", f"valid says what an acknowledged alarm was: send it with ack, not with {verb}"
        if verb in self.refused:
            return "not_allowed", f"this site refuses {verb} (commands.refused in its site file)"
        return None


def unreadable(incoming: Incoming, problem: RejectedInput) -> Refused:
    """The answer to a message on a command topic that cannot be carried out, with the request id that it names."""
    return Refused(
        verb=incoming.topic.rpartition("/")[2],
        reply=Reply(
            request_id=request_id_of(incoming.payload), ok=False, code="bad_request", detail=problem.detail[:300]
        ),
        reason=problem.reason,
        response_topic=incoming.response_topic,
        correlation=incoming.correlation,
    )


def _refused(request: Request, reply: Reply) -> Refused:
    return Refused(
        request.verb.value,
        reply,
        command=request.command,
        response_topic=request.response_topic,
        correlation=request.correlation,
    )


def usable_response_topic(topic: str, prefix: str) -> bool:
    """Whether a reply may go to the topic that a request names: a real topic, and none on which this node publishes something else, or Sparkplug does.

    Our account may write there, so a reply could pass for an alarm's condition or a node's death; and one on a topic that brokers take for broken would
    cost us the connection.
    """
    own = topic.startswith(f"{prefix}/") and not topic.startswith(f"{prefix}/res/")
    others = _is_of_another_node(topic, prefix)
    odd = any(letter in "+#" or unicodedata.category(letter) in {"Cc", "Cs"} for letter in topic)
    reserved = topic.startswith(("$", "spBv1.0/"))
    if own or others or odd or reserved or topic.count("/") >= MAX_TOPIC_LEVELS:
        return False
    return 0 < len(topic.encode()) <= MAX_TOPIC_BYTES


def _is_of_another_node(topic: str, prefix: str) -> bool:
    """Whether it is a command of a node anywhere, or any topic but the answers of another node of our root: a reply could pass for its alarm or frame."""
    if topic.split("/")[-2:-1] == ["cmd"]:
        return True
    root = prefix.rpartition("/")[0]
    if topic.startswith(f"{prefix}/") or not topic.startswith(f"{root}/"):
        return False
    return topic[len(root) + 1 :].split("/")[1:2] != ["res"]


def without_paths(text: str) -> str:
    """A text for a broker's readers: of an absolute path only its last part stays, since folders of this device are private."""
    return _PATH.sub(lambda found: found[1], text)


def accept(command: Command, detail: str = "") -> Reply:
    """The reply that a command was carried out."""
    return Reply(request_id=command.request_id, ok=True, code="ok", detail=detail)


def refuse_unknown_alarm(command: Command) -> Reply:
    """The reply to a command about an alarm that is not there."""
    return refuse(command, "unknown_alarm", f"no alarm {command.alarm_id!r}; meta lists them")


def refuse(command: Command, code: Code, detail: str) -> Reply:
    """The reply that refuses a command."""
    return Reply(request_id=command.request_id, ok=False, code=code, detail=detail)


def _wall_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else round(moment.astimezone(UTC).timestamp() * 1e9)
    except (ValueError, OverflowError):  # the year 1 east of Greenwich is the year 0 in UTC, which there is not
        return None
