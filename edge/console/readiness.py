"""`check --connect`: whether broker, access rules, clock, disk and scheduling give the daemon what it needs here, as a table.

It connects as the daemon would, under a client id of its own, so a daemon that runs is not disturbed. To find out what the broker lets it publish, it
publishes one empty message, not retained, on each kind of topic; and it listens to what the daemon will listen to.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.broker.connection import Connection
from edge.broker.credentials import client_id
from edge.broker.refusal import Denied
from edge.console.view import columns
from edge.errors import ConfigError
from edge.site.packet_room import BESIDE_BYTES
from edge.site.settings import Site
from edge.system.clock import kernel_synchronised
from edge.system.realtime import Grant, make_realtime
from edge.units import NS_PER_MS
from edge.wire.envelope import ConnectionStats, Incoming, Outgoing, Subscription
from edge.wire.topics import COMMAND, OUT, PICTURES, STATE

CONNECT_S = 10.0
ANSWER_S = 5.0
PROBE_NAME = "check-connect"  # in the place of an alarm, flag or camera: no site has one of this name by chance
TRIAL_BYTES = 65_536
LEAST_FREE_MIB = 128  # the journal may take 64 MiB, its log and its reserve some more
SLOW_SYNC_MS = 500.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was looked at, how it is, and what was seen or is to be done."""

    what: str
    verdict: Literal["ok", "warning", "FAILED"]
    detail: str


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """The table for a terminal."""
    return columns([("WHAT", "VERDICT", "DETAIL"), *((one.what, one.verdict, one.detail) for one in findings)])


def readiness(site: Site) -> Iterator[Finding]:
    """Look at everything once.

    Raises:
        ConfigError: a secret or the state folder cannot be used.
    """
    yield from broker_findings(site)
    yield clock_finding(kernel_synchronised(), required=site.node.require_synchronised_clock)
    yield disk_finding(site.node.state_dir)
    yield realtime_finding(site.runtime.realtime_priority)


def broker_findings(site: Site) -> Iterator[Finding]:
    """Whether the broker takes us, and each of our topics."""
    prefix = site.prefix()
    up, arrived = threading.Event(), threading.Event()

    def received(incoming: Incoming) -> None:
        if incoming.topic == STATE.at(prefix):
            arrived.set()

    connection = Connection(
        site.broker,
        client_id=client_id(f"{site.node.id}-check", site.broker),
        subscriptions=[Subscription(topic, 1, no_retained=topic != STATE.at(prefix)) for topic in heard_topics(site)],
        on_message=received,
        on_up=up.set,
    )
    connection.start()
    try:
        if not up.wait(CONNECT_S):
            yield Finding(
                "broker", "FAILED", f"{connection.stats().refused or 'no answer'}: check [broker] and whether it runs"
            )
            return
        topics = said_topics(prefix)
        for topic in topics:
            connection.publish(Outgoing(topic, b"", 1))
        _await_answers(connection)
        arrived.wait(ANSWER_S)
        yield Finding("broker", "ok", f"{site.broker.host}:{site.broker.port}, MQTT {connection.stats().protocol}")
        yield packet_finding(site, connection.stats())
        yield from rights_findings(prefix, topics, connection.stats(), connection.denied(time.monotonic_ns()))
        yield from subscription_findings(
            site, connection.denied(time.monotonic_ns()), own_state_arrives=arrived.is_set()
        )
    finally:
        connection.stop(timeout_s=0.5)


def said_topics(prefix: str) -> list[str]:
    """One topic of each kind that the daemon publishes on."""
    return [topic.at(prefix, PROBE_NAME if "{" in topic.path else "") for topic in (*OUT, *PICTURES)]


def heard_topics(site: Site) -> list[str]:
    """Every topic that the daemon subscribes to."""
    return list(dict.fromkeys([COMMAND.at(site.prefix(), "+"), STATE.at(site.prefix()), *site.input_topics()]))


def rights_findings(prefix: str, topics: Sequence[str], stats: ConnectionStats, denied: Denied) -> Iterator[Finding]:
    """A row for each topic that we publish on."""
    for topic in topics:
        shown = topic.removeprefix(f"{prefix}/").replace(PROBE_NAME, "+")
        if topic in denied.topics:
            yield Finding(
                f"publish {shown}", "FAILED", f"refused: the broker's access rules must let us write {prefix}/{shown}"
            )
        elif stats.protocol != "5":
            yield Finding(
                f"publish {shown}", "warning", "not known: an MQTT 3.1.1 broker does not report what it rejects"
            )
        elif stats.pending:
            yield Finding(
                f"publish {shown}", "warning", f"not known: the broker did not answer all within {ANSWER_S:.0f} s"
            )
        else:
            yield Finding(f"publish {shown}", "ok", "taken")


def subscription_findings(site: Site, denied: Denied, *, own_state_arrives: bool) -> Iterator[Finding]:
    """A row for each topic that we subscribe to; only of our own state can we know that it arrives."""
    state = STATE.at(site.prefix())
    for topic in heard_topics(site):
        if topic in denied.subscriptions:
            yield Finding(f"subscribe {topic}", "FAILED", "refused: the broker's access rules must let us read it")
        elif topic == state and not own_state_arrives:
            yield Finding(
                f"subscribe {topic}",
                "FAILED",
                "nothing arrives: the broker grants the subscription and hides the topic",
            )
        elif topic == state:
            yield Finding(f"subscribe {topic}", "ok", "arrives")
        else:
            yield Finding(
                f"subscribe {topic}",
                "ok",
                "granted; Mosquitto 2.0 grants what it hides too, so see that frames are judged",
            )


def packet_finding(site: Site, stats: ConnectionStats) -> Finding:
    """Whether the largest pictures pass the broker, by the longest packet that it accepts; each sender has the same limit."""
    here, broker_bytes = f"we take packets of {site.broker.max_packet_bytes} bytes", stats.packet_bytes
    if broker_bytes is None:
        answer = (
            "the broker names no limit" if stats.protocol == "5" else "not known: MQTT 3.1.1 does not report a limit"
        )
        return Finding("packets", "ok" if stats.protocol == "5" else "warning", f"{here}; {answer}")
    over = [camera.id for camera in site.cameras if camera.max_bytes + BESIDE_BYTES > broker_bytes]
    if over:
        advice = (
            f"larger pictures of {', '.join(over)} end the camera's own connection: raise its limit, or lower max_bytes"
        )
        return Finding("packets", "warning", f"{here}, the broker {broker_bytes}: {advice}")
    return Finding("packets", "ok", f"{here}, the broker {broker_bytes}")


def clock_finding(synchronised: bool | None, *, required: bool) -> Finding:  # noqa: FBT001 - it is the reading itself
    """Whether stamps can be compared with those of other devices."""
    if synchronised:
        return Finding("clock", "ok", "synchronised")
    detail = "not synchronised" if synchronised is False else "the kernel does not report whether it is synchronised"
    return Finding("clock", "FAILED" if required else "warning", f"{detail}: see its time service (timedatectl)")


def disk_finding(state_dir: Path | None) -> Finding:
    """Whether there is room for the journal, and how long the disk takes to keep something.

    Raises:
        ConfigError: nothing can be written there.
    """
    if state_dir is None:
        return Finding("disk", "warning", "node.state_dir is not set: nothing survives a restart")
    took_ms = try_state_dir(state_dir)
    if took_ms is None:
        return Finding("disk", "ok", f"{state_dir} will be made by the daemon")
    free_mib = shutil.disk_usage(state_dir).free // 2**20
    detail = f"{state_dir}: {free_mib} MiB free, a write is safe after {took_ms:.1f} ms"
    if free_mib < LEAST_FREE_MIB:
        return Finding("disk", "FAILED", f"{detail}; at least {LEAST_FREE_MIB} MiB are needed")
    return Finding("disk", "warning" if took_ms > SLOW_SYNC_MS else "ok", detail)


def try_state_dir(state_dir: Path) -> float | None:
    """Write there and take it away again; returns how long it took, ms; None: the folder is not there yet, and can be made.

    Raises:
        ConfigError: nothing can be written or made there.
    """
    if not state_dir.exists():
        above = next(folder for folder in state_dir.absolute().parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise ConfigError(f"node.state_dir {state_dir} cannot be made: this user may not write in {above}")
        return None
    began_ns = time.monotonic_ns()
    try:
        with tempfile.TemporaryFile(dir=state_dir) as trial:
            trial.write(bytes(TRIAL_BYTES))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        raise ConfigError(
            f"node.state_dir {state_dir} cannot be written: {error.strerror}; make room, mount it writable, or give it to this user"
        ) from error
    return (time.monotonic_ns() - began_ns) / NS_PER_MS


def realtime_finding(priority: int) -> Finding:
    """What scheduling the inference thread would get; asked for on this very thread, so it is asked last."""
    if priority <= 0:
        return Finding(
            "real-time", "warning", "not wanted (runtime.realtime_priority = 0): a busy neighbour costs frames"
        )
    return grant_finding(make_realtime(priority=priority))


def grant_finding(grant: Grant) -> Finding:
    """What the system granted."""
    scheduling = f"{grant.policy} {grant.priority}"
    if grant.policy == "fifo":
        return Finding("real-time", "ok", scheduling)
    return Finding(
        "real-time", "warning", f"{scheduling}; give the service LimitRTPRIO, as deploy/edge-daemon.service does"
    )


def _await_answers(connection: Connection) -> None:
    """Wait until the broker answered everything, or does not."""
    end = time.monotonic() + ANSWER_S
    while connection.stats().pending and time.monotonic() < end:
        time.sleep(0.01)
