"""`backtest` as an engineer uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from edge.__main__ import main as daemon
from edge.inference.change import ChangeGate
from edge.inference.preprocess import encode_jpeg
from exporters.__main__ import main as export
from tests.edge.bench import DARK, RED
from tests.stand.bundles import colour_bundle

SITE = """
[node]
id = "press7"
[[cameras]]
id = "cam1"
picture = { frozen_after_ms = 0 }
[[faults]]
id = "red"
camera = "cam1"
[faults.alarm]
severity = 700
message = "Red"
operator_action = "Look"
consequence = "Scrap"
on_delay_ms = 1500
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """How red, green and blue a picture is."""
    colour_bundle(tmp_path / "colours")
    return tmp_path / "colours"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Twenty seconds, a picture each: red for one second, and later for four."""
    folder = tmp_path / "recording"
    folder.mkdir()
    for number in range(20):
        red = number in {3, 4, 10, 11, 12, 13}
        (folder / f"20270115T0800{number:02d}Z.jpg").write_bytes(RED if red else DARK)
    return folder


def test_the_report_says_what_would_have_been_raised_and_why_not(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the site's own delay the short stretch raises nothing, and the reason stands beside it."""
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--config", str(tmp_path / "site.toml")]
    assert daemon(arguments) == 0
    text = capsys.readouterr().out
    assert "20 flags, 6 faulty, 0 unknown; **1 alarms**" in text
    assert "it lasted 1.0 s, and on_delay_ms is 1500" in text
    assert "| (now)" not in text
    assert "(now) |" in text


def test_many_thresholds_are_tried_for_a_slider(bundle: Path, recording: Path, tmp_path: Path) -> None:
    """Each with every delay, the one that holds now among them; the counts are those of the report."""
    table = tmp_path / "thresholds.json"
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--out", str(tmp_path / "report.md")]
    assert daemon([*arguments, "--thresholds", str(table)]) == 0
    red = next(fault for fault in json.loads(table.read_text())["faults"] if fault["id"] == "red")
    now = [row for row in red["rows"] if row[0] == red["threshold"]]
    assert [row[1:3] for row in now[:2]] == [[0.0, 2], [0.5, 2]]
    assert [row[2] for row in now] == sorted((row[2] for row in now), reverse=True)
    assert (red["flags"], red["unknown"]) == (20, 0)
    assert all(low <= count / red["days"] <= high for _, _, count, low, high in red["rows"])


def test_a_backtest_is_under_the_profile_that_is_named(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By default under the first; one that the site does not have is refused with those that there are."""
    profiles = '[[profiles]]\nid = "large"\n[[profiles]]\nid = "small"\nthresholds = { red = 1.0 }\n'
    (tmp_path / "site.toml").write_text(SITE + profiles, encoding="utf-8")
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--config", str(tmp_path / "site.toml")]
    assert daemon(arguments) == 0
    assert "20 flags, 6 faulty, 0 unknown; **1 alarms**" in capsys.readouterr().out
    assert daemon([*arguments, "--profile", "small"]) == 0
    assert "20 flags, 0 faulty, 0 unknown; **0 alarms**" in capsys.readouterr().out
    assert daemon([*arguments, "--profile", "huge"]) == 2
    assert "'huge': the site file has large, small" in capsys.readouterr().err


def test_both_programs_give_the_same_and_so_do_several_processes(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As data, to the last digit."""
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--json"]
    assert daemon(arguments) == 0
    one = json.loads(capsys.readouterr().out)
    assert export([*arguments, "--workers", "2", "--out", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text()) == one
    assert len(one[0]["flags"]["red"]) == 20


def test_another_bundle_is_compared(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each flag that differs is counted."""
    colour_bundle(tmp_path / "other", version=2)
    assert daemon(["backtest", str(bundle), "--recording", str(recording), "--against", str(tmp_path / "other")]) == 0
    text = capsys.readouterr().out
    assert "# Against" in text
    assert "| `red` | 2 | 2 | 0 of 20 |" in text


def test_what_makes_no_sense_is_refused(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No processes, a rate of nothing, a file that cannot be written."""
    arguments = ["backtest", str(bundle), "--recording", str(recording)]
    assert daemon([*arguments, "--workers", "0"]) == 2
    assert daemon([*arguments, "--fps", "0"]) == 2
    assert daemon([*arguments, "--out", str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err


TILED = """
[node]
id = "press7"
[[cameras]]
id = "cam1"
picture = { frozen_after_ms = 0 }
[[cameras.regions]]
id = "web"
box = [0.0, 0.0, 1.0, 1.0]
tiles = { columns = 4, rows = 2, overlap = 0.0 }
[[faults]]
id = "red"
camera = "cam1"
region = "web"
"""


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Forty pictures of a camera with some noise; a red part passes through the lower row."""
    folder, rng = tmp_path / "line", np.random.default_rng(0)
    folder.mkdir()
    for number in range(40):
        rgb = np.full((128, 256, 3), 90.0) + rng.normal(0.0, 3.0, (128, 256, 3))
        if 20 <= number < 32:
            left = 16 * (number - 20)
            rgb[64:, left : left + 64] = (250, 10, 10)
        (folder / f"20270115T0800{number:02d}Z.jpg").write_bytes(encode_jpeg(np.clip(rgb, 0, 255).astype(np.uint8)))
    return folder


@pytest.mark.slow
def test_the_change_gate_is_proven_on_a_recording(
    bundle: Path, line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With it much less is computed, and every verdict is the one of full computation."""
    (tmp_path / "site.toml").write_text(TILED, encoding="utf-8")
    arguments = ["backtest", str(bundle), "--recording", str(line), "--config", str(tmp_path / "site.toml")]
    assert export([*arguments, "--gate", "0.05"]) == 0
    text = capsys.readouterr().out
    found = re.search(r"(\d+) tiles computed where (\d+) are without the gate", text)
    assert found is not None
    computed, full = map(int, found.groups())
    assert full == 40 * 8
    assert computed < full / 2
    assert "40 verdicts compared: 0 differ, 0 of them beyond the band of 0.05" in text
    assert "40 flags, 12 faulty, 0 unknown" in text
    assert "Up to 24 the gate holds on this recording" in text


@pytest.mark.slow
def test_a_gate_that_would_change_a_verdict_fails(
    bundle: Path, line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one that is blind; the report names each verdict that differs."""
    (tmp_path / "site.toml").write_text(TILED, encoding="utf-8")
    monkeypatch.setattr(ChangeGate, "change", lambda _self, _tile: 0.0)
    arguments = ["backtest", str(bundle), "--recording", str(line), "--config", str(tmp_path / "site.toml")]
    assert export([*arguments, "--gate", "0.05"]) == 1
    text = capsys.readouterr().out
    assert "DOES NOT HOLD" in text
    assert re.search(r"`red`: ok 0\.3\d\d with the gate, fault 0\.\d+ without", text)


def test_there_must_be_a_gate_to_prove(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A site without tiles has none, and a band is a difference of scores."""
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--config", str(tmp_path / "site.toml")]
    assert daemon([*arguments, "--gate", "0.05"]) == 2
    assert "no region of this site has `tiles`" in capsys.readouterr().err
    assert daemon([*arguments, "--gate", "1.5"]) == 2
    assert daemon([*arguments, "--gate", "0.05", "--json"]) == 2


def test_the_report_is_also_a_page_that_opens_anywhere(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the pictures that scored highest inside, and no link to anything."""
    out, html = tmp_path / "report.md", tmp_path / "report.html"
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--out", str(out), "--html", str(html)]
    assert export(arguments) == 0
    page = html.read_text(encoding="utf-8")
    assert page.count("<img") == 3 * 6
    assert "20270115T080003Z.jpg" in page
    assert "<td>" in page
    assert "exact 95 % interval" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert out.read_text(encoding="utf-8").startswith("# Backtest")
    assert export([*arguments, "--json"]) == 1
    assert "choose one" in capsys.readouterr().err
    assert export([*arguments[:-1], str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_state_folder_of_the_site_is_no_matter(
    bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay keeps nothing there, and that is no alarm of the device."""
    text = SITE.replace('id = "press7"', 'id = "press7"\nstate_dir = "state"')
    text = text.replace("picture =", "evidence = true\ncollect = true\npicture =")
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    arguments = ["backtest", str(bundle), "--recording", str(recording), "--config", str(tmp_path / "site.toml")]
    assert daemon(arguments) == 0
    assert "node-storage" not in capsys.readouterr().out
    assert not (tmp_path / "state").exists()
