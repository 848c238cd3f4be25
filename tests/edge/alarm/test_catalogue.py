"""The alarms that a site has, and that each has a name of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.bundle import open_bundle
from edge.console.inspection import check_site
from edge.errors import ConfigError
from edge.plan import make_plan
from edge.site.settings import Site
from tests.stand.bundles import colour_bundle

ALARM = {"severity": 700, "message": "m", "operator_action": "o", "consequence": "c"}


def site(folder: Path, **changes: Any) -> Site:
    """One camera, one sensor."""
    base: dict[str, Any] = {
        "bundle": folder,
        "node": {"id": "n"},
        "cameras": ({"id": "cam1", "budget_ms": 10_000.0},),
        "sensors": ({"id": "vibration"},),
        "runtime": {"allow_other_board": True},
        "faults": ({"id": "red", "camera": "cam1", "alarm": ALARM},),
    }
    return Site.model_validate(base | changes)


def named(identity: str, **more: Any) -> dict[str, Any]:
    """A fault of that id."""
    return {"faults": ({"id": identity, "camera": "cam1", "vision": "red"} | more,)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "name", "owners"),
    [
        pytest.param({"sensors": ({"id": "cam1"},)}, "cam1-silent", ("camera cam1", "sensor cam1"), id="two sources"),
        pytest.param(
            named("cam1-covered", alarm=ALARM), "cam1-covered", ("camera cam1", "fault cam1-covered"), id="alarm"
        ),
        pytest.param(named("cam1-covered"), "cam1-covered", ("camera cam1", "fault cam1-covered"), id="flag without"),
        pytest.param(named("node-storage"), "node-storage", ("the daemon itself", "fault node-storage"), id="node"),
    ],
)
def test_no_two_alarms_share_a_name(
    tmp_path: Path, changes: dict[str, Any], name: str, owners: tuple[str, str]
) -> None:
    """`run`, `check` and a reload refuse it, and say which two: one would take the other's texts, states and commands."""
    colour_bundle(tmp_path)
    bundle = open_bundle(tmp_path)
    for refuses in (
        lambda: make_plan(site(tmp_path, **changes), bundle),
        lambda: list(check_site(site(tmp_path, **changes), bundle)),
    ):
        with pytest.raises(ConfigError) as caught:
            refuses()
        assert all(word in str(caught.value) for word in (name, *owners, "rename"))


@pytest.mark.slow
def test_check_says_where_state_is_kept(tmp_path: Path) -> None:
    """Or that it is not, and what that costs."""
    colour_bundle(tmp_path)
    bundle = open_bundle(tmp_path)

    def said(**changes: Any) -> str:
        return next(line for line in check_site(site(tmp_path, **changes), bundle) if line.startswith("state "))

    assert "NOT KEPT: node.state_dir is not set" in said()
    assert said(node={"id": "n", "state_dir": tmp_path / "kept"}) == f"state     kept in {tmp_path / 'kept'}"
    assert "no alarm" in said(faults=({"id": "red", "camera": "cam1"},))


def test_other_names_are_free(tmp_path: Path) -> None:
    """What only looks alike is no collision."""
    colour_bundle(tmp_path)
    plan = make_plan(site(tmp_path, **named("cam1-red", alarm=ALARM)), open_bundle(tmp_path))
    assert {"cam1-red", "cam1-covered", "vibration-silent"} <= {entry.spec.id for entry in plan.alarms}
