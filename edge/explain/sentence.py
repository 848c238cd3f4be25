"""Puts the facts of one occurrence into one sentence: what, where, how sure; pure.

It informs a person and is evidence for nothing: no verdict, quality or alarm ever reads it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from edge.frame import Verdict

LONGEST = 600  # characters of a model's text
TREND = 0.1  # a score that moved less in about a second did not change
MADE = "machine-made"  # a display may show the text alone
_RULES = {Verdict.FAULT: "agrees", Verdict.OK: "does not agree", Verdict.UNKNOWN: "has no data"}


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts at the moment when the alarm was raised.

    Attributes:
        title: the fault, for people.
        camera: whose picture shows it; None: sensors only.
        score, limit: of the picture, 0..1.
        earlier: the score about a second before; None: no frame then.
        rank, of: its place among the faults that the camera looks for, by how far each is above its limit; 1 is the highest.
        ahead: title of the fault with the next higher score.
        rules: verdicts of the fault's sensor rules, by id.
        explained_by: of what is only unlike the normal pictures, titles of the named faults that the same camera shows; None: it has a name.
        false_alarms: share that the bundle flagged of the good pictures that its export kept for testing.
    """

    title: str
    camera: str | None = None
    score: float | None = None
    limit: float | None = None
    earlier: float | None = None
    rank: int | None = None
    of: int = 0
    ahead: str | None = None
    rules: tuple[tuple[str, Verdict], ...] = ()
    false_alarms: float | None = None
    explained_by: tuple[str, ...] | None = None


def confidence(score: float | None, limit: float | None) -> float | None:
    """How far a score is above its limit: 0 at the limit, 1 at the highest score there is."""
    if score is None or limit is None:
        return None
    return round(max(0.0, min(1.0, (score - limit) / max(1.0 - limit, 1e-6))), 3)


def template(facts: Facts, where: str | None) -> str:
    """The sentence that needs no model."""
    place = "" if facts.camera is None else f" on camera {facts.camera}"
    if where is not None:
        place += f", {where} of the picture"
    parts = [*_score(facts), *_named(facts), *_rank(facts), *_trend(facts)]
    parts += [f"sensor rule {name} {_RULES[verdict]}" for name, verdict in facts.rules]
    if facts.false_alarms is not None and facts.score is not None:
        share = f"{100 * facts.false_alarms:.2g} % of" if facts.false_alarms > 0 else "none of"
        parts.append(f"{share} the good pictures kept for testing were flagged at export")
    return f"{facts.title}{place}" + (f": {'; '.join(parts)}" if parts else "") + f" ({MADE})"


def generated(text: str, facts: Facts, where: str | None) -> str:
    """A model's text, marked as such, followed by how sure the flag is."""
    return f'The model says "{text}" {template(facts, where)}'


def clean(text: str) -> str:
    """A model's words, fit to be shown: one line, no control characters, a bounded length, a full stop; empty when nothing is left."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    visible = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in line)
    shown = " ".join(visible.split())[:LONGEST].rstrip()
    if not any(sign.isalnum() for sign in shown):
        return ""
    return shown if shown.endswith((".", "!", "?")) else f"{shown}."


def _score(facts: Facts) -> list[str]:
    sure = confidence(facts.score, facts.limit)
    if sure is None:
        return []
    how = "just above" if sure < 0.25 else "above" if sure < 0.6 else "well above"
    if facts.score is not None and facts.limit is not None and facts.score < facts.limit:
        how = "now below"
    return [f"score {facts.score:.2f}, {how} its limit {facts.limit:.2f}"]


def _named(facts: Facts) -> list[str]:
    if facts.explained_by is None:
        return []
    if not facts.explained_by:
        return ["no named fault explains it"]
    return [f"explained by {' and '.join(facts.explained_by)} on the same picture"]


def _rank(facts: Facts) -> list[str]:
    if facts.rank is None or facts.of < 2:
        return []
    if facts.rank == 1:
        return [f"highest of {facts.of} faults"]
    return [f"number {facts.rank} of {facts.of} faults" + (f", {facts.ahead} scores higher" if facts.ahead else "")]


def _trend(facts: Facts) -> list[str]:
    if facts.score is None or facts.earlier is None:
        return []
    if abs(facts.score - facts.earlier) < TREND:
        return ["steady"]
    return [f"{'up' if facts.score > facts.earlier else 'down'} from {facts.earlier:.2f} a second before"]
