"""The proof of the change gate: what counts as another verdict, and when it holds."""

from __future__ import annotations

import pytest

from edge.replay.gate import GateProof, gate_lines, level_lines, prove_gate
from edge.replay.simulation import Outcome, Seen


def outcome(*flags: tuple[str, float | None], computed: int = 10) -> Outcome:
    """Flags of one fault, one a second."""
    seen = [Seen(10**9 * number, verdict, score, "good") for number, (verdict, score) in enumerate(flags)]
    return Outcome(flags={"red": seen}, computed={"cam/web": computed})


@pytest.mark.parametrize(
    ("gated", "full", "differ", "beyond"),
    [
        (("ok", 0.2), ("ok", 0.4), 0, 0),
        (("ok", 0.49), ("fault", 0.51), 1, 0),
        (("ok", 0.3), ("fault", 0.51), 1, 1),
        (("unknown", None), ("ok", 0.2), 1, 1),
        (("unknown", None), ("unknown", None), 0, 0),
    ],
)
def test_a_verdict_differs_beyond_the_band_where_the_scores_do(
    gated: tuple[str, float | None], full: tuple[str, float | None], differ: int, beyond: int
) -> None:
    """Scores on both sides of a threshold and near each other do not; one that is not known does."""
    proof = prove_gate(outcome(gated), outcome(full), 0.05)
    assert (len(proof.differing), len(proof.beyond), proof.holds) == (differ, beyond, beyond == 0)


def test_the_report_has_the_work_the_verdicts_and_the_largest_difference() -> None:
    """And names each verdict that differs; a proof on nothing is none."""
    proof = prove_gate(
        outcome(("ok", 0.49), ("ok", 0.2)), outcome(("fault", 0.51), ("ok", 0.21), computed=80), band=0.05
    )
    text = "\n".join(gate_lines(proof, 0.05))
    assert "10 tiles computed where 80 are without the gate: 8.0 times less work." in text
    assert (
        "2 verdicts compared: 1 differ, 0 of them beyond the band of 0.05; the largest difference of two scores is 0.0200."
        in text
    )
    assert "`red`: ok 0.490 with the gate, fault 0.510 without" in text
    assert "DOES NOT HOLD" not in text
    assert not prove_gate(Outcome(), Outcome(), 0.05).holds


def test_other_limits_are_compared_and_the_highest_is_named_up_to_which_all_hold() -> None:
    """One that holds above one that does not is luck."""

    def proof(flag: tuple[str, float | None], computed: int) -> GateProof:
        return prove_gate(outcome(flag, computed=computed), outcome(("ok", 0.3), computed=80), 0.05)

    holds, fails = ("ok", 0.3), ("fault", 0.6)
    found = {4.0: proof(holds, 40), 8.0: proof(holds, 20), 12.0: proof(fails, 10), 16.0: proof(holds, 5)}
    text = "\n".join(level_lines(found, 0.05))
    assert "| 8 | 4.0 | 0 | 0 | 0.0000 |" in text
    assert "| 12 | 8.0 | 1 | 1 | 0.3000 |" in text
    assert "Up to 8 the gate holds on this recording" in text
    assert "None of them holds" in "\n".join(level_lines({4.0: found[12.0], 8.0: found[8.0]}, 0.05))
