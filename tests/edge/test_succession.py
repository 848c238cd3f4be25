"""No way back and no silent loss of sight: what a bundle must be to follow another; what is said of it is tried in tests/live/test_reload.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.bundle import open_bundle
from edge.errors import ProofFailed
from edge.plan import Plan, make_plan
from edge.site.settings import Site
from edge.succession import MAX_NAMES, Record, disarmed, refuse_weaker, watched, weaknesses
from tests.stand.bundles import COLOURS, colour_bundle, fault

ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap"}
RED_ONLY = ({"id": "alarm", "camera": "cam", "vision": "red"},)


def plan(folder: Path, asked: tuple[dict[str, Any], ...] = (), **changes: Any) -> Plan:
    """The colour bundle joined with a site of one camera; a site without faults of its own asks for all of the bundle."""
    colour_bundle(folder, **changes)
    site = {
        "bundle": folder, "node": {"id": "n"}, "cameras": ({"id": "cam"},), "faults": asked, "runtime": {"allow_other_board": True},
    }  # fmt: skip
    return make_plan(Site.model_validate(site), open_bundle(folder))


def faults(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The faults of the colour bundle, some of them changed."""
    return [fault(colour, **changes.get(colour, {})) for colour in COLOURS]


@pytest.mark.parametrize(
    ("changed", "name", "told"),
    [
        ({"red": {"threshold": 1.0}}, "red", "rises from 0.8 to 1"),
        ({"red": {"threshold": 0.801}}, "red", "rises from 0.8 to 0.801"),
        ({"blue": {"armed": False}}, "blue", "not armed"),
        ({"red": {"words": ["a blue"]}, "blue": {"words": ["a red"]}}, "red", "asks now what blue asked"),
        ({"blue": {"threshold": 0.0, "release": 0.0}}, "blue", "no golden input proves"),
    ],
)
def test_what_watches_less_closely_is_found(
    tmp_path: Path, changed: dict[str, dict[str, Any]], name: str, told: str
) -> None:
    """A higher threshold, a disarmed fault, swapped questions, a threshold that nothing proves: each by the fault's name."""
    before = watched(plan(tmp_path / "a"))
    assert told in weaknesses(before, plan(tmp_path / "b", faults=faults(**changed)))[name]


DEAF = {"threshold": 0.97, "release": 0.9}  # green's golden inputs score 0.5 at most, red's 1.0


def test_a_threshold_that_nothing_reaches_is_disarmed(tmp_path: Path) -> None:
    """Also where no bundle ran before: there is no alarm that could never come, and the reason is told by the fault's name."""
    asked = tuple({"id": name, "camera": "cam", "vision": name, "alarm": ALARM} for name in ("red", "green"))
    first = plan(tmp_path / "a", asked, faults=faults(green=DEAF, red=DEAF, blue=DEAF))
    assert {channel.id: channel.armed for channel in first.channels} == {"red": True, "green": False}
    assert [entry.spec.id for entry in first.alarms if entry.kind == "process"] == ["red"]
    assert disarmed(first) == {"green": "no golden input reaches its threshold of 0.97, so it is disarmed"}
    before = watched(plan(tmp_path / "b", asked))
    assert (
        weaknesses(before, first)["green"]
        == "its threshold rises from 0.8 to 0.97, and it is not armed, so it raises no alarm"
    )


def test_a_threshold_that_a_golden_input_could_prove_stays_armed(tmp_path: Path) -> None:
    """A bundle of few pictures, and one whose bundle says itself that it is not armed, are no matter."""
    assert disarmed(plan(tmp_path / "a", faults=faults(green={"threshold": 0.95}))) == {}
    assert disarmed(plan(tmp_path / "b", faults=faults(green={**DEAF, "armed": False}))) == {}


def test_what_watches_as_closely_or_more_is_no_matter(tmp_path: Path) -> None:
    """Lower thresholds, a fault that is newly armed, other words: no loss of sight."""
    before = watched(plan(tmp_path / "a", faults=faults(blue={"armed": False})))
    better = faults(red={"threshold": 0.7}, green={"words": ["lime"]}, blue={"threshold": 0.75})
    assert weaknesses(before, plan(tmp_path / "b", faults=better)) == {}


def test_a_fault_that_the_bundle_lost_counts_and_one_that_the_site_gave_up_does_not(tmp_path: Path) -> None:
    """The site file is the operator's own word; a bundle's contents are not."""
    before = watched(plan(tmp_path / "a"))
    renamed = [fault("red"), fault("green"), fault("indigo", words=["a blue"])]
    assert weaknesses(before, plan(tmp_path / "b", faults=renamed)) == {"blue": "it is gone"}
    assert weaknesses(before, plan(tmp_path / "c", RED_ONLY, faults=renamed)) == {}


def test_only_what_is_named_is_accepted() -> None:
    """Each weaker fault by its id, and the refusal says how to ask."""
    found = {"red": "its threshold rises from 0.8 to 1", "blue": "it is gone"}
    with pytest.raises(ProofFailed, match=r'red: its threshold.*blue: it is gone.*weaker = \["red", "blue"\]'):
        refuse_weaker(found, ())
    with pytest.raises(ProofFailed, match=r'weaker = \["blue"\]'):
        refuse_weaker(found, ("red", "green"))
    refuse_weaker(found, ("blue", "red"))
    refuse_weaker({}, ())


def test_the_highest_version_of_each_name_is_remembered(tmp_path: Path) -> None:
    """A detour over another name is no way back, and keeping the record over a restart is none either."""
    record = Record()
    for version, name in ((5, "line"), (1, "other"), (4, "line")):
        record = record.after(plan(tmp_path / f"{name}{version}", name=name, version=version), named=False)
    record = Record.from_dict(record.to_dict())
    for named in (True, False):
        with pytest.raises(ProofFailed, match="line version 4 is older than version 5"):
            record.refuse_older(open_bundle(tmp_path / "line4").manifest, named=named)
        record.refuse_older(open_bundle(tmp_path / "line5").manifest, named=named)
        record.refuse_older(open_bundle(tmp_path / "other1").manifest, named=named)


def test_what_a_command_named_does_not_bind_the_next_start(tmp_path: Path) -> None:
    """It ran until the restart; the site file's own bundle must come back by itself, and no command may go back to it meanwhile."""
    own, tried = plan(tmp_path / "own", version=5), plan(tmp_path / "tried", version=6)
    record = Record().after(own, named=False).after(tried, named=True)
    assert own.bundle is not None
    record.refuse_older(own.bundle.manifest, named=False)
    with pytest.raises(ProofFailed, match="older than version 6"):
        record.refuse_older(own.bundle.manifest, named=True)


def test_the_record_stays_small(tmp_path: Path) -> None:
    """Who may send commands can make up names; the oldest are forgotten."""
    names = {f"n{index}": 1 for index in range(MAX_NAMES)}
    record = Record(names, names).after(plan(tmp_path, name="line"), named=False)
    assert len(record.newest) == MAX_NAMES
    assert record.newest["line"] == 1
    assert "n0" not in record.newest


@pytest.mark.parametrize("kept", [None, {}, [], {"newest": {"line": "many"}}, {"watched": {"red": 3}}, "x"])
def test_a_record_that_cannot_be_read_is_an_empty_one(kept: object) -> None:
    """A damaged record keeps no device from starting."""
    assert Record.from_dict(kept) == Record()
