"""One command writes each tool's file, from the site file and its bundle alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.__main__ import EXIT_CONFIG, EXIT_OK, main
from edge.integrations.plan import SiteTags
from tests.edge.integrations.conftest import ROOT

SITE = ROOT / "examples" / "integrations" / "site.toml"


@pytest.mark.parametrize("tool", ["ignition", "node-red", "fuxa"])
def test_the_command_writes_what_the_examples_show(
    tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a file, or to standard output; no broker is asked."""
    out = tmp_path / "out.json"
    assert main(["integration", tool, "--config", str(SITE), "--out", str(out)]) == EXIT_OK
    assert capsys.readouterr().out == ""
    assert main(["integration", tool, "--config", str(SITE)]) == EXIT_OK
    assert capsys.readouterr().out == out.read_text(encoding="utf-8")
    assert json.loads(out.read_text(encoding="utf-8"))
    assert out.read_text(encoding="utf-8") == SITE.with_name(f"{tool}.json").read_text(encoding="utf-8")


def test_what_cannot_be_done_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there; a site that speaks no Sparkplug."""
    nowhere = tmp_path / "nowhere" / "out.json"
    assert main(["integration", "fuxa", "--config", str(SITE), "--out", str(nowhere)]) == EXIT_CONFIG
    assert "cannot write" in capsys.readouterr().err
    assert main(["integration", "ignition", "--config", str(ROOT / "examples" / "site.toml")]) == EXIT_CONFIG
    assert "[sparkplug]" in capsys.readouterr().err


def test_ids_are_stable_and_belong_to_one_site(plan: SiteTags, press: SiteTags) -> None:
    """So that a file that is imported again replaces what was there, and two devices never mix."""
    assert plan.key("a", "b") == plan.key("a", "b")
    assert len({plan.key("a", "b"), plan.key("ab"), plan.key("a"), press.key("a", "b")}) == 4
