"""One percentile for every figure."""

from __future__ import annotations

import numpy as np
import pytest

from edge.units import percentile


@pytest.mark.parametrize("count", [1, 2, 20, 99, 100, 101, 4096])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95, 0.99, 1.0])
def test_a_percentile_is_the_nearest_rank(count: int, share: float) -> None:
    """It is one of the values, and the one that numpy's inverted distribution gives."""
    ordered = [index * index for index in range(count)]
    assert percentile(ordered, share) == np.percentile(ordered, 100 * share, method="inverted_cdf")
