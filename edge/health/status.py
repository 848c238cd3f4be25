"""The node's heartbeat, state and meta messages, and when each is published.

Time is an argument. The state is published when it changes, the heartbeat at its interval, meta on each (re)connect.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.alarm.annunciator import Annunciator
from edge.alarm.entry import NE107_ORDER, Ne107
from edge.health.ledger import Health
from edge.publish.journal import JournalStats
from edge.publish.publisher import Publisher
from edge.system.internal_errors import InternalErrors
from edge.units import NS_PER_MS
from edge.verdict.channel import ChannelSpec
from edge.wire.command import without_paths
from edge.wire.envelope import ConnectionStats
from edge.wire.heartbeat import Heartbeat, JournalFigures
from edge.wire.message import timestamp
from edge.wire.messages import PUBLISHED, ChannelInfo, Meta, ModelInfo, ProfileInfo, State, schema_name

STATE_INTERVAL_NS = 250 * NS_PER_MS  # how often it is looked at; it is published only when it changed
MAX_REFUSED = 10  # of what is refused, in the reasons of the state
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def offline_state(session: str, version: str, reasons: tuple[str, ...]) -> State:
    """The state of a daemon that is offline: the last will, and the last message of a clean stop."""
    return State(online=False, ts=None, session=session, ne107="F", reasons=reasons, version=version)


@dataclass(frozen=True, slots=True)
class ProfilesNow:
    """Which profile holds, which there are, and what the plant asks for that is none of them (empty: nothing)."""

    active: str | None
    known: tuple[ProfileInfo, ...]
    unknown: Callable[[], str]


NO_PROFILES = ProfilesNow(None, (), lambda: "")


class Reporter:
    """Publishes the condition of the node.

    Args:
        session: id of this run.
        version: of this program.
        model: the running bundle; None: there is no camera.
        channels: every flag channel, for meta.
        annunciator: the active alarms.
        health: the ledger.
        publisher: where it is published.
        heartbeat_ns: interval of the heartbeat.
        start_ns: monotonic ns when the daemon began.
        link: counters of the publishing connection.
        journal: counters of the journal.
        realtime: scheduling of the inference thread, for people.
        refused: what the broker rejects of us now; None: not known yet.
        connections: whether our connections are stable at a monotonic ns, as a letter and reasons.
        collected: what became of collected pictures, by outcome.
        profiles: what holds now.
        errors: exceptions that are faults of this program.
    """

    def __init__(
        self,
        *,
        session: str,
        version: str,
        model: ModelInfo | None,
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
        connections: Callable[[int], tuple[Ne107, tuple[str, ...]]] = lambda _now_ns: ("G", ()),
        collected: Callable[[], dict[str, int]] = dict,
        profiles: ProfilesNow = NO_PROFILES,
        errors: InternalErrors | None = None,
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
        self._connections = connections
        self._collected = collected
        self._profiles = profiles
        self._errors = errors or InternalErrors()
        self._next_heartbeat_ns = start_ns + heartbeat_ns
        self._next_state_ns = start_ns
        self._published: State | None = None

    def publish_state(self, now_ns: int, now_wall_ns: int) -> None:
        """Publish the state, if it is due and changed."""
        if now_ns >= self._next_state_ns:
            self._next_state_ns = now_ns + STATE_INTERVAL_NS
            self._state(now_ns, now_wall_ns)

    def publish_heartbeat(self, now_ns: int, now_wall_ns: int) -> None:
        """Publish the heartbeat, if it is due."""
        if now_ns >= self._next_heartbeat_ns:
            self._next_heartbeat_ns = now_ns + self._heartbeat_ns
            self._publisher.heartbeat(self.heartbeat(now_ns, now_wall_ns))

    def announce(self, now_ns: int, now_wall_ns: int) -> None:
        """Publish everything that is retained or pending, whether or not it changed: the broker may have lost it."""
        self._published = None
        self._state(now_ns, now_wall_ns)
        self._publisher.meta(self._meta(now_wall_ns))
        self._publisher.resume(self._annunciator.conditions(now_wall_ns), now_ns)

    def publish_failure(self, now_wall_ns: int) -> None:
        """Publish that the node failed, when its state cannot be made: an old good one must not stay."""
        self._publish_changed(
            State(
                online=True,
                ts=timestamp(now_wall_ns),
                session=self._session,
                ne107="F",
                reasons=self._failing(),
                version=self._version,
                model=self._model,
            )
        )

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
            journal=_figures(self._journal()),
            profile=self._profiles.active,
            rejected=self._health.strays(),
            explanations=self._health.explanations(),
            collected=self._collected(),
            internal_errors=self._errors.counts(),
            published=link.published,
            acknowledged=link.acknowledged,
            unpublished=dict(link.dropped),
            rss_mib=round(rss_mib(), 1),
            realtime=self._realtime,
        )

    def _state(self, now_ns: int, now_wall_ns: int) -> None:
        letter, reasons = self._annunciator.ne107()
        linked, why = self._connections(now_ns)
        if letter != "G":
            reasons += tuple(f"refused: {what}" for what in (self._refused() or ())[:MAX_REFUSED])
        letter, reasons = max(letter, linked, key=NE107_ORDER.index), (*reasons, *map(without_paths, why))
        unknown, failing = self._profiles.unknown(), self._failing()
        if unknown:
            doubt = f"the plant makes {unknown[:60]!a}, which no profile is called; {self._profiles.active} holds on"
            letter, reasons = max(letter, "S", key=NE107_ORDER.index), (*reasons, doubt)
        if failing:
            letter, reasons = "F", (*reasons, *failing)
        state = State(
            online=True,
            ts=timestamp(now_wall_ns),
            session=self._session,
            ne107=letter,
            reasons=reasons,
            version=self._version,
            model=self._model,
            profile=self._profiles.active,
            alarms=self._annunciator.counts(),
        )
        self._publish_changed(state)

    def _failing(self) -> tuple[str, ...]:
        return tuple(f"internal error: {place}" for place in self._errors.failing())

    def _publish_changed(self, state: State) -> None:
        if self._published is None or state != self._published.model_copy(update={"ts": state.ts}):
            self._published = state
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
                    region=channel.region.id or None,
                    vision=channel.fault.id if channel.fault else None,
                    rules=channel.rules,
                    combine=channel.fusion.combine.value,
                    armed=channel.armed,
                    held=channel.held,
                    threshold=channel.fault.threshold if channel.fault else None,
                    release=channel.fault.release if channel.fault else None,
                )
                for channel in self._channels
            ),
            alarms=self._annunciator.infos(),
            profile=self._profiles.active,
            profiles=self._profiles.known,
            heartbeat_s=self._heartbeat_ns / 1e9,
        )


def _figures(stats: JournalStats) -> JournalFigures:
    """The journal's counters; where its folder lies is in the log."""
    return JournalFigures.model_validate(asdict(stats) | {"reason": without_paths(stats.reason)})


def rss_mib() -> float:
    """Resident memory of this process, MiB; 0 when the kernel does not report it, as when no file can be opened."""
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(statm.split()[1]) * _PAGE_BYTES / 2**20
