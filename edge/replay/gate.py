"""Proves the change gate on a recording: each verdict with it beside the one of full computation; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge.replay.simulation import Outcome, Seen
from edge.wire.message import timestamp

LEVELS = (4.0, 8.0, 12.0, 16.0, 24.0)  # grey levels that are tried beside those of the site
MOST_LINES = 40  # of differences; the figures above count all


@dataclass(frozen=True, slots=True)
class Pair:
    """One fault on one frame: its flag with the gate, and with every tile computed."""

    fault: str
    gated: Seen
    full: Seen

    @property
    def apart(self) -> float | None:
        """How far the scores are from each other; None: one of them is not known."""
        if self.gated.score is None or self.full.score is None:
            return None
        return abs(self.gated.score - self.full.score)


@dataclass(frozen=True, slots=True)
class GateProof:
    """What the gate spared on a recording, and what it changed.

    Args:
        flags: pairs that were compared.
        computed, of: tiles that were computed with the gate, and without.
        largest: difference of two scores.
        differing: pairs with another verdict.
        beyond: those of them whose scores are further apart than the band, or not both known.
    """

    flags: int
    computed: int
    of: int
    largest: float
    differing: tuple[Pair, ...]
    beyond: tuple[Pair, ...]

    @property
    def holds(self) -> bool:
        """Whether no verdict differs beyond the band, and the gate was there at all."""
        return self.flags > 0 and not self.beyond

    @property
    def times_less(self) -> float:
        """Full computation over work with the gate."""
        return self.of / max(1, self.computed)


def prove_gate(gated: Outcome, full: Outcome, band: float) -> GateProof:
    """Compare two replays of one recording, frame by frame."""
    pairs = [
        Pair(fault, one, other)
        for fault, flags in gated.flags.items()
        for one, other in zip(flags, full.flags.get(fault, ()), strict=True)
    ]
    differing = tuple(pair for pair in pairs if pair.gated.verdict != pair.full.verdict)
    return GateProof(
        flags=len(pairs),
        computed=sum(gated.computed.values()),
        of=sum(full.computed.values()),
        largest=max((pair.apart for pair in pairs if pair.apart is not None), default=0.0),
        differing=differing,
        beyond=tuple(pair for pair in differing if pair.apart is None or pair.apart > band),
    )


def gate_lines(proof: GateProof, band: float) -> Iterator[str]:
    """The proof for people."""
    yield "# Change gate"
    yield ""
    yield f"{proof.computed} tiles computed where {proof.of} are without the gate: {proof.times_less:.1f} times less work."
    yield (
        f"{proof.flags} verdicts compared: {len(proof.differing)} differ, {len(proof.beyond)} of them beyond the band of {band:g}; "
        f"the largest difference of two scores is {proof.largest:.4f}."
    )
    yield (
        ""
        if proof.holds
        else "\nThe gate DOES NOT HOLD on this recording: lower `change_levels` or `refresh_s`; `refresh_s = 0` computes every tile.\n"
    )
    for pair in proof.differing[:MOST_LINES]:
        yield f"- {timestamp(pair.gated.at_ns)} `{pair.fault}`: {_short(pair.gated)} with the gate, {_short(pair.full)} without"


def level_lines(proofs: Mapping[float, GateProof], band: float) -> Iterator[str]:
    """What other values of `change_levels` would spare on the same recording, and the highest up to which all of them hold."""
    yield ""
    yield f"| change_levels | times less work | verdicts that differ | beyond {band:g} | largest difference |"
    yield "|---|---|---|---|---|"
    highest = None
    for level, proof in sorted(proofs.items()):
        yield f"| {level:g} | {proof.times_less:.1f} | {len(proof.differing)} | {len(proof.beyond)} | {proof.largest:.4f} |"
    for level, proof in sorted(proofs.items()):
        if not proof.holds:
            break
        highest = level
    yield ""
    if highest is None:
        yield "None of them holds on this recording."
    else:
        yield f"Up to {highest:g} the gate holds on this recording; it says nothing of faults that are not in it."


def _short(flag: Seen) -> str:
    return flag.verdict if flag.score is None else f"{flag.verdict} {flag.score:.3f}"
