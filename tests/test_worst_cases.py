"""Every parser is bounded before it works: its worst case costs less than one frame's budget, and no memory to speak of."""

from __future__ import annotations

import pytest

from tests.stand.worst_cases import BOUND_MB, Case, all_cases, bound_ms, cost_of


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_the_worst_case_of_each_parser_is_cheap(case: Case) -> None:
    """Processor time, not waiting: a busy machine does not change it; memory beyond the message itself."""
    cost = cost_of(case)
    assert cost.cpu_ms < bound_ms(), f"{cost.cpu_ms:.1f} ms: {cost.outcome}"
    assert cost.peak_mb < BOUND_MB, f"{cost.peak_mb:.1f} MB: {cost.outcome}"
