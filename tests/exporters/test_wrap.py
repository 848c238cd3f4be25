"""A graph of somebody's own becomes a bundle: recorded normal readings set its thresholds, or it stays unarmed and says why."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.errors import ConfigError, EdgeError, ExportError, ProofFailed
from edge.record.readings import COLUMNS
from edge.replay.recorded import read_folder
from edge.replay.setup import backtest, site_for
from exporters.__main__ import main
from exporters.wrap import wrap
from tests.stand.bundles import mean_graph

NOW = datetime(2027, 1, 20, tzinfo=UTC)
BOARD = "x86-64-avx2"
RECIPE = """
name = "pump"
graph = "model.onnx"

[window]
name = "pump"
sensors = ["inlet", "outlet"]
period_ms = 1000
length = 8

[recording]
normal = ["normal"]
group = "hour"
false_alarm_bound = {bound}

[[faults]]
id = "leak"
faulty = {faulty}
"""


def record(folder: Path, values: list[float], *, first: datetime = NOW, sensors: tuple[str, ...] = ("inlet", "outlet")) -> None:  # fmt: skip
    """A reading of each sensor every second, as the daemon records them."""
    (folder / "readings").mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "readings" / f"{first:%Y%m%dT%H%M%S}.csv.gz", "wt", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for second, value in enumerate(values):
            at = (first + timedelta(seconds=second)).isoformat()
            for sensor in sensors:
                table.writerow({**dict.fromkeys(COLUMNS, at), "sensor": sensor, "value": value, "quality": "good"})


def plant(folder: Path, *, hours: int = 5, bound: float = 0.2, faulty: bool = True) -> Path:
    """A recipe, a graph that takes the mean of all cells over 10, and some minutes of each hour around 2, and a fault at 9."""
    noise = np.random.default_rng(0)
    for hour in range(hours):
        record(folder / "normal", (2.0 + noise.normal(0, 0.2, 120)).tolist(), first=NOW + timedelta(hours=hour))
    record(folder / "leaking", [9.0] * 60, first=NOW + timedelta(days=1))
    (folder / "model.onnx").write_bytes(mean_graph())
    recipe = folder / "pump.toml"
    recipe.write_text(RECIPE.format(bound=bound, faulty='["leaking"]' if faulty else "[]"), encoding="utf-8")
    return recipe


@pytest.mark.slow
def test_a_wrapped_graph_is_a_bundle_that_the_daemon_proves_and_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """Armed by five hours, with golden windows on both sides; replayed, all of the faulty recording reaches the threshold, and of the normal ones no more than was asked for."""
    assert main(["wrap", str(plant(tmp_path)), "--board", BOARD, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "in 5 groups (hour)" in said.err
    assert "faulty windows flagged: 100.0% of " in said.err
    bundle = open_bundle(Path(said.out.strip()))
    assert (bundle.path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    (fault,) = bundle.manifest.faults
    assert fault.armed
    assert 0.2 < fault.threshold < 0.25
    assert bundle.manifest.one_sided() == ()
    assert main(["verify", str(bundle.path)]) == 0
    assert "window pump: " in capsys.readouterr().out
    shares = []
    for folder in ("leaking", "normal"):
        outcome = backtest(site_for(bundle, None), bundle, read_folder(tmp_path / folder, (), 1.0))
        assert outcome.internal_errors == {}
        scores = [flag.score for flag in outcome.flags["leak"] if flag.score is not None]
        shares.append(sum(score >= fault.threshold for score in scores) / len(scores))
    assert shares[0] == 1.0
    assert shares[1] <= 0.2
    assert main(["wrap", str(tmp_path / "pump.toml"), "--board", BOARD, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip().endswith("pump-v2")


def test_with_too_few_groups_it_is_not_armed_and_says_how_many_are_missing(tmp_path: Path) -> None:
    """Windows of one hour are alike, so they count once; without a faulty recording no detection is claimed."""
    folder, lines = wrap(plant(tmp_path, hours=2, faulty=False), BOARD, tmp_path / "out", NOW)
    assert "NOT ARMED: 2 groups, and the bound of 0.2 needs 4. Record 2 more" in lines[1]
    (fault,) = open_bundle(folder).manifest.faults
    assert not fault.armed
    assert fault.threshold > 0.5
    assert fault.calibration is not None
    assert (fault.calibration.detection_measured, fault.calibration.false_alarm_measured) == (None, None)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), ConfigError, r"graph: .* is not there"),
        (lambda folder: (folder / "model.onnx").write_bytes(mean_graph(length=9)), ProofFailed, "Export the bundle again"),
        (lambda folder: (folder / "model.onnx").write_bytes(mean_graph(over=1.0)), ExportError, "Correct the graph"),
        (lambda folder: (folder / "normal").rename(folder / "elsewhere"), EdgeError, "is no folder"),
        (
            lambda folder: (folder / "pump.toml").write_text((folder / "pump.toml").read_text().replace('"outlet"', '"inlet"')),
            ConfigError, "sensors repeat",
        ),
        (
            lambda folder: (folder / "pump.toml").write_text((folder / "pump.toml").read_text().replace("1000", "60000")),
            ExportError, "fill no window",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_wrapped_is_told(tmp_path: Path, change: object, kind: type[EdgeError], said: str) -> None:
    """No graph, another graph, scores that are none, no recording, sensors twice, cells too long for what was recorded."""
    recipe = plant(tmp_path)
    assert callable(change)
    change(tmp_path)
    with pytest.raises(kind, match=said):
        wrap(recipe, BOARD, tmp_path / "out", NOW)
    assert not (tmp_path / "out").exists()
