"""Heartbeat, state and meta: what the node says of itself, and when.

Time is an argument. The state is said when it changes, the heartbeat at its interval, meta on each (re)connect.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edge.annunciator import Annunciator
from edge.channel import ChannelSpec
from edge.envelope import ConnectionStats
from edge.health import Health
from edge.journal import JournalStats
from edge.messages import (
    PUBLISHED,
    ChannelInfo,
    Heartbeat,
    JournalFigures,
    Meta,
    ModelInfo,
    State,
    schema_name,
    timestamp,
)
from edge.publish import Publisher

STATE_INTERVAL_NS = 250_000_000  # how often it is looked at; it is said only when it changed
MAX_REFUSED = 10  # of what is refused, in the reasons of the state
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def offline_state(session: str, version: str, reasons: tuple[str, ...]) -> State:
    """The state that says that nobody watches: the last will, and the last word of a clean stop."""
    return State(online=False, ts=None, session=session, ne107="F", reasons=reasons, version=version)


class Reporter:
    """Says how the node is.

    Args:
        session: id of this run.
        version: of this program.
        model: the running bundle.
        channels: every flag channel, for meta.
        annunciator: the alarms that stand.
        health: the ledger.
        publisher: where it is said.
        heartbeat_ns: interval of the heartbeat.
        start_ns: monotonic ns when the daemon began.
        link: counters of the publishing connection.
        journal: counters of the journal.
        realtime: scheduling of the inference thread, for people.
        refused: what the broker refuses of us now; None: not known yet.
    """

    def __init__(
        self,
        *,
        session: str,
        version: str,
        model: ModelInfo,
        channels: Sequence[ChannelSpec],
        annunciator: Annunciator,
        health: Health,
        publisher: Publisher,
        heartbeat_ns: int,
        start_ns: int,
        link: Callable[[], ConnectionStats],
        journal: Callable[[], JournalStats],
        realtime: str,
        refused: Callable[[], Sequence[str] | None] = lambda: (),
    ) -> None:
        self._session = session
        self._version = version
        self._model = model
        self._channels = channels
        self._annunciator = annunciator
        self._health = health
        self._publisher = publisher
        self._heartbeat_ns = heartbeat_ns
        self._start_ns = start_ns
        self._link = link
        self._journal = journal
        self._realtime = realtime
        self._refused = refused
        self._next_heartbeat_ns = start_ns + heartbeat_ns
        self._next_state_ns = start_ns
        self._said: State | None = None

    def tick(self, now_ns: int, now_wall_ns: int) -> None:
        """Say what is due."""
        if now_ns >= self._next_state_ns:
            self._next_state_ns = now_ns + STATE_INTERVAL_NS
            self._state(now_wall_ns)
        if now_ns >= self._next_heartbeat_ns:
            self._next_heartbeat_ns = now_ns + self._heartbeat_ns
            self._publisher.heartbeat(self.heartbeat(now_ns, now_wall_ns))

    def announce(self, now_ns: int, now_wall_ns: int) -> None:
        """Say state and meta whether or not they changed: somebody may have forgotten them."""
        del now_ns
        self._said = None
        self._state(now_wall_ns)
        self._publisher.meta(self._meta(now_wall_ns))

    def heartbeat(self, now_ns: int, now_wall_ns: int) -> Heartbeat:
        """The ledger since the last heartbeat."""
        link = self._link()
        return Heartbeat(
            ts=timestamp(now_wall_ns),
            session=self._session,
            seq=self._publisher.next_heartbeat_seq(),
            uptime_s=round((now_ns - self._start_ns) / 1e9, 3),
            cameras=self._health.cameras(now_ns),
            sensors=self._health.sensors(now_ns),
            alarms=self._annunciator.figures(now_ns, now_wall_ns),
            journal=JournalFigures.model_validate(asdict(self._journal())),
            rejected=self._health.strays(),
            explanations=self._health.explanations(),
            published=link.published,
            acknowledged=link.acknowledged,
            unpublished=dict(link.dropped),
            rss_mib=round(rss_mib(), 1),
            realtime=self._realtime,
        )

    def _state(self, now_wall_ns: int) -> None:
        letter, reasons = self._annunciator.ne107()
        if letter != "G":
            reasons += tuple(f"refused: {what}" for what in (self._refused() or ())[:MAX_REFUSED])
        state = State(
            online=True,
            ts=timestamp(now_wall_ns),
            session=self._session,
            ne107=letter,
            reasons=reasons,
            version=self._version,
            model=self._model,
            alarms=self._annunciator.counts(),
        )
        if self._said is None or state != self._said.model_copy(update={"ts": state.ts}):
            self._said = state
            self._publisher.state(state)

    def _meta(self, now_wall_ns: int) -> Meta:
        return Meta(
            ts=timestamp(now_wall_ns),
            session=self._session,
            version=self._version,
            model=self._model,
            messages=tuple(schema_name(kind) for kind in PUBLISHED),
            channels=tuple(
                ChannelInfo(
                    id=channel.id,
                    title=channel.title,
                    camera=channel.camera,
                    vision=channel.fault.id if channel.fault else None,
                    rules=channel.rules,
                    combine=channel.fusion.combine.value,
                    armed=channel.armed,
                    threshold=channel.fault.threshold if channel.fault else None,
                    release=channel.fault.release if channel.fault else None,
                )
                for channel in self._channels
            ),
            alarms=self._annunciator.infos(),
            heartbeat_s=self._heartbeat_ns / 1e9,
        )


def rss_mib() -> float:
    """Resident memory of this process, MiB; 0 when the kernel does not say, as when no file can be opened."""
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(statm.split()[1]) * _PAGE_BYTES / 2**20
