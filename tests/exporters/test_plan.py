"""A plan follows the model's size, the board and the images, and warns before work is wasted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import ExportError
from exporters.device import load_device
from exporters.families.smolvlm import SmolVlm
from exporters.job import MIB, Job, prepare
from exporters.model import Checkpoint, Geometry, StreamPlan
from exporters.plan import Plan, latency_ms, make_plan, plan_build, size_bytes
from tests.exporters.conftest import BOARD, job_for
from tests.stand import tiny_checkpoints as tiny

VIT_B = Geometry(matmul_parameters=85_000_000, other_parameters=1_000_000, flop=35.1e9)


def _plan(job: Job, geometry: Geometry, **images: int) -> Plan:
    return make_plan(replace(job, geometry=geometry), images)


def test_vit_b_takes_what_was_measured() -> None:
    """ViT-B/16 at 224 px: 0.56-0.70 s float32 and 0.27-0.42 s int8 on one AVX2 core, 328 MiB and about 91."""
    _, board = load_device(BOARD)
    assert 500 < latency_ms(VIT_B, board, "float32", 1) < 750
    assert 270 < latency_ms(VIT_B, board, "dynamic-int8", 1) < 460
    assert size_bytes(VIT_B, "float32") / MIB == pytest.approx(328, rel=0.05)
    assert size_bytes(VIT_B, "static-int8") / MIB == pytest.approx(88, rel=0.1)


def test_more_images_take_longer_and_more_memory(site: Path, siglip: Path) -> None:
    """Both estimates grow with what has to be done."""
    job = job_for(site, siglip.name)
    few, many = _plan(job, VIT_B, normal=50), _plan(job, VIT_B, normal=500)
    assert many.seconds > few.seconds + 100
    assert many.peak_memory_mib > few.peak_memory_mib


def test_folds_take_their_time(site: Path, siglip: Path) -> None:
    """Four members on three quarters of fit and calibrate each take 4.2 times as long as one head on the fit half; the steps name them."""
    one, four = (
        _plan(
            job_for(site, siglip.name, f'head = {{ kind = "fitted", grain = 1, folds = {count} }}'), VIT_B, normal=200
        )
        for count in (1, 4)
    )
    base = _plan(job_for(site, siglip.name, 'head = { kind = "fitted", epochs = 1 }'), VIT_B, normal=200)
    assert four.seconds - base.seconds == pytest.approx(4.2 * (one.seconds - base.seconds), rel=0.05)
    assert any("4 members" in step for step in four.steps)


def test_what_cannot_work_is_said_first(site: Path, siglip: Path) -> None:
    """Too slow for the budget, too large for the board, and no images: each is a warning of its own."""
    job = job_for(site, siglip.name)
    huge = Geometry(matmul_parameters=4_000_000_000, other_parameters=0, flop=8e12)
    said = " ".join(_plan(job, huge).warnings)
    for words in ("above the budget", "more than half", "no site images"):
        assert words in said
    assert [warning.partition(":")[0] for warning in _plan(job, job.geometry, normal=90).warnings] == [
        "there are no pictures of crack, dent"
    ]


def test_what_will_not_be_armed_is_said_with_what_is_missing(site: Path, siglip: Path) -> None:
    """Before the work: the bound needs so many pictures, so many calibrate, so many are missing; with them it is not said."""
    job = job_for(site, siglip.name)  # a bound of 5 % needs 19; 70 % of the pictures calibrate
    said = " ".join(_plan(job, job.geometry, normal=20).warnings)
    assert (
        "no fault will be armed (crack, dent): a false-alarm bound of 0.05 needs 19 normal pictures that calibrate"
        in said
    )
    assert "70% of 20 pictures do: 8 more are missing" in said
    assert "armed" not in " ".join(_plan(job, job.geometry, normal=28).warnings)


def test_a_generative_checkpoint_is_offered_resolutions(tmp_path: Path) -> None:
    """The table names every edge that the tower takes, cheaper ones faster, and marks the recipe's own; a dual encoder has no such table."""
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    recipe = 'name = "x"\ncheckpoint = "smolvlm"\ngenerative = { resolution_px = 32 }\n[[faults]]\nid = "a"\ntitle = "A"\nwords = ["a"]\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    plan = plan_build(prepare(tmp_path / "recipe.toml", BOARD))
    assert [one.edge_px for one in plan.resolutions] == [64, 32]
    assert [one.chosen for one in plan.resolutions] == [False, True]
    assert plan.resolutions[0].latency_ms > plan.resolutions[1].latency_ms
    assert any("32 (this recipe)" in line for line in plan.lines())


def test_a_dual_encoder_is_offered_none(site: Path, siglip: Path) -> None:
    """Its position table has one size."""
    job = job_for(site, siglip.name)
    assert not any("resolution_px" in line for line in plan_build(job).lines())


def test_what_the_board_cannot_hold_is_refused(site: Path, siglip: Path) -> None:
    """The smallest graph alone is larger than the memory: no build is begun."""
    job = job_for(site, siglip.name)
    with pytest.raises(ExportError, match=r"smallest graph is estimated at 6\d\d\d MiB.* has 4096 MiB"):
        _plan(job, Geometry(matmul_parameters=7_000_000_000, other_parameters=0, flop=8e12))


def test_memory_to_run_and_to_build_are_told_apart(site: Path, siglip: Path) -> None:
    """Each candidate's memory is shown; the build's peak holds what is timed together, or one of them where that is too much."""
    job = job_for(site, siglip.name)
    plan = _plan(job, VIT_B, normal=90)
    floats = next(option for option in plan.options if option.scheme == "float32")
    assert 400 < floats.running_bytes / MIB < 550, "459 MiB were measured for 324 MiB of products"
    assert f"{floats.running_bytes / MIB:.0f}" in next(line for line in plan.lines() if "float32 x1" in line)
    assert "running MiB" in "".join(plan.lines())

    class Streamed(SmolVlm):
        def stream_plan(self, checkpoint: Checkpoint, scheme: str) -> StreamPlan:  # noqa: ARG002 - the seam's form
            return StreamPlan(1, 3 * 2**30, 2**30, 100.0, 4 * 2**30, 2**28)

    large = Geometry(matmul_parameters=3_000_000_000, other_parameters=0, flop=8e12)
    streamed = replace(job, geometry=large, family=Streamed())
    one, all_held = (make_plan(streamed, {}, machine_mib=machine_mib) for machine_mib in (16_000, 100_000))
    least = max(option.running_bytes for option in one.options) / MIB
    assert one.export_memory_mib == all_held.export_memory_mib < least
    assert least < one.peak_memory_mib < all_held.peak_memory_mib
