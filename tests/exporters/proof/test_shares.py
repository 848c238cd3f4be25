"""Shares promise no more than their pictures can tell."""

from __future__ import annotations

import pytest

from exporters.proof.shares import Share, cell, exact_interval, pictures_to_show


def test_exact_intervals_of_known_shares() -> None:
    """None of ten may be up to 31 %, all of ten down to 69 %, and half of twenty lies between 27 and 73 %."""
    assert exact_interval(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-3)
    assert exact_interval(10, 10) == pytest.approx((0.6915, 1.0), abs=1e-3)
    assert exact_interval(10, 20) == pytest.approx((0.2720, 0.7280), abs=1e-3)
    assert exact_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("found", [0, 1, 2000, 3999, 4000])
def test_a_share_lies_in_its_interval_at_any_size(found: int) -> None:
    """Thousands of pictures neither overflow nor lose the share itself."""
    low, high = exact_interval(found, 4000)
    assert 0 <= low <= found / 4000 <= high <= 1
    assert high - low < 0.035


def test_a_surer_interval_is_wider() -> None:
    """A rarer miss needs more room on both sides."""
    usual, sure = exact_interval(15, 20), exact_interval(15, 20, rare=0.005)
    assert sure[0] < usual[0] < usual[1] < sure[1]


def test_a_share_is_told_with_its_number_and_interval() -> None:
    """Perfect detection of three pictures does not read like one of three hundred; what was not measured is a dash."""
    assert str(Share(3, 3)) == "100.0% of 3 (29.2% to 100.0%)"
    assert str(Share(300, 300)) == "100.0% of 300 (98.8% to 100.0%)"
    assert cell(Share.of(None, 5)) == cell(Share.of(0.5, 0)) == "-"
    assert Share.of(2 / 3, 3) == Share(2, 3)


@pytest.mark.parametrize("bound", [0.001, 0.02, 0.3])
def test_so_many_quiet_pictures_show_a_bound_and_one_fewer_do_not(bound: float) -> None:
    """The number agrees with the interval that it is about."""
    count = pictures_to_show(bound)
    assert exact_interval(0, count)[1] <= bound < exact_interval(0, count - 1)[1]
