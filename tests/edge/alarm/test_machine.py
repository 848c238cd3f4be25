"""The alarm machine: delays, commands and timers, and what holds over every sequence of them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from edge.alarm.machine import (
    Alarm,
    AlarmCommand,
    AlarmSpec,
    Code,
    Condition,
    Sample,
    SetSeverity,
    Shelving,
)
from edge.frame import Quality, Verdict
from edge.wire.verbs import STATE_VERBS, Verb
from tests.edge.alarm.bench import WALL_NS, Bench, S

# How a bench gets into each condition; latching where the state needs it.
WAYS: dict[Condition, tuple[dict[str, Any], str]] = {
    Condition.NORM: ({}, "o"),
    Condition.UNACK_ALM: ({}, "F"),
    Condition.ACK_ALM: ({}, "Fa"),
    Condition.RTN_UNACK: ({}, "Fo"),
    Condition.LATCH_UNACK: ({"latching": True}, "Fo"),
    Condition.LATCH_ACK: ({"latching": True}, "Foa"),
}


def bench_in(condition: Condition, **spec: Any) -> Bench:
    """A bench whose alarm is in this condition."""
    own, way = WAYS[condition]
    bench = Bench(**(own | spec))
    for letter in way:
        if letter == "a":
            bench.ok("ack")
        else:
            bench.see(letter)
    assert bench.alarm.state.condition is condition
    return bench


# -- raising and clearing ----------------------------------------------------------------------------------------------------


def test_the_life_of_an_alarm() -> None:
    """Raise, acknowledge, return; raise, return, acknowledge; each occurrence with its own id and times."""
    bench = Bench()
    assert bench.see("oF") == "UNACK_ALM"
    first = bench.occurrence
    bench.wait(2)
    assert bench.ok("ack", user="op.meier", comment="seen") == "ACK_ALM"
    assert bench.see("o") == "NORM"
    assert bench.see("Fo") == "RTN_UNACK"
    assert bench.occurrence != first
    assert bench.ok("ack") == "NORM"
    assert bench.triggers() == ["RAISE", "ACK", "CLEAR", "RAISE", "CLEAR", "ACK"]
    assert [item.what for item in bench.log if item.trigger == "RAISE"] == ["NORM->UNACK_ALM"] * 2


def test_the_snapshot_tells_everything() -> None:
    """A snapshot has the occurrence, its times, who acknowledged, and the last value with its quality."""
    bench = Bench(on_delay_ns=S, severity=700)
    bench.see("FF")
    bench.wait(3)
    bench.ok("ack", user="op.meier", comment="seen")
    bench.see("o", quality=Quality.UNCERTAIN)
    shown = bench.alarm.snapshot()
    assert (shown.id, shown.state, shown.occurrence_id, shown.severity, shown.priority) == (
        "a",
        "NORM",
        "id-1",
        700,
        "High",
    )
    assert (shown.active, shown.acked, shown.latched, shown.annunciated) == (False, True, False, False)
    assert (shown.detected_wall_ns, shown.active_wall_ns) == (WALL_NS, WALL_NS + S)
    assert (shown.acked_wall_ns, shown.cleared_wall_ns) == (WALL_NS + 4 * S, WALL_NS + 4 * S)
    assert (shown.ack_user, shown.ack_comment, shown.quality, shown.value) == (
        "op.meier",
        "seen",
        Quality.UNCERTAIN,
        0.5,
    )
    assert (shown.shelving, shown.suppressed, shown.out_of_service, shown.chattering) == (
        Shelving.UNSHELVED,
        False,
        False,
        False,
    )


def test_on_delay_needs_lasting_truth() -> None:
    """The alarm is raised by the first sample that is still true after the on-delay; one that disagrees starts it again."""
    bench = Bench(on_delay_ns=2 * S)
    assert bench.see("FFoFF") == "NORM"
    bench.now_ns += S - 1
    assert bench.see("F") == "NORM"
    bench.now_ns += 1
    assert bench.see("F") == "UNACK_ALM"


def test_off_delay_needs_lasting_return() -> None:
    """The alarm returns by the first sample that is still false after the off-delay."""
    bench = Bench(off_delay_ns=2 * S)
    assert bench.see("FooFFoo") == "UNACK_ALM"
    bench.now_ns += S
    assert bench.see("o") == "RTN_UNACK"


def test_no_tick_raises_or_clears() -> None:
    """A delay is completed by a sample only, however long ago the last one was."""
    bench = Bench(on_delay_ns=S, off_delay_ns=S)
    bench.see("F")
    bench.wait(1000)
    assert bench.state == "NORM"
    bench.see("F")
    bench.see("o")
    bench.wait(1000)
    assert bench.state == "UNACK_ALM"


def test_missing_data_holds_the_delays() -> None:
    """Unknown samples stop both delays without starting them again; only known time counts."""
    bench = Bench(on_delay_ns=2 * S, off_delay_ns=2 * S)
    assert bench.see("FF????F") == "NORM"
    bench.now_ns += S
    assert bench.see("F") == "UNACK_ALM"
    bench.now_ns += S
    assert bench.see("oo???o") == "UNACK_ALM"
    bench.now_ns += S
    assert bench.see("o") == "RTN_UNACK"


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.BAD])
def test_a_verdict_of_stale_data_freezes_too(quality: Quality) -> None:
    """Whatever the verdict says, stale or bad quality moves nothing; the quality shows at once."""
    bench = Bench()
    bench.see("o")
    assert bench.see("FFF", quality=quality) == "NORM"
    assert bench.alarm.snapshot().quality is quality
    bench.see("F")
    assert bench.see("ooo", quality=quality) == "UNACK_ALM"


def test_unknown_is_never_good() -> None:
    """An unknown verdict that claims good quality is uncertain at best."""
    bench = Bench()
    bench.see("o")
    bench.alarm.step(Sample(Verdict.UNKNOWN, Quality.GOOD), S, WALL_NS + S)
    assert bench.alarm.snapshot().quality is Quality.UNCERTAIN


def test_n_of_m() -> None:
    """With 3 of 5 the alarm needs three faults among the last five known samples, and returns when fewer are left."""
    bench = Bench(n=3, m=5)
    assert bench.see("FFooo") == "NORM"
    assert bench.see("FoFo") == "NORM"
    assert bench.see("F") == "UNACK_ALM"  # F o F o F
    assert bench.see("Fo") == "UNACK_ALM"  # F o F F o
    assert bench.see("o") == "RTN_UNACK"  # o F F o o
    assert bench.triggers() == ["RAISE", "CLEAR"]


def test_unknown_samples_do_not_enter_the_window() -> None:
    """N of M counts known samples only."""
    bench = Bench(n=3, m=3)
    assert bench.see("F?F???") == "NORM"
    assert bench.see("F") == "UNACK_ALM"


def test_quality_gets_worse_at_once_and_better_after_a_while() -> None:
    """A quality that flickers between good and uncertain is reported once, not at frame rate; stale data that come back count at once."""
    bench = Bench(quality_hold_ns=S)
    bench.see("o")
    for _ in range(50):
        bench.see("oo", every_s=0.04, quality=Quality.UNCERTAIN)
        bench.see("oo", every_s=0.04)
    assert [item.quality for item in bench.log] == [Quality.GOOD, Quality.UNCERTAIN]
    bench.see("o" * 30, every_s=0.04)
    assert bench.alarm.snapshot().quality is Quality.GOOD
    bench.see("?o")
    assert [item.quality for item in bench.log][-2:] == [Quality.STALE, Quality.GOOD]


# -- classes of alarms -------------------------------------------------------------------------------------------------------


def test_latching_stays_until_acknowledged_and_reset() -> None:
    """A latching alarm that returned waits for both, in this order, and starts a new occurrence if it comes again."""
    bench = Bench(latching=True)
    assert bench.see("Fo") == "LATCH_UNACK"
    assert bench.do("reset").code is Code.NOT_ALLOWED
    assert bench.ok("ack") == "LATCH_ACK"
    assert bench.ok("reset") == "NORM"
    bench.see("F")
    bench.ok("ack")
    assert bench.see("o") == "LATCH_ACK"
    assert bench.see("F") == "UNACK_ALM"
    assert bench.occurrence == "id-3"


@pytest.mark.parametrize("samples", ["?", "F"])
def test_reset_needs_a_condition_known_to_be_false(samples: str) -> None:
    """A latch does not open on missing data, nor while the fault is there again and waits for its on-delay."""
    bench = Bench(latching=True, on_delay_ns=S)
    bench.see("FFo")
    bench.ok("ack")
    assert bench.state == "LATCH_ACK"
    bench.see(samples)
    assert bench.do("reset").code is Code.NOT_ALLOWED
    bench.see("o")
    assert bench.ok("reset") == "NORM"


def test_auto_ack_returns_to_normal() -> None:
    """An alarm of the self-acknowledging class returns straight to normal, and shows nobody as its acknowledger."""
    bench = Bench(auto_ack=True)
    assert bench.see("Fo") == "NORM"
    assert bench.alarm.snapshot().ack_user is None


# -- timers ------------------------------------------------------------------------------------------------------------------


def test_re_alarm() -> None:
    """An acknowledged alarm that still stands is annunciated again after its time, as the same occurrence; a new ack starts it anew."""
    bench = Bench(re_alarm_ns=10 * S)
    bench.see("F")
    bench.ok("ack")
    assert bench.wait(9.999) == ()
    again = bench.wait(0.001)
    assert [(item.trigger, item.annunciate, item.occurrence_id) for item in again] == [("RE_ALARM", True, "id-1")]
    assert bench.ok("ack") == "ACK_ALM"
    bench.see("o")
    assert bench.wait(100) == ()


def test_escalation() -> None:
    """A rise of the severity annunciates a standing alarm again; a fall is recorded and annunciates nothing."""
    bench = Bench(severity=300)
    bench.see("F")
    bench.ok("ack")
    assert [item.trigger for item in bench.severity(900)] == ["SEVERITY", "ESCALATE"]
    assert (bench.state, bench.alarm.snapshot().priority) == ("UNACK_ALM", "Critical")
    bench.ok("ack")
    assert [item.trigger for item in bench.severity(None)] == ["SEVERITY"]
    assert bench.state == "ACK_ALM"
    with pytest.raises(ValueError, match="1001"):
        bench.severity(1001)


def test_chattering() -> None:
    """Three raises within a minute mark the alarm; the mark goes when the minute holds fewer."""
    bench = Bench()
    bench.see("FoFo", every_s=15)
    assert not bench.alarm.snapshot().chattering
    bench.see("F")
    assert bench.alarm.snapshot().chattering
    bench.wait(15)
    assert bench.alarm.snapshot().chattering
    bench.wait(0.001)
    assert not bench.alarm.snapshot().chattering
    assert [name for name in bench.triggers() if name.startswith("CHATTER")] == ["CHATTERING", "CHATTER_END"]


def test_slow_repeats_do_not_chatter() -> None:
    """Three raises in more than a minute are none."""
    bench = Bench()
    bench.see("FoFoF", every_s=15.001)
    assert not bench.alarm.snapshot().chattering


def test_chattering_may_shelve() -> None:
    """With chatter_shelve the guard shelves by itself for its time, and says so; it comes back as unacknowledged."""
    bench = Bench(chatter_shelve_ns=300 * S)
    assert bench.see("FoFoF") == "SHELVED"
    shelved = bench.log[-1]
    assert (shelved.trigger, shelved.user, shelved.comment) == ("SHELVE", "system", "chattering")
    bench.wait(300)
    assert bench.state == "UNACK_ALM"


# -- hiding ------------------------------------------------------------------------------------------------------------------

HIDE = {"shelve": "unshelve", "suppress": "unsuppress", "out_of_service": "in_service"}


@pytest.mark.parametrize("verb", HIDE)
def test_a_hidden_alarm_keeps_running(verb: str) -> None:
    """Hidden, the condition runs and is journalled with ids of its own, and annunciates nothing."""
    bench = Bench()
    bench.ok(verb)
    bench.log.clear()
    bench.see("FoFoF")
    assert bench.triggers()[:5] == ["RAISE", "CLEAR", "RAISE", "CLEAR", "RAISE"]
    assert not any(item.annunciate for item in bench.log)
    assert (bench.occurrence, bench.alarm.snapshot().active) == ("id-3", True)


@pytest.mark.parametrize("verb", HIDE)
@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize("blind", [False, True])
def test_return_from_hiding(verb: str, condition: Condition, blind: bool) -> None:  # noqa: FBT001 - a table's column
    """What becomes visible is evaluated anew: standing is unacknowledged again, gone is normal, latched stays, and nothing without data."""
    bench = bench_in(condition)
    bench.ok(verb)
    if blind:
        bench.see("?")
    bench.log.clear()
    state = bench.ok(HIDE[verb])
    expected = {
        Condition.ACK_ALM: "UNACK_ALM",
        Condition.RTN_UNACK: "RTN_UNACK" if blind else "NORM",
    }.get(condition, condition.value)
    assert state == expected
    told = [item.annunciate for item in bench.log if item.annunciate]
    assert len(told) == (expected in ("UNACK_ALM", "LATCH_UNACK"))


def test_reasons_stand_beside_each_other() -> None:
    """Only when the last reason for hiding goes does the alarm become visible; the shown word follows the order of the reasons."""
    bench = Bench()
    bench.see("F")
    assert [bench.ok(verb) for verb in HIDE] == ["SHELVED", "SUPPRESSED", "OOS"]
    bench.log.clear()
    assert bench.ok("unsuppress") == "OOS"
    assert bench.ok("in_service") == "SHELVED"
    assert not any(item.annunciate for item in bench.log)
    assert bench.ok("unshelve") == "UNACK_ALM"
    assert bench.log[-1].annunciate


def test_shelving_ends_by_itself() -> None:
    """Timed shelving ends at its time, to the nanosecond, and shows until when."""
    bench = Bench()
    bench.see("F")
    bench.ok("shelve", duration_ns=10 * S)
    assert bench.alarm.snapshot().shelved_until_wall_ns == bench.wall_ns + 10 * S
    bench.wait(9.999999999)
    assert bench.state == "SHELVED"
    bench.wait(0.000000001)
    assert bench.state == "UNACK_ALM"
    assert bench.alarm.snapshot().shelved_until_wall_ns is None


def test_a_sample_finds_shelving_over_without_a_tick() -> None:
    """Timers are looked at before every sample and command, not only on ticks."""
    bench = Bench()
    bench.ok("shelve", duration_ns=S)
    bench.now_ns += 2 * S
    bench.see("F")
    assert bench.log[-1].annunciate


def test_shelving_again_sets_its_time_anew() -> None:
    """A second shelving replaces the first, also one-shot by timed."""
    bench = Bench()
    bench.ok("shelve", duration_ns=None, one_shot=True)
    assert bench.alarm.snapshot().shelving is Shelving.ONE_SHOT
    bench.ok("shelve", duration_ns=5 * S)
    bench.wait(4)
    bench.ok("shelve", duration_ns=5 * S)
    bench.wait(4)
    assert (bench.state, bench.alarm.snapshot().shelving) == ("SHELVED", Shelving.TIMED)


def test_one_shot_shelving_ends_when_the_alarm_returns() -> None:
    """One-shot shelving hides the standing or the next occurrence and no other."""
    bench = Bench()
    bench.ok("shelve", duration_ns=None, one_shot=True)
    assert bench.see("oF") == "SHELVED"
    assert bench.see("o") == "NORM"
    assert bench.see("F") == "UNACK_ALM"


def test_one_shot_shelving_has_a_longest_time() -> None:
    """A forgotten one-shot ends after the longest shelving time."""
    bench = Bench(max_shelve_ns=100 * S)
    bench.see("F")
    bench.ok("shelve", duration_ns=None, one_shot=True)
    bench.wait(100)
    assert bench.state == "UNACK_ALM"


def test_re_alarm_while_hidden_is_silent() -> None:
    """The re-alarm timer of a hidden alarm runs on and annunciates nothing; coming back is annunciated once."""
    bench = Bench(re_alarm_ns=S)
    bench.see("F")
    bench.ok("ack")
    bench.ok("shelve", duration_ns=S)
    told = bench.wait(1)
    assert [item.trigger for item in told if item.annunciate] == ["SHOW"]


# -- commands ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize("verb", STATE_VERBS)
def test_every_command_in_every_condition(verb: Verb, condition: Condition) -> None:
    """Each command is carried out or refused by the tables, and a refused one changes nothing at all."""
    bench = bench_in(condition)
    before = bench.alarm.state
    outcome = bench.do(verb.value)
    refused = {
        Verb.ACK: condition in (Condition.NORM, Condition.ACK_ALM, Condition.LATCH_ACK),
        Verb.RESET: condition is not Condition.LATCH_ACK,
        Verb.UNSHELVE: True,
        Verb.IN_SERVICE: True,
    }.get(verb, False)
    expected = Code.NOT_ALLOWED if refused else Code.OK
    if verb is Verb.ACK and condition is Condition.NORM:
        expected = Code.STALE_OCCURRENCE  # there was no occurrence yet
    assert outcome.code is expected
    assert outcome.state == bench.state
    if outcome.code is not Code.OK:
        assert outcome.detail
        assert outcome.transitions == ()
        assert bench.alarm.state == before


def test_a_stale_acknowledgement_is_refused() -> None:
    """Acknowledging the occurrence before this one, or none, silences nothing."""
    bench = Bench()
    bench.see("F")
    old = bench.occurrence
    bench.see("oF")
    assert bench.do("ack", occurrence_id=old).code is Code.STALE_OCCURRENCE
    assert bench.do("ack", occurrence_id=None).code is Code.BAD_REQUEST
    assert bench.state == "UNACK_ALM"
    assert bench.ok("ack") == "ACK_ALM"
    assert bench.do("reset", occurrence_id=old).code is Code.STALE_OCCURRENCE


@pytest.mark.parametrize(
    ("verb", "changes", "code"),
    [
        ("ack", {"user": " "}, Code.BAD_REQUEST),
        ("suppress", {"user": ""}, Code.BAD_REQUEST),
        ("shelve", {"comment": " "}, Code.BAD_REQUEST),
        ("shelve", {"duration_ns": None}, Code.BAD_REQUEST),
        ("shelve", {"duration_ns": 0}, Code.BAD_REQUEST),
        ("shelve", {"duration_ns": -S}, Code.BAD_REQUEST),
        ("shelve", {"duration_ns": 101 * S}, Code.BAD_REQUEST),
        ("shelve", {"duration_ns": 101 * S, "one_shot": True}, Code.BAD_REQUEST),
        ("out_of_service", {"comment": ""}, Code.BAD_REQUEST),
        ("shelve", {"duration_ns": 100 * S}, Code.OK),
        ("suppress", {"comment": ""}, Code.OK),
    ],
)
def test_what_a_command_needs(verb: str, changes: dict[str, Any], code: Code) -> None:
    """A request that lacks what it needs is refused with words, and changes nothing."""
    bench = Bench(max_shelve_ns=100 * S)
    bench.see("F")
    before = bench.alarm.state
    outcome = bench.do(verb, **changes)
    assert outcome.code is code
    if code is not Code.OK:
        assert outcome.detail
        assert bench.alarm.state == before


def test_an_alarm_may_forbid_shelving() -> None:
    """With a longest time of zero shelving is not allowed, one-shot neither."""
    bench = Bench(max_shelve_ns=0)
    assert bench.do("shelve").code is Code.NOT_ALLOWED
    assert bench.do("shelve", duration_ns=None, one_shot=True).code is Code.NOT_ALLOWED


def test_a_repeated_level_is_no_error() -> None:
    """A PLC that publishes `suppress` again gets ok and no transition; a person who repeats a switch hears of it."""
    bench = Bench()
    bench.ok("suppress")
    again = bench.do("suppress")
    assert (again.code, again.transitions) == (Code.OK, ())
    bench.ok("out_of_service")
    assert bench.do("out_of_service").code is Code.NOT_ALLOWED


def test_commands_are_journalled_with_their_user() -> None:
    """The transition of a command carries who asked and why."""
    bench = Bench()
    bench.ok("shelve", user="op.meier", comment="sensor is being cleaned")
    assert (bench.log[-1].trigger, bench.log[-1].user, bench.log[-1].comment) == (
        "SHELVE",
        "op.meier",
        "sensor is being cleaned",
    )


# -- the rest ----------------------------------------------------------------------------------------------------------------


def test_a_command_without_an_occurrence_yet() -> None:
    """Acknowledging an alarm that was never raised is stale, and says that there is none."""
    outcome = Alarm(AlarmSpec("a"), str).command(AlarmCommand(Verb.ACK, "op", occurrence_id="x"), 0, 0)
    assert outcome.code is Code.STALE_OCCURRENCE
    assert "none" in outcome.detail


def test_severity_without_change_is_silent() -> None:
    """Setting the severity that already holds records nothing."""
    alarm = Alarm(AlarmSpec("a", severity=500), str)
    assert alarm.step(SetSeverity(500), 0, 0) == ()


def test_only_news_counts_for_n_of_m() -> None:
    """The same verdict looked at again is no further evidence; known time goes on meanwhile, and another verdict is news by itself."""
    bench = Bench(n=3, m=5, on_delay_ns=2 * S)

    def look(verdict: Verdict, *, fresh: bool) -> str:
        bench.now_ns += S
        bench.alarm.step(Sample(verdict, Quality.GOOD, 0.5, fresh), bench.now_ns, bench.wall_ns)
        return bench.state

    assert {look(Verdict.FAULT, fresh=index == 0) for index in range(20)} == {"NORM"}
    assert look(Verdict.FAULT, fresh=True) == "NORM"
    assert look(Verdict.FAULT, fresh=True) == "NORM"
    assert [look(Verdict.FAULT, fresh=False) for _ in range(2)] == ["NORM", "UNACK_ALM"]
    assert {look(Verdict.OK, fresh=False) for _ in range(20)} == {"UNACK_ALM"}
    assert bench.alarm.state.filter.window == (True, True, True, False)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"on_delay_ns": S, "off_delay_ns": S},
        {"n": 2, "m": 4},
        {"latching": True, "re_alarm_ns": 3 * S},
        {"auto_ack": True, "chatter_shelve_ns": 4 * S},
    ],
    ids=lambda spec: "-".join(spec) or "plain",
)
def test_a_sample_that_an_alarm_has_settled_at_can_be_left_out(spec: dict[str, Any]) -> None:
    """An alarm that got it again and again and one that did not do the same with whatever comes next, samples and commands."""
    draw, bench, settled = random.Random(3), Bench(**spec), 0
    bench.alarm._new_id = str  # both make the same ids
    for _ in range(1500):
        sample = Sample(
            draw.choice(list(Verdict)), draw.choice((Quality.GOOD, *Quality)), draw.choice((None, 0.5)), draw.random() < 0.5
        )  # fmt: skip
        if bench.alarm.is_settled(sample):
            settled += 1
            twin = Alarm(bench.alarm.spec, str, bench.alarm.state)
            for _ in range(3):
                bench.now_ns += draw.choice((0, S // 10, S))
                timed = bench.alarm.tick(bench.now_ns, bench.wall_ns)
                assert twin.step(sample, bench.now_ns, bench.wall_ns) == timed
            verb = draw.choice(
                ["reset", "shelve", "unshelve", "suppress", "unsuppress", "out_of_service", "in_service"]
            )
            asked = AlarmCommand(Verb(verb), "op", "because", None, S if verb == "shelve" else None)
            done = [alarm.command(asked, bench.now_ns, bench.wall_ns) for alarm in (bench.alarm, twin)]
            assert done[0] == done[1]
            assert twin.step(sample, bench.now_ns, bench.wall_ns) == ()
            bench.now_ns += S // 5
            other = Sample(draw.choice(list(Verdict)), draw.choice(list(Quality)), 0.5)
            steps = [alarm.step(other, bench.now_ns, bench.wall_ns) for alarm in (bench.alarm, twin)]
            assert steps[0] == steps[1]
            assert bench.alarm.snapshot() == twin.snapshot()
        else:
            bench.now_ns += draw.choice((0, S // 10, S))
            bench.alarm.step(sample, bench.now_ns, bench.wall_ns)
    assert settled > 100
