"""The ``[[rules]]`` of a site file: conditions on sensors, and which of their settings go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.frame import EXACT_BITS
from edge.parsing.toml_file import Section
from edge.site.kinds import Identifier, NotNegative, Positive
from edge.site.zones import zone_limit

LONGEST_SPAN_S = 2_592_000.0  # 30 days; nothing of it survives a restart
_NOT_STATISTICAL = frozenset(("rise", "fall", "bit_set", "bit_clear"))


class RuleSettings(Section):
    """One condition on one sensor, or on the difference or ratio of two: evidence for a fault. See docs/rules.md."""

    id: Identifier
    sensor: Identifier = Field(description="id of the sensor it reads")
    minus: Identifier | None = Field(
        default=None, description="id of a second sensor: the rule reads the difference, sensor minus this"
    )
    divided_by: Identifier | None = Field(
        default=None, description="id of a second sensor: the rule reads the ratio, sensor divided by this"
    )
    of: Literal["last", "mean", "std", "rms", "slope", "range", "count"] = Field(
        default="last",
        description="what is compared: the newest value, or a statistic of the values over `over_s`; slope is that of the least-squares line, in the unit "
        "per second; count is the number of readings",
    )
    over_s: Annotated[float, Field(ge=0.1, le=LONGEST_SPAN_S)] | None = Field(
        default=None, description="span of the statistic, by the source's own time, s"
    )
    min_known: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="of a span that is not known so far at least, the rule is unknown; known in part, it may show a fault and cannot clear one; a share, 0..1",
    )
    kind: Literal["above", "below", "outside", "rise", "fall", "equals", "differs", "bit_set", "bit_clear"] = Field(
        description="above/below: the quantity against the limit; outside: against two `limits`; rise/fall: its rate of change per second; equals/differs: it "
        "is the limit, or is not, to within the deadband; bit_set/bit_clear: one bit of a whole number"
    )
    limit: float | None = Field(
        default=None,
        description="limit, in the quantity's unit (rise/fall: unit per second, as a positive number; bits: the number of the bit, the lowest is 0)",
    )
    limits: tuple[float, float] | None = Field(
        default=None, description="outside: [low, high], the range that is no fault, same unit as limit"
    )
    vibration_zone: str | None = Field(
        default=None,
        description="above: in place of a limit, where a zone of ISO 20816 begins, mm/s RMS, e.g. `group-2-rigid/C`; docs/rules.md has the table",
    )
    deadband: NotNegative = Field(
        default=0.0,
        description="how far the quantity must return before the rule ends (hysteresis), same unit as limit",
    )
    window_s: Positive = Field(default=1.0, description="span over which rise/fall is measured, s")
    when: tuple[Identifier, ...] = Field(
        default=(),
        description="ids of rules that must all hold for this one to count, such as one that shows that the machine runs; readings that come meanwhile "
        "do not count either",
    )
    settle_s: NotNegative = Field(
        default=0.0, description="`when` must hold for so long before the rule counts, for transients of a start, s"
    )

    @property
    def numbers(self) -> tuple[float, float]:
        """The limit, and the upper one of `outside`; of other kinds both are the limit."""
        if self.limits is not None:
            return self.limits
        limit = zone_limit(self.vibration_zone) if self.vibration_zone is not None else self.limit
        assert limit is not None  # noqa: S101 - narrows the type: the validator asked for one of the three
        return limit, limit

    @property
    def other(self) -> str | None:
        """Id of the second sensor."""
        return self.minus if self.minus is not None else self.divided_by

    @model_validator(mode="after")
    def _possible(self) -> RuleSettings:
        problem = next(_problems(self), None)
        if problem is not None:
            raise ValueError(f"rule {self.id}: {problem}")
        return self


def _problems(rule: RuleSettings) -> Iterator[str]:
    """What cannot be of one rule, the first that matters first."""
    yield from _limit_problems(rule)
    if rule.of == "last" and rule.over_s is not None:
        yield "over_s is the span of a statistic: name one, e.g. of = 'mean', or leave it out"
    if rule.of != "last" and rule.over_s is None:
        yield f"of = {rule.of!r} needs its span: set over_s"
    if rule.of != "last" and rule.kind in _NOT_STATISTICAL:
        yield f"{rule.kind} is not asked of a statistic: use above or below, with of = 'slope' for a rate"
    if rule.minus is not None and rule.divided_by is not None:
        yield "minus and divided_by exclude each other: choose one"
    if rule.other == rule.sensor:
        yield f"it compares sensor {rule.sensor} with itself: name two sensors"
    if rule.settle_s > 0.0 and not rule.when:
        yield "settle_s counts from when the rules of `when` hold: name them, or leave settle_s out"


def _limit_problems(rule: RuleSettings) -> Iterator[str]:
    given = [name for name in ("limit", "limits", "vibration_zone") if getattr(rule, name) is not None]
    wanted = "limits" if rule.kind == "outside" else "limit"
    if wanted not in given and given != ["vibration_zone"]:
        yield f"kind = {rule.kind!r} needs {wanted}" + (" = [low, high]" if wanted == "limits" else "")
    if len(given) > 1:
        yield f"{' and '.join(given)} exclude each other: kind = {rule.kind!r} takes one"
    if rule.limits is not None and not rule.limits[0] <= rule.limits[1]:
        yield f"limits {list(rule.limits)} must be [low, high], the lower first"
    if rule.kind in {"bit_set", "bit_clear"} and rule.limit not in range(EXACT_BITS):
        yield f"limit {rule.limit} is no bit: {rule.kind} needs a whole number from 0 to {EXACT_BITS - 1}"
    if rule.vibration_zone is not None:
        if rule.kind != "above":
            yield f"vibration_zone says where a zone begins: use kind = 'above', not {rule.kind!r}"
        yield from _zone_problem(rule.vibration_zone)


def _zone_problem(name: str) -> Iterator[str]:
    try:
        zone_limit(name)
    except ValueError as error:
        yield str(error)
