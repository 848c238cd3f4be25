"""A terminal's view of one node: its alarms, its figures, and commands with their replies.

A short-lived connection that uses the public topics only, so everything here can be done from SCADA as well.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from edge.broker.connection import Connection
from edge.errors import BrokerError, ConfigError, EdgeError
from edge.parsing.structure import Bounds, json_within
from edge.parsing.toml_file import words
from edge.site.sections import BrokerSettings
from edge.wire.envelope import Incoming, Subscription
from edge.wire.message import timestamp
from edge.wire.requests import Command
from edge.wire.topics import ALARM, COMMAND, EXPLAIN, HEARTBEAT, META, REPLY, SNAPSHOT, STATE
from edge.wire.verbs import Verb

CONNECT_S = 10.0
RETAINED_S = 3.0  # for the broker to send what it retains
ANSWER_S = 10.0
INSPECT_S = 70.0  # a site may let a trigger wait for a minute
RELOAD_S = 180.0  # a large bundle is read and proven beside the frames of the running one
HEARTBEAT_S = 35.0  # at least; a node may announce a longer interval
EXPLANATION_S = 60.0  # it is made in time left over; the daemon's own patience is 20 s unless its site says otherwise
_log = logging.getLogger(__name__)
BOUNDS = Bounds(size_bytes=2_000_000, values=30_000)  # `meta` describes each of a site's alarms


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
            client_id=f"edge-client-{secrets.token_hex(8)}",
            subscriptions=[Subscription(topic, 1) for topic in topics],
            on_message=self._received,
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
            EdgeError: none was ever published there.
        """
        if not self._wait(lambda: "state" in self._newest, RETAINED_S):
            raise EdgeError(
                f"nothing is known at {self._prefix}: check --node and --root; has this daemon ever run here, and may we read {STATE.at(self._prefix)}?"
            )
        return self._newest["state"]

    def alarms(self) -> list[dict[str, Any]]:
        """Every alarm's condition that the broker lets us read: what needs an operator first, then by severity. See `hidden`."""
        self.state()
        self._wait(lambda: not self._unread(), RETAINED_S)
        listed = self._listed()
        with self._changed:
            found = [alarm for name, alarm in self._alarms.items() if not listed or name in listed]
        return sorted(found, key=lambda alarm: (alarm["acked"], not alarm["active"], -alarm["severity"], alarm["id"]))

    def hidden(self) -> str | None:
        """What the node's state and meta list and we could not read, in words for people; None: we read it all."""
        self.state()
        self._wait(lambda: not self._unread(), RETAINED_S)
        return "; ".join(self._unread()) or None

    def heartbeat(self) -> dict[str, Any]:
        """The next heartbeat, waiting as long as the node's announced interval.

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
        weaker: Sequence[str] = (),
        valid: bool | None = None,
        part: str | None = None,
        profile: str | None = None,
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
        fields |= {
            "duration_s": duration_s,
            "one_shot": one_shot,
            "camera": camera,
            "bundle": bundle,
            "weaker": tuple(weaker),
            "valid": valid,
            "part": part,
            "profile": profile,
        }
        stamp = {"request_id": uuid.uuid4().hex, "issued_at": timestamp(time.time_ns())}
        try:
            request = Command.model_validate(stamp | fields)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {words(first)}") from error
        self._connection.publish(COMMAND.outgoing(self._prefix, request, verb.value))
        patience_s = {Verb.RELOAD: RELOAD_S, Verb.INSPECT: INSPECT_S}.get(verb, ANSWER_S)
        if not self._wait(lambda: request.request_id in self._replies or self._refused(), patience_s):
            raise EdgeError(
                f"no answer in {patience_s:.0f} s; the request may still be carried out: look at `alarms`. May this account read "
                f"{REPLY.at(self._prefix, verb.value)} and write {COMMAND.at(self._prefix, verb.value)}?"
            )
        if request.request_id not in self._replies:
            raise EdgeError(
                "the broker's access rules do not let us send commands: use an account that may (--cert-file and --key-file, or --username)"
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
        """The picture that a reply announces.

        Raises:
            EdgeError: it did not come.
        """
        if not self._wait(lambda: snapshot["sha256"] in self._pictures, ANSWER_S):
            raise EdgeError(f"the picture did not come on {snapshot['topic']}: may we read that topic?")
        return self._pictures[snapshot["sha256"]]

    def _online(self) -> None:
        state = self.state()
        if not state["online"]:
            raise EdgeError(f"the daemon is offline ({', '.join(state['reasons'])}); no answer would come")

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

    def _unread(self) -> list[str]:
        """What must be there and is not; a node that is offline may have stopped before it published it."""
        state = self._newest.get("state", {})
        if not state.get("online"):
            return sorted(f"{ALARM.at(self._prefix, name)} did not come" for name in self._listed() - set(self._alarms))
        if "meta" not in self._newest:
            return [f"{META.at(self._prefix)} did not come", *self._fewer(state)]
        missing = self._listed() - set(self._alarms)
        if missing == self._listed() and missing:
            return [f"{ALARM.at(self._prefix, '+')} did not come", *self._fewer(state)]
        return [*sorted(f"{ALARM.at(self._prefix, name)} did not come" for name in missing), *self._fewer(state)]

    def _fewer(self, state: Mapping[str, Any]) -> list[str]:
        """Whether the state counts more active alarms than we see."""
        counted = (state.get("alarms") or {}).get("active", 0)
        seen = sum(alarm["active"] and not _is_hidden(alarm) for alarm in list(self._alarms.values()))
        return [f"the state counts {counted} active alarms, {seen} can be read"] if counted > seen else []

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

    def _received(self, incoming: Incoming) -> None:
        kind, _, name = incoming.topic.removeprefix(f"{self._prefix}/").partition("/")
        picture = kind == "snapshot"
        document = {} if picture or not incoming.payload else json_within(incoming.payload, BOUNDS)
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


def _is_hidden(alarm: Mapping[str, Any]) -> bool:
    """Shelved, suppressed or out of service: the state does not count it as active."""
    return bool(alarm["shelving"] != "Unshelved" or alarm["suppressed"] or alarm["out_of_service"])
