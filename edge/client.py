"""A terminal's view of one node: its alarms, its figures, and commands that are answered.

A short-lived connection that speaks the public topics only, so everything here can be done from SCADA as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from edge.command import Verb
from edge.envelope import Incoming, Subscription
from edge.errors import BrokerError, ConfigError, EdgeError
from edge.messages import Command, timestamp
from edge.mqtt import Connection
from edge.sections import BrokerSettings
from edge.topics import ALARM, COMMAND, EXPLAIN, HEARTBEAT, META, REPLY, SNAPSHOT, STATE

CONNECT_S = 10.0
RETAINED_S = 3.0  # for the broker to hand over what it keeps
ANSWER_S = 10.0
RELOAD_S = 180.0  # a large bundle is read and proven beside the frames of the running one
HEARTBEAT_S = 35.0  # at least; a node that says so has longer intervals
EXPLANATION_S = 60.0  # it is made in time left over; the daemon's own patience is 20 s unless its site says otherwise
_log = logging.getLogger(__name__)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Client:
    """Connected to a node's topics inside a ``with`` block.

    Args:
        broker: where and how.
        prefix: ``{root}/{node}``.

    Raises:
        BrokerError: entering: the broker cannot be reached, or refuses.
    """

    def __init__(self, broker: BrokerSettings, prefix: str) -> None:
        self._prefix = prefix
        self._changed = threading.Condition()
        self._up = False
        self._alarms: dict[str, dict[str, Any]] = {}
        self._newest: dict[str, dict[str, Any]] = {}  # by first part of the topic
        self._replies: dict[str, dict[str, Any]] = {}
        self._explanations: dict[str, dict[str, Any]] = {}  # those that were made since we listen
        self._pictures: dict[str, bytes] = {}  # by SHA-256
        many = [*(topic.at(prefix, "+") for topic in (ALARM, EXPLAIN, REPLY)), SNAPSHOT.at(prefix, "+")]
        topics = (*many, STATE.at(prefix), META.at(prefix), HEARTBEAT.at(prefix))
        self._connection = Connection(
            broker,
            client_id=f"edge-client-{secrets.token_hex(4)}",
            subscriptions=[Subscription(topic, 1) for topic in topics],
            on_message=self._heard,
            on_up=self._connected,
        )

    def __enter__(self) -> Self:
        self._connection.start()
        if not self._wait(lambda: self._up, CONNECT_S):
            reason = self._connection.stats().refused
            self._connection.stop()
            raise BrokerError(f"{reason}; check --config, or --broker and --node")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.stop()

    def state(self) -> Mapping[str, Any]:
        """The node's state.

        Raises:
            EdgeError: nobody ever said one there.
        """
        if not self._wait(lambda: "state" in self._newest, RETAINED_S):
            raise EdgeError(
                f"nothing is known at {self._prefix}: check --node and --root; has this daemon ever run here?"
            )
        return self._newest["state"]

    def alarms(self) -> list[dict[str, Any]]:
        """Every alarm's condition that the broker keeps: what needs somebody first, then by severity."""
        self.state()
        self._wait(self._complete, RETAINED_S)
        listed = self._listed()
        with self._changed:
            found = [alarm for name, alarm in self._alarms.items() if not listed or name in listed]
        return sorted(found, key=lambda alarm: (alarm["acked"], not alarm["active"], -alarm["severity"], alarm["id"]))

    def heartbeat(self) -> dict[str, Any]:
        """The next heartbeat, as often as the node says that it has one.

        Raises:
            EdgeError: the node is offline, or none came.
        """
        self._online()
        self._wait(lambda: "meta" in self._newest, RETAINED_S)
        interval_s = self._newest.get("meta", {}).get("heartbeat_s") or 0.0
        patience_s = max(HEARTBEAT_S, 1.5 * interval_s + 5.0)
        if interval_s > HEARTBEAT_S:
            _log.warning("waiting for the next heartbeat, at most %.0f s: publish.heartbeat_s is long", interval_s)
        if not self._wait(lambda: "heartbeat" in self._newest, patience_s):
            raise EdgeError(
                f"no heartbeat in {patience_s:.0f} s: the daemon hangs, its broker is elsewhere, or we may not read that topic"
            )
        return self._newest["heartbeat"]

    def command(
        self,
        verb: Verb,
        *,
        user: str,
        comment: str = "",
        alarm_id: str | None = None,
        occurrence_id: str | None = None,
        duration_s: float | None = None,
        one_shot: bool = False,
        camera: str | None = None,
        bundle: str | None = None,
    ) -> dict[str, Any]:
        """Send one request and wait for its answer; acknowledging without an occurrence means the one that the broker shows now.

        Raises:
            EdgeError: the node is offline, does not answer, or we may not ask.
        """
        self._online()
        if verb is Verb.ACK and occurrence_id is None:
            occurrence_id = self._occurrence(alarm_id)
        fields: dict[str, object] = {
            "user": user,
            "comment": comment,
            "alarm_id": alarm_id,
            "occurrence_id": occurrence_id,
        }
        fields |= {"duration_s": duration_s, "one_shot": one_shot, "camera": camera, "bundle": bundle}
        stamp = {"request_id": uuid.uuid4().hex, "issued_at": timestamp(time.time_ns())}
        try:
            request = Command.model_validate(stamp | fields)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        self._connection.publish(COMMAND.outgoing(self._prefix, request, verb.value))
        patience_s = RELOAD_S if verb is Verb.RELOAD else ANSWER_S
        if not self._wait(lambda: request.request_id in self._replies or self._refused(), patience_s):
            raise EdgeError(f"no answer in {patience_s:.0f} s; the request may still be carried out: look at `alarms`")
        if request.request_id not in self._replies:
            raise EdgeError(
                "the broker's access rules do not let us send commands: use an account that may (--username)"
            )
        return self._replies[request.request_id]

    def explanation(self, alarm_id: str) -> Mapping[str, Any]:
        """The sentence about an alarm that was asked for.

        Raises:
            EdgeError: none came.
        """
        if not self._wait(lambda: alarm_id in self._explanations, EXPLANATION_S):
            raise EdgeError(
                f"no explanation in {EXPLANATION_S:.0f} s: the frames leave no time for it, see the heartbeat"
            )
        return self._explanations[alarm_id]

    def picture(self, snapshot: Mapping[str, Any]) -> bytes:
        """The picture that a reply speaks of.

        Raises:
            EdgeError: it did not come.
        """
        if not self._wait(lambda: snapshot["sha256"] in self._pictures, ANSWER_S):
            raise EdgeError(f"the picture did not come on {snapshot['topic']}: may we read that topic?")
        return self._pictures[snapshot["sha256"]]

    def _online(self) -> None:
        state = self.state()
        if not state["online"]:
            raise EdgeError(f"the daemon is offline ({', '.join(state['reasons'])}); nobody would answer")

    def _occurrence(self, alarm_id: str | None) -> str:
        for alarm in self.alarms():
            if alarm["id"] == alarm_id and alarm["occurrence_id"] is not None:
                occurrence_id: str = alarm["occurrence_id"]
                return occurrence_id
        raise EdgeError(f"no occurrence of alarm {alarm_id!r} is known; `alarms` lists them")

    def _refused(self) -> bool:
        return bool(self._connection.stats().dropped.get("refused"))

    def _listed(self) -> set[str]:
        """The alarms that the node has now; the broker may keep conditions of some that it no longer has."""
        return {alarm["id"] for alarm in self._newest.get("meta", {}).get("alarms", ())}

    def _complete(self) -> bool:
        listed = self._listed()
        return bool(listed) and listed <= set(self._alarms)

    def _wait(self, condition: Callable[[], object], timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                if time.monotonic() >= end:
                    return False
                self._changed.wait(0.1)
        return True

    def _connected(self) -> None:
        with self._changed:
            self._up = True
            self._changed.notify_all()

    def _heard(self, incoming: Incoming) -> None:
        kind, _, name = incoming.topic.removeprefix(f"{self._prefix}/").partition("/")
        picture = kind == "snapshot"
        document = {} if picture or not incoming.payload else json.loads(incoming.payload)
        with self._changed:
            if picture:
                self._pictures[hashlib.sha256(incoming.payload).hexdigest()] = incoming.payload
            elif not incoming.payload:  # clears what was retained: the node no longer has it
                self._alarms.pop(name, None)
            elif kind == "alarm":
                self._alarms[name] = document
            elif kind == "explain":
                if not incoming.retained:
                    self._explanations[name] = document
            elif kind == "res":
                self._replies[document["request_id"]] = document
            else:
                self._newest[kind] = document
            self._changed.notify_all()


def parse_duration_s(text: str) -> float:
    """Seconds in a duration such as ``30m``, ``8h`` or ``90s``.

    Raises:
        ConfigError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f"{text!r} is no duration; say for example 30m, 8h or 90s")
    return float(match[1]) * _UNITS[match[2]]


def alarm_lines(state: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]]) -> list[str]:
    """The node's state and its alarms as lines for a terminal."""
    said = "online" if state["online"] else "OFFLINE"
    reasons = f": {'; '.join(state['reasons'])}" if state["reasons"] else ""
    lines = [f"{said}, NE 107 {state['ne107']}{reasons}"]
    rows = [("ALARM", "STATE", "SEVERITY", "QUALITY", "SINCE", "MESSAGE")]
    for alarm in alarms:
        since = alarm["time"]["active"] or "-"
        marks = [word for word, on in (("chattering", alarm["chattering"]), ("first out", alarm["first_out"])) if on]
        message = alarm["message"] + (f" ({', '.join(marks)})" if marks else "")
        severity = f"{alarm['severity']} {alarm['priority']}"
        rows.append((alarm["id"], alarm["state"], severity, alarm["quality"], since, message))
    return lines + _columns(rows)


def stats_lines(heartbeat: Mapping[str, Any]) -> list[str]:
    """How well the alarm system does, and the journal, as lines for a terminal."""
    figures, journal = heartbeat["alarms"], heartbeat["journal"]
    top = ", ".join(f"{name} {count}" for name, count in figures["top"]) or "-"
    rows = [
        ("measure", "now", "goal (ISA-18.2, EEMUA 191)"),
        ("annunciated in 10 minutes", str(figures["annunciated_10_min"]), "about 1"),
        ("average per 10 minutes", f"{figures['average_10_min']:.2f}", "about 1"),
        ("peak in 10 minutes", str(figures["peak_10_min"]), "at most 10"),
        ("annunciated in 24 h", str(figures["annunciated_day"]), "about 144"),
        ("flood now / total", f"{'yes' if figures['flood'] else 'no'} / {figures['flood_s']:.0f} s", "no / under 1 %"),
        ("by priority", _pairs(figures["by_priority"]), "mostly low"),
        ("most frequent", f"{top} ({figures['top_share']:.0%} of all)", "ten at most 5 %"),
        ("chattering", ", ".join(figures["chattering"]) or "-", "none"),
        ("standing over 24 h", ", ".join(figures["standing"]) or "-", "none"),
        ("hidden", ", ".join(figures["hidden"]) or "-", "known and few"),
        ("observed", f"{figures['observed_s'] / 3600:.1f} h", ""),
        ("journal: held / waiting / lost", f"{journal['held']} / {journal['waiting']} / {journal['lost']}", "lost 0"),
        ("journal: storage", f"{journal['storage']} {journal['reason']}".strip(), "ok"),
    ]
    return _columns(rows)


def outcome_line(verb: Verb, reply: Mapping[str, Any]) -> str:
    """What came of a command, for a person."""
    if (picture := reply["snapshot"]) is not None:
        about = f", occurrence {picture['occurrence_id']}" if picture["occurrence_id"] else ""
        return f"snapshot: frame {picture['frame_seq']} of {picture['camera']}, received {picture['received']}, {picture['size_bytes']} bytes{about}"
    if reply["ok"]:
        told = f": {reply['detail']}" if verb is Verb.RELOAD else ""
        return f"{verb.value}: done" + (f", now {reply['state']}" if reply["state"] else told)
    return f"{verb.value}: refused, {reply['code']}: {reply['detail']}"


def _pairs(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
