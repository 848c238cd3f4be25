"""What was seen lately becomes the facts of a fault: its score now and a second ago, its place among the others, its rules."""

from __future__ import annotations

from dataclasses import dataclass

from edge.explain.memory import EARLIER_NS, MAX_HISTORY, Memory
from edge.explain.sentence import Facts
from edge.frame import Evidence, Frame, Quality, Verdict
from edge.region import WHOLE, Region


@dataclass(frozen=True)
class Limit:
    """What a bundle says of a fault."""

    threshold: float
    false_alarms: float | None = 0.05
    unnamed: bool = False


@dataclass(frozen=True)
class Fault:
    """One channel."""

    id: str
    fault: Limit | None
    camera: str | None = "cam"
    region: Region = WHOLE
    vision: int | None = 0

    @property
    def title(self) -> str:
        """For people."""
        return self.id.title()


RUST, OIL, PUMP = Fault("rust", Limit(0.5)), Fault("oil", Limit(0.2)), Fault("pump", None, camera=None, vision=None)
RULES = (("pressure falls", Verdict.FAULT),)


def memory() -> Memory:
    """Of two faults that one camera shows, and one that only a sensor tells."""
    return Memory([RUST, OIL, PUMP], lambda fault_id, _now_ns: RULES if fault_id == "pump" else ())


def frame(received_ns: int, camera: str = "cam") -> Frame:
    """A picture of that time."""
    return Frame(camera, 0, b"", received_ns, 0, received_ns + 1)


def scored(score: float | None) -> Evidence:
    """A fault's evidence with its score."""
    return Evidence(Verdict.OK, score, Quality.GOOD)


def test_the_newest_frame_of_each_camera_is_remembered() -> None:
    """And none of a camera that showed nothing, or of a fault without one."""
    seen = memory()
    for at_ns, camera in ((1, "cam"), (2, "other"), (3, "cam")):
        seen.observe(frame(at_ns, camera), [])
    newest = seen.newest("cam")
    assert newest is not None
    assert newest.received_ns == 3
    assert seen.newest("third") is None
    assert seen.newest(None) is None


def test_a_fault_that_only_sensors_tell_has_its_rules_and_no_score() -> None:
    """Nothing is made up about pictures."""
    assert memory().facts(PUMP, 0) == Facts(title="Pump", camera=None, rules=RULES)


def test_a_fault_without_a_score_yet_has_no_score() -> None:
    """Evidence without a number is none."""
    seen = memory()
    seen.observe(frame(1), [("rust", None), ("oil", scored(None))])
    assert seen.facts(RUST, 1) == Facts(title="Rust", camera="cam", rules=())
    assert seen.facts(OIL, 1) == Facts(title="Oil", camera="cam", rules=())


def test_faults_are_ranked_by_how_far_they_stand_above_their_limits() -> None:
    """0.6 over a limit of 0.5 is behind 0.4 over one of 0.2; the one ahead is named."""
    seen = memory()
    seen.observe(frame(1), [("rust", scored(0.6)), ("oil", scored(0.4))])
    rust, oil = seen.facts(RUST, 1), seen.facts(OIL, 1)
    assert (oil.rank, oil.of, oil.ahead, oil.limit) == (1, 2, None, 0.2)
    assert (rust.rank, rust.of, rust.ahead, rust.score) == (2, 2, "Oil", 0.6)


def test_the_earlier_score_is_at_least_a_second_old() -> None:
    """The newest of those; before a second has passed there is none."""
    seen = memory()
    for at_ns, score in ((0, 0.1), (EARLIER_NS // 2, 0.2)):
        seen.observe(frame(at_ns), [("rust", scored(score))])
    assert seen.facts(RUST, 0).earlier is None
    for at_ns, score in ((EARLIER_NS, 0.3), (EARLIER_NS * 3 // 2, 0.9)):
        seen.observe(frame(at_ns), [("rust", scored(score))])
    assert (seen.facts(RUST, 0).earlier, seen.facts(RUST, 0).score) == (0.2, 0.9)


def test_what_is_remembered_is_bounded() -> None:
    """A camera of any rate cannot fill the memory."""
    seen = memory()
    for number in range(3 * MAX_HISTORY):
        seen.observe(frame(number), [("rust", scored(0.1))])
    assert {len(kept) for kept in seen._scores.values()} == {MAX_HISTORY}


def test_what_has_no_name_is_explained_by_the_named_faults_of_its_own_camera() -> None:
    """Those at their limits or above, the highest first; a named fault needs no such thing."""
    odd, far = Fault("odd", Limit(0.5, unnamed=True)), Fault("far", Limit(0.1), camera="other")
    seen = Memory([RUST, OIL, odd, far], lambda _id, _now_ns: ())
    seen.observe(frame(1), [("rust", scored(0.6)), ("oil", scored(0.4)), ("odd", scored(0.9)), ("far", scored(0.9))])
    assert seen.facts(odd, 1).explained_by == ("Oil", "Rust")
    assert seen.facts(RUST, 1).explained_by is None
    seen.observe(frame(2), [("rust", scored(0.1)), ("oil", scored(0.1)), ("odd", scored(0.9))])
    assert seen.facts(odd, 2).explained_by == ()


def test_a_fault_is_ranked_among_those_of_its_own_region() -> None:
    """What another region of the same picture shows is no rival of it."""
    left, right = Region("left", 0.0, 0.0, 0.5, 1.0), Region("right", 0.5, 0.0, 0.5, 1.0)
    faults = [Fault(name, Limit(0.5), region=region) for name, region in (("a", left), ("b", left), ("c", right))]
    kept = Memory(faults, lambda _fault, _now_ns: ())
    scores = {"a": 0.6, "b": 0.7, "c": 0.9}
    kept.observe(frame(0), [(name, Evidence(Verdict.FAULT, score, Quality.GOOD)) for name, score in scores.items()])
    places = {one.id: (facts.rank, facts.of) for one in faults for facts in [kept.facts(one, 1)]}
    assert places == {"a": (2, 2), "b": (1, 2), "c": (1, 1)}
