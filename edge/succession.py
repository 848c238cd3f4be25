"""Guards the change from one bundle to the next: never an older one, and never silently one that watches less closely.

What ran is kept over restarts. The record itself is immutable, so the reload's thread may read the one that it was given; everything else is the
inference thread's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.alarm.annunciator import Annunciator
from edge.alarm.catalogue import NODE, Concern, alarm_id
from edge.errors import ProofFailed
from edge.frame import Evidence, Quality, Verdict
from edge.manifest import Manifest
from edge.plan import Plan
from edge.publish.entry import PlainState
from edge.publish.publisher import Publisher
from edge.system.clock import Clock

KEPT_RECORD = "bundles"  # name under which the record survives a restart
SAMPLE_NS = 500_000_000
MAX_NAMES = 64  # bundles that are remembered; no site has so many, and a sender of commands could invent names


@dataclass(frozen=True, slots=True)
class Watched:
    """How closely one fault is watched."""

    armed: bool
    threshold: float
    both_sides: bool  # golden inputs are clearly above and clearly below the threshold
    words: tuple[str, ...]


class _Kept(BaseModel):
    """A record as it is stored."""

    model_config = ConfigDict(extra="ignore")

    newest: dict[str, int] = {}
    configured: dict[str, int] = {}
    watched: dict[str, Watched] = {}


@dataclass(frozen=True, slots=True)
class Record:
    """What ran here: the highest version of each name, of all bundles and of those that the site file itself named, and what was watched last.

    A bundle that a command names runs until the next restart, so it must not keep the site file's own from coming back then.
    """

    newest: Mapping[str, int] = field(default_factory=dict)
    configured: Mapping[str, int] = field(default_factory=dict)
    watched: Mapping[str, Watched] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Record:
        """What was kept; nothing, if it cannot be read."""
        try:
            kept = _Kept.model_validate(data or {})
        except ValidationError:
            return cls()
        return cls(kept.newest, kept.configured, kept.watched)

    def after(self, plan: Plan, *, named: bool) -> Record:
        """The record once a plan's bundle has proven itself."""
        model = plan.model
        if model is None:  # no camera, so no bundle ran
            return Record(self.newest, self.configured, watched(plan))
        newest = _raised(self.newest, model.name, model.version)
        configured = self.configured if named else _raised(self.configured, model.name, model.version)
        return Record(newest, configured, watched(plan))

    def refuse_older(self, manifest: Manifest, *, named: bool) -> None:
        """Refuse a version below the highest of its name.

        Raises:
            ProofFailed: it is lower.
        """
        highest = (self.newest if named else self.configured).get(manifest.name, 0)
        if manifest.version < highest:
            raise ProofFailed(
                f"{manifest.name} version {manifest.version} is older than version {highest}, which ran here; export it again with a higher "
                "version, or set runtime.allow_older_bundle = true if it is meant"
            )


def watched(plan: Plan) -> dict[str, Watched]:
    """How closely a plan watches each fault of its bundle that it asks for."""
    if plan.bundle is None:
        return {}
    one_sided = set(plan.bundle.manifest.one_sided())
    armed = {channel.fault.id: channel.armed for channel in plan.channels if channel.fault is not None}
    return {
        fault.id: Watched(armed[fault.id], fault.threshold, fault.id not in one_sided, fault.words)
        for fault in plan.bundle.manifest.faults
        if fault.id in armed
    }


def disarmed(plan: Plan) -> dict[str, str]:
    """By fault, why this device disarmed it: an alarm that can never be raised must not look like one that watches."""
    if plan.bundle is None:
        return {}
    watching = watched(plan)
    return {
        name: f"no golden input reaches its threshold of {watching[name].threshold:g}, so it is disarmed"
        for name in plan.bundle.manifest.out_of_reach()
        if name in watching
    }


def weaknesses(before: Mapping[str, Watched], plan: Plan) -> dict[str, str]:
    """By fault, how a plan's bundle watches it less closely than before; what the site file itself no longer asks for is not meant."""
    now = watched(plan)
    wanted = {
        fault.vision or fault.id for fault in plan.site.faults if fault.camera is not None or fault.window is not None
    }
    known = {old.words: name for name, old in before.items()}
    found = {}
    for name, old in before.items():
        if plan.site.faults and name not in wanted:
            continue
        weakness = _weakness(old, now.get(name))
        if name in now and (weakness is None) and now[name].words != old.words and now[name].words in known:
            weakness = f"it asks now what {known[now[name].words]} asked"
        if weakness is not None:
            found[name] = weakness
    return found


def refuse_weaker(found: Mapping[str, str], accepted: Collection[str]) -> None:
    """Refuse what was not accepted by name.

    Raises:
        ProofFailed: it does; the text names what, and how to accept it.
    """
    open_points = {name: weakness for name, weakness in found.items() if name not in accepted}
    if open_points:
        names = ", ".join(f'"{name}"' for name in open_points)
        raise ProofFailed(
            f"the new bundle watches less closely: {'; '.join(f'{name}: {weakness}' for name, weakness in open_points.items())}. Nothing was changed; "
            f"if it is meant, ask again with weaker = [{names}]"
        )


def _weakness(old: Watched, new: Watched | None) -> str | None:
    if new is None:
        return "it is gone"
    found = []
    if new.threshold > old.threshold:
        found.append(f"its threshold rises from {old.threshold:g} to {new.threshold:g}")
    if old.armed and not new.armed:
        found.append("it is not armed, so it raises no alarm")
    if old.armed and old.both_sides and not new.both_sides and not found:
        found.append("no golden input proves its threshold any more")
    return ", and ".join(found) or None


def _raised(versions: Mapping[str, int], name: str, version: int) -> dict[str, int]:
    rest = {key: value for key, value in versions.items() if key != name}
    return dict([*rest.items(), (name, max(version, versions.get(name, 0)))][-MAX_NAMES:])


class Succession:
    """Keeps the record, and reports what an exchange changes for the operator: as events, and as an alarm.

    Args:
        annunciator: where the alarm is sampled.
        publisher: where events and the record go.
        clock: the two clocks.
        restored: what earlier starts kept, by the names under which it was recorded.
    """

    def __init__(
        self, annunciator: Annunciator, publisher: Publisher, clock: Clock, restored: Mapping[str, Any]
    ) -> None:
        self._annunciator = annunciator
        self._publisher = publisher
        self._clock = clock
        self.record = Record.from_dict(restored.get(KEPT_RECORD))
        self._named = False
        self._next_sample_ns = 0
        self._weaker: Mapping[str, str] = {}
        self._former: Mapping[str, str] = {}

    def refuse_older(self, plan: Plan) -> None:
        """Refuse to start with an older version than one that the site file named before, unless the site allows it.

        Raises:
            ProofFailed: it is older.
        """
        if plan.bundle is not None and not plan.site.runtime.allow_older_bundle:
            self.record.refuse_older(plan.bundle.manifest, named=False)

    def begin(self, plan: Plan) -> None:
        """The first bundle of this start went live: if it was exchanged meanwhile, that was done on the disk, so it is reported, not refused."""
        self._weaker = disarmed(plan) | weaknesses(self.record.watched, plan)
        self._report()
        self._keep(plan)

    def watch(self) -> None:
        """Sample the alarm again at each interval: its delays run on samples."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_sample_ns:
            self._sample(now_ns, self._clock.wall_ns())

    def exchanged(self, before: Plan, after: Plan, *, named: bool, weaker: Mapping[str, str]) -> None:
        """Another bundle went live and is on trial."""
        self._named, self._former, self._weaker = named, self._weaker, disarmed(after) | dict(weaker)
        if before.model != after.model:
            self._mark(before, after)
        self._report()

    def trial_ended(self, plan: Plan, verdict: Literal["passed", "failed"]) -> None:
        """The trial ended: the plan that stays is the one that is given."""
        if verdict == "failed":
            self._weaker = self._former
            self._report()
        else:
            self._keep(plan)

    def _mark(self, before: Plan, after: Plan) -> None:
        """An alarm that is active while its bundle is exchanged may return because of that: its history shows it."""
        now_wall_ns = self._clock.wall_ns()
        detail = f"it is active while {_name(before)} is replaced by {_name(after)}"
        events = [
            self._publisher.event("system", entry.spec.id, "judged by another bundle", now_wall_ns, detail=detail)
            for entry in after.alarms
            if entry.kind == "process" and entry.camera is not None and self._annunciator.is_active(entry.spec.id)
        ]
        if events:
            self._publisher.record(self._clock.monotonic_ns(), events)

    def _report(self) -> None:
        now_ns, now_wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        if self._weaker:
            detail = "; ".join(f"{name}: {how}" for name, how in self._weaker.items())
            event = self._publisher.event("system", "daemon", "watches less closely", now_wall_ns, detail=detail[:300])
            self._publisher.record(now_ns, [event])
        self._sample(now_ns, now_wall_ns)

    def _sample(self, now_ns: int, now_wall_ns: int) -> None:
        verdict, score = (Verdict.FAULT, 1.0) if self._weaker else (Verdict.OK, 0.0)
        self._next_sample_ns = now_ns + SAMPLE_NS
        name = alarm_id(NODE, Concern.WEAKER)
        self._annunciator.sample(name, Evidence(verdict, score, Quality.GOOD), now_ns, now_wall_ns)

    def _keep(self, plan: Plan) -> None:
        self.record = self.record.after(plan, named=self._named)
        self._publisher.record(self._clock.monotonic_ns(), (), (), {KEPT_RECORD: PlainState(self.record.to_dict())})


def _name(plan: Plan) -> str:
    return plan.title
