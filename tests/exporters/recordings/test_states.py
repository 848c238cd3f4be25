"""Operating states are proposed where a sensor has levels with gaps between them, and nothing is proposed where it has not."""

from __future__ import annotations

import numpy as np
import pytest

from exporters.recordings.states import find_states


def levels(*at: float, spread: float = 1.0, count: int = 500) -> np.ndarray:
    """Values around some levels, and a few on the way from one to the next."""
    noise = np.random.default_rng(0)
    way = np.linspace(at[0], at[-1], 5)
    return noise.permutation(np.r_[np.concatenate([noise.normal(level, spread, count) for level in at]), way, np.nan])


@pytest.mark.parametrize("at", [(10.0, 60.0), (0.0, 40.0, 90.0), (0.0, 40.0, 90.0, 400.0)])
def test_two_to_four_levels_are_found_with_an_edge_between_them(at: tuple[float, ...]) -> None:
    """A few values on the way do not join them."""
    found = find_states(levels(*at))
    assert found is not None
    assert len(found.ranges) == len(at)
    for edge, low, high in zip(found.edges, at[:-1], at[1:], strict=True):
        assert low + 5 < edge < high - 5
    assert sum(found.shares) == pytest.approx(1.0)


def test_the_scale_of_the_sensor_does_not_matter() -> None:
    """Levels of a thousandth have edges with enough digits."""
    found = find_states(levels(10.0, 60.0) / 1000)
    assert found is not None
    assert 0.02 < found.edges[0] < 0.05


@pytest.mark.parametrize("values", [levels(10.0), levels(10.0, 14.0), np.linspace(0, 100, 1000), np.full(50, 3.0), np.array([1.0, np.nan])])  # fmt: skip
def test_where_there_is_no_gap_nothing_is_proposed(values: np.ndarray) -> None:
    """One level, two that overlap, a drift, a constant, too few values."""
    assert find_states(values) is None


def test_a_rare_level_is_no_state() -> None:
    """One in a hundred is a start, not a way to run."""
    assert find_states(np.r_[levels(10.0, count=1000), np.full(10, 500.0)]) is None


def test_the_proposal_is_a_line_of_the_recipe() -> None:
    """With what a person needs to agree."""
    found = find_states(levels(10.0, 60.0))
    assert found is not None
    seen, line = found.lines("speed")
    assert seen.startswith("speed has 2 states: ")
    assert "50 % of the time" in seen
    assert line.endswith("edges = [35]")
