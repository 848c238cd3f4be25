"""One fault flag: joins what the site wants with what the bundle can do, and turns evidence into one verdict.

Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edge.frame import Evidence, Quality, Verdict, worst
from edge.region import WHOLE, Region
from edge.units import FOREVER_NS
from edge.verdict.decide import Combine, FusionSpec, VisionSpec, VisionState, fuse
from edge.verdict.rules import Rule


@dataclass(frozen=True, slots=True)
class VisionFault:
    """The bundle's facts about one fault: when its score counts, and the share of false alarms that was measured (None: never).

    An ``unnamed`` one is whatever is unlike the normal pictures. ``normal`` are scores of those that chose the threshold, ascending, of ``independent``
    groups of pictures; none: the bundle has none.
    """

    id: str
    threshold: float
    release: float
    false_alarms: float | None = None
    unnamed: bool = False
    normal: tuple[float, ...] = ()
    independent: int = 0


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One flag channel, resolved: names found, defaults filled in.

    `vision` is the fault's place among the scores of its graph: of the frames of `camera`, or of the readings of `window`.
    """

    id: str
    title: str
    camera: str | None
    vision: int | None
    fault: VisionFault | None
    rules: tuple[str, ...]
    fusion: FusionSpec
    armed: bool
    stale_after_ns: int
    region: Region = WHOLE
    window: str | None = None
    held: bool = True  # false: the profile of the product that is made does not hold it, so nothing is known of it
    profiled: bool = False  # its threshold is a profile's


NOT_HELD = Evidence(Verdict.UNKNOWN, None, Quality.BAD)


class Channel:
    """The evidence of one fault, kept up to date, and its verdict."""

    def __init__(self, spec: ChannelSpec, rules: Mapping[str, Rule]) -> None:
        self.spec = spec
        self._rules = tuple(rules[name] for name in spec.rules)
        # whose readings count here
        self.sensors = frozenset(sensor for rule in self._rules for sensor in rule.spec.sensors)
        #: Whose readings can change the evidence: those, and those of the rules that gate these.
        self.listens = frozenset[str]().union(*(rule.listens for rule in self._rules))
        #: Rises with everything but readings and time that may change the evidence.
        self.version = 0
        self._vision: VisionState | None = None
        self._late = False
        self._trust = Quality.GOOD
        # the part of the picture that its newest score is of
        self.looked_at = spec.region
        if spec.fault is not None:
            self._vision = VisionState(VisionSpec(spec.fault.threshold, spec.fault.release, spec.stale_after_ns))

    def succeed(self, before: Channel) -> None:
        """Go on from what an earlier channel of this name last saw, if both ask the same of the same region of the same camera.

        Not where one of them does not hold, or where another product has another threshold: what was seen was another product then.
        """
        if not (self.spec.held and before.spec.held) or self._is_of_other_product(before):
            return
        same = (before.spec.camera, before.spec.window, before.spec.region, before.spec.fault and before.spec.fault.id)
        if (
            self._vision is not None
            and before._vision is not None
            and same == (self.spec.camera, self.spec.window, self.spec.region, self.spec.fault and self.spec.fault.id)
        ):
            self._vision.succeed(before._vision)
            self._late = before._late
            self.version += 1

    @property
    def seen_ns(self) -> int | None:
        """Receipt of the frame that its evidence rests on: of the oldest one, where several tiles were seen on several; None: there is none."""
        return None if self._vision is None else self._vision.seen_ns

    @property
    def trust(self) -> Quality:
        """Evidence is at best this good: lower while something that all of it shares, the clock, cannot be trusted."""
        return self._trust

    @trust.setter
    def trust(self, trust: Quality) -> None:
        if trust is not self._trust:
            self._trust = trust
            self.version += 1

    def see(
        self,
        score: float,
        received_ns: int,
        *,
        late: bool,
        picture: Quality = Quality.GOOD,
        covered: bool = True,
        at: Region | None = None,
    ) -> None:
        """Take the score of a frame, or of a window of readings; a late one can still show a fault, but can no longer show that there is none.

        So can a window of which some cells have no value, and a region of which some tiles were not `covered`. `picture` is the quality of the
        picture itself: a frozen or covered one shows nothing, whatever its score; nor does a window with too few values. `at` is the tile with
        this score.
        """
        if self._vision is not None and self.spec.held:
            quality = worst(picture, Quality.UNCERTAIN if late else Quality.GOOD)
            self._vision.update(score, received_ns, quality, covered=covered)
            self._late = late
            self.looked_at = at or self.spec.region
            self.version += 1

    def miss(self, received_ns: int) -> None:
        """A frame or a window came that could not be judged (damaged, or the graph failed): its verdict is unknown."""
        if self._vision is not None:
            self._vision.update(float("nan"), received_ns, Quality.BAD)
            self.version += 1

    def lose(self, at_ns: int) -> None:
        """The camera is known to be away since then: what it showed before is no verdict any more; a frame that came later stays one."""
        if self._vision is not None and self._vision.seen_before(at_ns):
            self.miss(at_ns)

    def evidence(self, now_ns: int) -> Evidence:
        """The joined evidence now."""
        if not self.spec.held:
            return NOT_HELD
        parts: list[Evidence | None] = [] if self._vision is None else [self._vision_evidence(now_ns)]
        parts += [rule.evidence(now_ns) if rule.applies(now_ns) else None for rule in self._rules]
        found = fuse(parts, self.spec.fusion)
        if self._trust is Quality.GOOD:
            return found
        return Evidence(found.verdict, found.score, worst(found.quality, self._trust))

    def steady_until_ns(self, now_ns: int) -> int:
        """Until when its evidence stays what it was when it was asked at `now_ns`, if nothing comes: neither readings nor another `version`."""
        if not self.spec.held:
            return FOREVER_NS
        ends_ns = [rule.steady_until_ns(now_ns) for rule in self._rules]
        if self._vision is not None:
            ends_ns.append(self._vision.steady_until_ns(now_ns))
        return min(ends_ns, default=FOREVER_NS)

    def vision(self, now_ns: int) -> Evidence | None:
        """The camera's own evidence now; None without one."""
        return None if self._vision is None else self._vision_evidence(now_ns)

    def rules(self, now_ns: int) -> tuple[tuple[str, Verdict], ...]:
        """Each sensor rule's own verdict now, by its id; one that does not apply now is left out."""
        return tuple((rule.spec.id, rule.evidence(now_ns).verdict) for rule in self._rules if rule.applies(now_ns))

    def is_confirmed(self, verdict: Verdict, now_ns: int, *, seen: bool, updated: Collection[str]) -> bool:
        """Whether new data confirm the joined verdict: a frame, if one was `seen`, and readings of the sensors that were `updated`.

        So one reading counts once, however many frames pass meanwhile that show nothing. Where weights are joined, all that came counts.
        """
        if not self._rules:
            return seen  # nothing else could confirm it, and cameras bring many faults at once
        came = [rule.evidence(now_ns).verdict for rule in self._rules if not rule.spec.sensors.isdisjoint(updated)]
        if seen and self._vision is not None:
            came.append(self._vision_evidence(now_ns).verdict)
        if self.spec.fusion.combine is Combine.WEIGHTED:
            return any(item is not Verdict.UNKNOWN for item in came)
        return verdict in came

    def _is_of_other_product(self, before: Channel) -> bool:
        """Whether a profile gave one of the two another threshold than the other has."""
        limits = [None if spec.fault is None else spec.fault.threshold for spec in (self.spec, before.spec)]
        return (self.spec.profiled or before.spec.profiled) and limits[0] != limits[1]

    def _vision_evidence(self, now_ns: int) -> Evidence:
        assert self._vision is not None  # noqa: S101 - narrows the type; the caller checked
        found = self._vision.evidence(now_ns)
        if self._late and found.verdict is Verdict.OK:
            return Evidence(Verdict.UNKNOWN, None, found.quality)
        return found
