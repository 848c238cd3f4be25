"""The life of a Sparkplug B edge node: births, data by exception, deaths, sequence numbers, rebirth, primary host, offline queue.

Pure: time is an argument, packets are values, and the owner of the connection calls. One instance belongs to one thread, so that numbers and
packets come in one order. Nothing here knows what the metrics mean.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge.errors import RejectedInput
from edge.parsing.structure import Bounds, json_within
from edge.sparkplug.codec import DataType, Metric, Order, Payload, Property, Value, decode, encode
from edge.wire.envelope import Outgoing, Subscription

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
GOOD, BAD, STALE = 192, 0, 500  # the three quality codes that the specification knows
MAX_HISTORY = 10_000  # changes kept for each scope while no host is there; the oldest are discarded and counted
MAX_BATCH = 250  # late changes in one message, one message a poll
MAX_PAYLOAD_BYTES = 268_000_000  # the limit of MQTT itself
CLOCK_STEP_MS = 1_000  # a clock that was set back so far is accepted
_HOST_STATE = Bounds(size_bytes=4_096, values=64)
HOST_WAIT_MS = 10_000  # with several servers: how long one may be without a STATE of the primary host


@dataclass(frozen=True, slots=True)
class Tag:
    """One metric that exists: its type, its value before anything is known, and properties that births carry."""

    name: str
    datatype: DataType
    initial: Value = None
    properties: Mapping[str, Property] = field(default_factory=dict)
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A metric's new value; ``device`` None is the node itself. ``say_quality`` is set here when the quality is news."""

    device: str | None
    name: str
    value: Value
    at_ms: int
    quality: int = GOOD
    say_quality: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """A device came or went."""

    device: str
    alive: bool


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """Who this edge node is, and every metric that it will ever publish."""

    group_id: str
    edge_node_id: str
    node: tuple[Tag, ...]
    devices: Mapping[str, tuple[Tag, ...]]
    primary_host: str | None = None
    servers: int = 1
    data_types: bool = False  # put them into data too, for hosts that need it
    # what was sent so shortly before a connection was found dead may not have been received
    unconfirmed_ms: int = 11_000


class Phase(StrEnum):
    """The node's phase with the server."""

    DOWN = "down"
    WAITING = "waiting"  # connected and subscribed; the primary host is not known to be there
    BORN = "born"


@dataclass(slots=True)
class _Cell:
    tag: Tag
    value: Value
    quality: int = GOOD
    at_ms: int | None = None


class EdgeNode:
    """One edge node with its devices; see the module."""

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        scopes: dict[str | None, tuple[Tag, ...]] = {None: spec.node}
        scopes.update(spec.devices.items())
        self._cells = {scope: {tag.name: _Cell(tag, tag.initial) for tag in tags} for scope, tags in scopes.items()}
        self._alive = dict.fromkeys(spec.devices, True)
        self._queue: deque[Change | Presence] = deque()
        self._history: dict[str | None, deque[Change]] = {scope: deque(maxlen=MAX_HISTORY) for scope in scopes}
        self._recent: deque[tuple[int, Change]] = deque(maxlen=MAX_HISTORY)
        self._bd_seq = 0
        self._seq = 0
        self._payload_bytes = MAX_PAYLOAD_BYTES
        self._rebirth = False
        self._departed: set[str] = set()  # devices that went since the last birth, and need a DDEATH
        self._known_alive: set[str] = set()  # devices that hosts know as born
        self._server = 0
        self._host_online = False
        self._host_stamp_ms: dict[int, int] = {}  # by server: a host has one clock for each of its connections
        self._waiting_since_ms = 0
        self.phase = Phase.DOWN
        self.leaving = False  # the session is to be ended by `farewell`, and the next server tried
        self.counts: Counter[str] = Counter()

    # --- the connection ----------------------------------------------------------------------------------------------------------------

    def subscriptions(self) -> list[Subscription]:
        """What must be subscribed before the births."""
        wanted = [
            Subscription(self._topic("NCMD"), 1, no_retained=True),
            Subscription(f"{self._topic('DCMD')}/+", 1, no_retained=True),
        ]
        if self._spec.primary_host is not None:
            wanted.append(Subscription(self._state_topic(), 1))
        return wanted

    def will(self, bd_seq: int) -> Outgoing:
        """The NDEATH of the session that a CONNECT with this number begins: no sequence number, one metric."""
        metric = Metric(BD_SEQ, DataType.INT64, bd_seq, None)
        return Outgoing(self._topic("NDEATH"), encode(Payload(None, (metric,), None)), qos=1)

    def connected(self, bd_seq: int, now_ms: int, server: int = 0, payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """The subscriptions are answered; from here on `poll` gives packets, data in pieces that this server takes."""
        self.phase, self._bd_seq, self._server, self._payload_bytes = Phase.WAITING, bd_seq, server, payload_bytes
        self._host_online, self._waiting_since_ms, self.leaving = False, now_ms, False

    def lost(self, now_ms: int) -> None:
        """The connection is gone: what may not have been received will be resent, as history."""
        if self.phase is Phase.DOWN:
            return
        self._forget_old(now_ms)
        for _, change in self._recent:
            self._keep(change)
        self._recent.clear()
        self._postpone_queue()
        self._departed = set()  # the NDEATH covers them
        self.phase, self.leaving = Phase.DOWN, False

    def farewell(self, now_ms: int) -> Outgoing:
        """The NDEATH to publish before a DISCONNECT; after it nothing more is published in this session."""
        self._recent.clear()  # an orderly end: everything before it was received
        self.lost(now_ms)
        return self.will(self._bd_seq)

    def redefine(self, node: tuple[Tag, ...], devices: Mapping[str, tuple[Tag, ...]]) -> None:
        """Other metrics and devices from now on: what stays keeps its value, a device that goes dies, and everything is born again."""
        self._postpone_queue()
        if self.phase is Phase.BORN:
            self._departed |= {device for device, alive in self._alive.items() if alive and device not in devices}
            self._rebirth = True
        self._spec = replace(self._spec, node=node, devices=devices)
        before = self._cells
        scopes: dict[str | None, tuple[Tag, ...]] = {None: node}
        scopes.update(devices.items())
        self._cells = {
            scope: {tag.name: _renewed(tag, before.get(scope, {}).get(tag.name)) for tag in tags}
            for scope, tags in scopes.items()
        }
        self._alive = {device: self._alive.get(device, True) for device in devices}
        waiting = [change for history in self._history.values() for change in history if self._known(change)]
        self._history = {scope: deque(maxlen=MAX_HISTORY) for scope in scopes}
        for change in waiting:
            self._history[change.device].append(change)
        kept = [(sent_ms, change) for sent_ms, change in self._recent if self._known(change)]
        self._recent = deque(kept, maxlen=MAX_HISTORY)

    def _known(self, change: Change) -> bool:
        return change.name in self._cells.get(change.device, {})

    # --- what happens --------------------------------------------------------------------------------------------------------------------

    def note(self, item: Change | Presence) -> None:
        """Take a new value or the coming or going of a device; what is no news is dropped."""
        if isinstance(item, Presence):
            if self._alive.get(item.device, item.alive) is not item.alive:
                self._alive[item.device] = item.alive
                if self.phase is Phase.BORN:
                    self._queue.append(item)
            return
        cell = self._cells.get(item.device, {}).get(item.name)
        if cell is None or (cell.value, cell.quality) == (item.value, item.quality):
            return
        at_ms = item.at_ms
        if cell.at_ms is not None and 0 <= cell.at_ms - at_ms < CLOCK_STEP_MS:
            at_ms = cell.at_ms + 1  # two values of one metric never have one time: hosts would keep either
        item = replace(item, at_ms=at_ms, say_quality=item.quality != GOOD or cell.quality != GOOD)
        cell.value, cell.quality, cell.at_ms = item.value, item.quality, at_ms
        if self.phase is Phase.BORN and (item.device is None or self._alive[item.device]):
            self._queue.append(item)
        else:
            self._keep(item)

    def received(self, topic: str, payload: bytes, *, retained: bool) -> tuple[str | None, Order] | None:
        """Take a message; returns a command with its device (None: the node), for the caller to execute."""
        if self._spec.primary_host is not None and topic == self._state_topic():
            self._take_host_state(payload)
            return None
        device: str | None = None
        if topic != self._topic("NCMD"):
            head, _, device = topic.rpartition("/")
            if head != self._topic("DCMD") or device not in self._spec.devices:
                return None
        if retained or self.phase is not Phase.BORN:
            self.counts["retained_command" if retained else "command_before_birth"] += 1
            return None
        try:
            order = decode(payload)
        except RejectedInput as error:
            self.counts[error.reason] += 1
            return None
        if device is None and any(metric.name == REBIRTH and metric.value is True for metric in order.metrics):
            self._rebirth = True
        return device, order

    # --- what is to be sent --------------------------------------------------------------------------------------------------------------

    def poll(self, now_ms: int) -> list[Outgoing]:
        """Every packet that is due, in order; they must be sent in this order and all of them, or the session ended."""
        if self.phase is Phase.WAITING:
            if self._spec.primary_host is None or self._host_online:
                self.phase = Phase.BORN
                return self._births(now_ms)
            if self._spec.servers > 1 and now_ms - self._waiting_since_ms > HOST_WAIT_MS:
                self.leaving = True
        if self.phase is not Phase.BORN or self.leaving:
            return []
        if self._rebirth:
            died = {item.device for item in self._queue if isinstance(item, Presence) and not self._alive[item.device]}
            gone = (died | self._departed) & self._known_alive  # a device that came and went unpublished has no death
            deaths = [self._packet("DDEATH", device, (), now_ms) for device in sorted(gone)]
            self._departed = set()
            self._postpone_queue()
            return deaths + self._births(now_ms)
        return self._live(now_ms) + self._late(now_ms)

    def waiting(self) -> int:
        """How many changes wait to be sent as history."""
        return sum(map(len, self._history.values()))

    def _births(self, now_ms: int) -> list[Outgoing]:
        self._rebirth = False
        self._seq = 255  # the NBIRTH's is the next: 0
        self._known_alive = {device for device, alive in self._alive.items() if alive}
        own = [
            Metric(BD_SEQ, DataType.INT64, self._bd_seq, now_ms),
            Metric(REBIRTH, DataType.BOOLEAN, False, now_ms),  # noqa: FBT003 - the metric's value
        ]
        packets = [self._packet("NBIRTH", None, [*self._born(None, now_ms), *own], now_ms)]
        for device, alive in self._alive.items():
            if alive:
                packets.append(self._packet("DBIRTH", device, self._born(device, now_ms), now_ms))
        return packets

    def _born(self, scope: str | None, now_ms: int) -> list[Metric]:
        """Every metric of a scope with its newest value, oldest first."""
        metrics = [
            Metric(
                name=cell.tag.name,
                datatype=cell.tag.datatype,
                value=cell.value,
                timestamp_ms=min(now_ms, cell.at_ms) if cell.at_ms is not None else now_ms,
                properties={**cell.tag.properties, **_quality(cell.quality, include=cell.quality != GOOD)},
            )
            for cell in self._cells[scope].values()
        ]
        return sorted(metrics, key=lambda metric: metric.timestamp_ms or 0)

    def _live(self, now_ms: int) -> list[Outgoing]:
        packets: list[Outgoing] = []
        batches: dict[str | None, list[Change]] = {}
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, Change):
                batches.setdefault(item.device, []).append(item)
                continue
            packets += self._data(item.device, batches.pop(item.device, ()), now_ms)
            (self._known_alive.add if item.alive else self._known_alive.discard)(item.device)
            if item.alive:
                self._postpone_queue(item.device)  # the birth has the newest already: resent it would be no news
                packets.append(self._packet("DBIRTH", item.device, self._born(item.device, now_ms), now_ms))
            else:
                packets.append(self._packet("DDEATH", item.device, (), now_ms))
        for scope, batch in batches.items():
            packets += self._data(scope, batch, now_ms)
        return packets

    def _late(self, now_ms: int) -> list[Outgoing]:
        packets: list[Outgoing] = []
        for scope, history in self._history.items():
            if scope is None or self._alive[scope]:
                batch = [history.popleft() for _ in range(min(MAX_BATCH, len(history)))]
                packets += self._data(scope, batch, now_ms, historical=True)
        return packets

    def _data(
        self, scope: str | None, batch: Iterable[Change], now_ms: int, *, historical: bool = False
    ) -> list[Outgoing]:
        changes = sorted(batch, key=lambda change: change.at_ms)
        if not changes:
            return []
        metrics = [
            Metric(
                name=change.name,
                datatype=self._cells[scope][change.name].tag.datatype,
                value=change.value,
                timestamp_ms=change.at_ms,
                historical=historical,
                with_datatype=self._spec.data_types,
                properties=_quality(change.quality, include=change.say_quality),
            )
            for change in changes
        ]
        packet = self._packet("NDATA" if scope is None else "DDATA", scope, metrics, now_ms)
        if len(packet.payload) > self._payload_bytes and len(changes) > 1:
            self._seq = (self._seq - 1) % 256  # this one is not sent
            halves = changes[: len(changes) // 2], changes[len(changes) // 2 :]
            return [part for half in halves for part in self._data(scope, half, now_ms, historical=historical)]
        self._forget_old(now_ms)
        self._recent.extend((now_ms, change) for change in changes)
        self.counts["historical"] += len(metrics) if historical else 0
        return [packet]

    def _packet(self, kind: str, device: str | None, metrics: Iterable[Metric], now_ms: int) -> Outgoing:
        self._seq = (self._seq + 1) % 256
        topic = self._topic(kind) if device is None else f"{self._topic(kind)}/{device}"
        return Outgoing(topic, encode(Payload(now_ms, tuple(metrics), self._seq)), qos=0)

    # --- what waits ----------------------------------------------------------------------------------------------------------------------

    def _keep(self, change: Change) -> None:
        history = self._history[change.device]
        self.counts["history_lost"] += len(history) == MAX_HISTORY
        history.append(change)

    def _postpone_queue(self, device: str | None = None) -> None:
        """What waits to be published becomes history: of everything, with all births and deaths, or of one device."""
        waiting = list(self._queue)
        self._queue.clear()
        for item in waiting:
            if device is not None and (isinstance(item, Presence) or item.device != device):
                self._queue.append(item)
            elif isinstance(item, Change):
                self._keep(item)

    def _forget_old(self, now_ms: int) -> None:
        while self._recent and now_ms - self._recent[0][0] > self._spec.unconfirmed_ms:
            self._recent.popleft()

    # --- the primary host ------------------------------------------------------------------------------------------------------------------

    def _take_host_state(self, payload: bytes) -> None:
        try:
            state = json_within(payload, _HOST_STATE)
            online, stamp_ms = state["online"], state["timestamp"]
        except (RejectedInput, KeyError, TypeError):
            self.counts["bad_state"] += 1
            return
        if not isinstance(online, bool) or not isinstance(stamp_ms, int) or isinstance(stamp_ms, bool):
            self.counts["bad_state"] += 1
            return
        if stamp_ms < self._host_stamp_ms.get(self._server, stamp_ms):
            self.counts["old_state"] += 1
            return
        self._host_stamp_ms[self._server] = stamp_ms
        self._host_online = online
        if not online and (self.phase is Phase.BORN or self._spec.servers > 1):
            self.leaving = True

    def _topic(self, kind: str) -> str:
        return f"{NAMESPACE}/{self._spec.group_id}/{kind}/{self._spec.edge_node_id}"

    def _state_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._spec.primary_host}"


def _renewed(tag: Tag, before: _Cell | None) -> _Cell:
    """The cell of a metric that was there before; what never changed takes the new definition's value."""
    if before is None or before.tag.datatype is not tag.datatype or before.at_ms is None:
        return _Cell(tag, tag.initial)
    return replace(before, tag=tag)


def _quality(code: int, *, include: bool) -> dict[str, Property]:
    return {"Quality": Property(DataType.INT32, code)} if include else {}
