"""The choice between candidates follows the measured numbers, and a wrong graph cannot pass."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import ExportError
from edge.manifest import Execution, Latency, Parity
from exporters.proof import verify


def _measured(scheme: str, p50: float, flips: int, allowed: int = 2, threads: int = 1) -> verify.Measured:
    latency = Latency(scope="infer", machine="m", runs=9, p50_ms=p50, p95_ms=p50, p99_ms=p50, max_ms=p50)
    parity = Parity(images=100, mean_abs=0.0, max_abs=0.0, flips=flips, verdicts=300, flips_allowed=allowed)
    execution = Execution(
        graph=f"{scheme}.onnx", provider="CPUExecutionProvider", intra_op_threads=threads, scheme=scheme
    )
    return verify.Measured(execution, 1000, latency, parity)


def test_the_fastest_that_keeps_the_verdicts_is_chosen() -> None:
    """Speed decides among those within tolerance only."""
    found = verify.choose(
        [_measured("float32", 10, 0), _measured("dynamic-int8", 6, 2), _measured("static-int8", 4, 3)]
    )
    assert [one.chosen for one in found] == [False, True, False]
    assert "3 of 300 verdicts flip, allowed 2" in found[2].verdict
    assert "1.67x as fast" in found[1].verdict


def test_slower_int8_is_said_with_both_numbers() -> None:
    """Users of quantization complain of exactly this: say it, with the figures."""
    found = verify.choose([_measured("float32", 10.04, 0), _measured("dynamic-int8", 12.13, 0)])
    assert found[0].chosen
    assert "int8 is slower than float32 here: 12.13 against 10.04 ms" in found[1].verdict


def test_no_candidate_within_tolerance_is_refused() -> None:
    """Nothing is packed when every candidate changes too many verdicts."""
    with pytest.raises(ExportError, match="5 of 300 verdicts flip"):
        verify.choose([_measured("static-int8", 4, 5)])


def test_swapped_fault_rows_are_caught_and_named() -> None:
    """A graph whose faults are swapped is refused, and the message says so."""
    reference = np.random.default_rng(0).uniform(0, 1, (20, 3)).astype(np.float32)
    swapped = reference[:, [1, 0, 2]]
    with pytest.raises(ExportError, match="rows are swapped"):
        verify.check_exact(["crack", "dent", "rust"], reference, swapped)
    verify.check_exact(["a", "b", "c"], reference, reference)


def test_flips_are_judged_at_each_graphs_own_threshold() -> None:
    """A shift of all scores together with the threshold flips nothing; against a fixed threshold it would."""
    reference = np.array([[0.4], [0.6]], np.float32)
    shifted = reference + np.float32(0.15)
    limit = np.array([0.5], np.float32)
    assert verify.compare(reference, shifted, limit, limit + np.float32(0.15), 0.5).flips == 0
    fixed = verify.compare(reference, shifted, limit, limit, 0.5)
    assert (fixed.flips, fixed.flips_allowed, fixed.verdicts) == (1, 1, 2)


def test_golden_pictures_are_spread_and_of_both_kinds() -> None:
    """The choice covers faulty and normal pictures, without repeats, and is the same every time."""
    random = np.random.default_rng(3)
    scores = random.uniform(0, 1, (30, 2)).astype(np.float32)
    labels = np.zeros((30, 2), np.bool_)
    labels[:5, 0] = True
    chosen = verify.pick_golden(scores, labels, 6)
    assert len(set(chosen)) == 6
    assert {bool(labels[index].any()) for index in chosen} == {True, False}
    assert chosen == verify.pick_golden(scores, labels, 6)
    assert len(verify.pick_golden(scores[:3], labels[:3], 8)) == 3


def test_golden_inputs_that_cannot_tell_faults_apart_are_named() -> None:
    """A proof that a swapped graph would pass is no proof."""
    golden = np.array([[0.1, 0.9, 0.12], [0.2, 0.3, 0.19]], np.float32)
    assert verify.indistinct(golden, 0.05) == [(0, 2)]


def test_rounding_at_the_threshold_is_no_flip() -> None:
    """A score that lies on its threshold turns by its last digit; one that moved further is a flip, however near it lies."""
    limit = np.array([0.5], np.float32)
    reference = np.array([[0.5], [0.9]], np.float32)
    assert verify.compare(reference, reference - np.float32(5e-5), limit, limit, 0.0).flips == 0
    assert verify.compare(reference, reference - np.float32(2e-4), limit, limit, 0.0).flips == 1


def test_float32_is_not_advised_where_it_failed() -> None:
    """The message offers what has not been tried."""
    with pytest.raises(ExportError, match="add float32 to"):
        verify.choose([_measured("static-int8", 4, 5)])
    with pytest.raises(ExportError) as caught:
        verify.choose([_measured("float32", 4, 5)])
    assert "add float32" not in str(caught.value)
    assert "raise tolerance.flips_share" in str(caught.value)


def test_golden_pictures_stand_on_both_sides_of_each_armed_threshold() -> None:
    """As near to it as is sure on every device, whatever else there is; a side without a sure picture has none, an unarmed fault needs none."""
    scores = np.array([[0.95, 0.1], [0.62, 0.2], [0.51, 0.3], [0.48, 0.35], [0.42, 0.2], [0.1, 0.9]], np.float32)
    limits = np.array([0.5, 0.5])
    both = verify.pick_straddling(scores, limits, np.array([True, True]), 0.05)
    assert both == [1, 4, 5, 3]
    assert verify.pick_straddling(scores, limits, np.array([True, False]), 0.05) == [1, 4]
    assert verify.pick_straddling(scores, np.array([0.94, 0.5]), np.array([True, False]), 0.05) == [1]
    labels = np.array([[True], [True], [True], [False], [False], [False]])
    chosen = verify.pick_golden(scores, labels, 5, both)
    assert chosen[:4] == both
    assert len(set(chosen)) == 5
