"""One fault flag: what the site wants and what the bundle can, joined; its evidence becomes one verdict.

Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edge.bundle import FaultSpec, Manifest
from edge.decide import Combine, FusionSpec, VisionSpec, VisionState, fuse
from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Verdict, worst
from edge.rules import Rule, RuleKind, RuleSpec
from edge.sections import AlarmSettings, FaultSettings
from edge.settings import Site

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One flag channel, resolved: names found, defaults filled in. `vision` is the fault's place among the graph's scores."""

    id: str
    title: str
    camera: str | None
    vision: int | None
    fault: FaultSpec | None
    rules: tuple[str, ...]
    fusion: FusionSpec
    armed: bool
    alarm: AlarmSettings | None
    stale_after_ns: int


class Channel:
    """The evidence of one fault, kept up to date, and its verdict."""

    def __init__(self, spec: ChannelSpec, rules: Mapping[str, Rule]) -> None:
        self.spec = spec
        self._rules = tuple(rules[name] for name in spec.rules)
        self.sensors = frozenset(rule.spec.sensor for rule in self._rules)  # whose readings count here
        self._vision: VisionState | None = None
        self._late = False
        self.trust = (
            Quality.GOOD
        )  # at best this good: lower while something that all evidence shares, the clock, cannot be trusted
        if spec.fault is not None:
            self._vision = VisionState(VisionSpec(spec.fault.threshold, spec.fault.release, spec.stale_after_ns))

    def succeed(self, before: Channel) -> None:
        """Go on from what an earlier channel of this name last saw, if both ask the same of the same camera."""
        same = (before.spec.camera, before.spec.fault and before.spec.fault.id)
        if (
            self._vision is not None
            and before._vision is not None
            and same == (self.spec.camera, self.spec.fault and self.spec.fault.id)
        ):
            self._vision.succeed(before._vision)
            self._late = before._late

    def see(self, score: float, received_ns: int, *, late: bool, picture: Quality = Quality.GOOD) -> None:
        """Take the score of a frame; a late one can still show a fault, but can no longer show that there is none.

        `picture` is the quality of the picture itself: a frozen or covered one shows nothing, whatever its score.
        """
        if self._vision is not None:
            self._vision.update(score, received_ns, worst(picture, Quality.UNCERTAIN if late else Quality.GOOD))
            self._late = late

    def miss(self, received_ns: int) -> None:
        """A frame came that could not be judged (damaged, or the graph failed): its verdict is unknown."""
        if self._vision is not None:
            self._vision.update(float("nan"), received_ns, Quality.BAD)

    def evidence(self, now_ns: int) -> Evidence:
        """The joined evidence now."""
        parts = [] if self._vision is None else [self._vision_evidence(now_ns)]
        parts += [rule.evidence(now_ns) for rule in self._rules]
        found = fuse(parts, self.spec.fusion)
        if self.trust is Quality.GOOD:
            return found
        return Evidence(found.verdict, found.score, worst(found.quality, self.trust))

    def vision(self, now_ns: int) -> Evidence | None:
        """What the camera alone says now; None without one."""
        return None if self._vision is None else self._vision_evidence(now_ns)

    def rules(self, now_ns: int) -> tuple[tuple[str, Verdict], ...]:
        """What each sensor rule alone says now, by its id."""
        return tuple((rule.spec.id, rule.evidence(now_ns).verdict) for rule in self._rules)

    def borne_out(self, verdict: Verdict, now_ns: int, *, seen: bool, heard: Collection[str]) -> bool:
        """Whether what just came bears out the joined verdict: a frame, if one was `seen`, and readings of the sensors that were `heard`.

        So one reading counts once, however many frames pass meanwhile that show nothing. Where weights are joined, all that came counts.
        """
        if not self._rules:
            return seen  # nothing else could bear it out, and cameras bring many faults at once
        came = [rule.evidence(now_ns).verdict for rule in self._rules if rule.spec.sensor in heard]
        if seen and self._vision is not None:
            came.append(self._vision_evidence(now_ns).verdict)
        if self.spec.fusion.combine is Combine.WEIGHTED:
            return any(item is not Verdict.UNKNOWN for item in came)
        return verdict in came

    def _vision_evidence(self, now_ns: int) -> Evidence:
        assert self._vision is not None  # noqa: S101 - narrows the type; the caller checked
        found = self._vision.evidence(now_ns)
        if self._late and found.verdict is Verdict.OK:
            return Evidence(Verdict.UNKNOWN, None, found.quality)
        return found


def resolve_rules(site: Site) -> dict[str, Rule]:
    """The site's sensor rules, ready to run."""
    stale_ms = {sensor.id: sensor.stale_after_ms for sensor in site.sensors}
    return {
        rule.id: Rule(
            RuleSpec(
                id=rule.id,
                sensor=rule.sensor,
                kind=RuleKind(rule.kind),
                limit=rule.limit,
                deadband=rule.deadband,
                window_ns=round(rule.window_s * 1e9),
                stale_after_ns=round(stale_ms[rule.sensor] * NS_PER_MS),
            )
        )
        for rule in site.rules
    }


def resolve_channels(site: Site, manifest: Manifest) -> tuple[ChannelSpec, ...]:
    """Join the site's faults with the bundle's.

    A site without faults gets every fault of the bundle on every camera, without alarms.

    Raises:
        ConfigError: a fault asks for vision evidence that the bundle does not have, or for an alarm that may not be armed.
    """
    wanted = site.faults or tuple(
        FaultSettings(
            id=fault.id if len(site.cameras) == 1 else f"{camera.id}-{fault.id}", camera=camera.id, vision=fault.id
        )
        for camera in site.cameras
        for fault in manifest.faults
    )
    stale_ns = {camera.id: round(camera.stale_after_ms * NS_PER_MS) for camera in site.cameras}
    return tuple(_resolve(fault, manifest, stale_ns) for fault in wanted)


def _resolve(fault: FaultSettings, manifest: Manifest, stale_ns: Mapping[str, int]) -> ChannelSpec:
    index, spec = None, None
    if fault.camera is not None:
        name = fault.vision or fault.id
        ids = [known.id for known in manifest.faults]
        if name not in ids:
            raise ConfigError(
                f"faults.{fault.id}: the bundle {manifest.name} has no fault {name!r}; it has {', '.join(ids)}. "
                "Set `vision` to one of these, or export a bundle that asks for it."
            )
        index = ids.index(name)
        spec = manifest.faults[index]
    armed = spec is None or spec.armed
    sources = (() if spec is None else ("vision",)) + fault.rules
    return ChannelSpec(
        id=fault.id,
        title=fault.title or (spec.title if spec else fault.id),
        camera=fault.camera,
        vision=index,
        fault=spec,
        rules=fault.rules,
        fusion=FusionSpec(
            Combine(fault.combine),
            tuple(fault.weights.get(source, 1.0) for source in sources),
            fault.weighted_threshold,
        ),
        armed=armed,
        alarm=fault.alarm,
        stale_after_ns=stale_ns.get(fault.camera or "", 0),
    )
