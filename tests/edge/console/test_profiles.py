"""What `check` says of profiles, in the order of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.console.profiles import profile_lines
from edge.site.settings import Site
from tests.stand.bundles import colour_bundle


def test_check_says_what_each_profile_holds_leaves_out_and_moves(tmp_path: Path) -> None:
    """And where it watches less closely than what was proven; a site without profiles is told nothing."""
    manifest = colour_bundle(tmp_path / "b")
    document: dict[str, Any] = {
        "bundle": tmp_path / "b",
        "node": {"id": "n"},
        "cameras": ({"id": "cam"},),
        "sensors": ({"id": "oil"},),
        "rules": ({"id": "hot", "sensor": "oil", "kind": "above", "limit": 80},),
        "faults": ({"id": "red", "camera": "cam"}, {"id": "heat", "rules": ("hot",)}),
    }
    assert list(profile_lines(Site.model_validate(document), manifest)) == []
    document["profiles"] = (
        {"id": "large", "thresholds": {"red": 0.9}, "limits": {"hot": 70}},
        {"id": "small", "called": ("12",), "faults": ("heat",)},
        {"id": "bare", "faults": (), "thresholds": {}},
    )
    document["changeover"] = {"topic": "plc/recipe"}
    assert list(profile_lines(Site.model_validate(document), manifest)) == [
        "profile   large, holds at the first start: red, heat",
        "profile   large: red from 0.9 on, not 0.8; WATCHES LESS CLOSELY than the bundle was proven for",
        "profile   large: rule hot has the limit 70, not 80",
        "profile   small, called 12: heat; left out, unknown and suppressed: red",
        "profile   bare: NO FAULT HOLDS; left out, unknown and suppressed: red, heat",
        "profile   changed by cmd/profile and by plc/recipe",
        "profile   NOT KEPT: without node.state_dir a restart begins with large",
    ]
