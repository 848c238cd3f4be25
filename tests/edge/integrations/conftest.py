"""Sites that the files are made for: the demo's with Sparkplug, and a plant's with other topics, TLS and a user."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.integrations.plan import SiteTags, site_tags
from edge.manifest import Manifest
from edge.site.sections import BrokerSettings, TlsSettings
from edge.site.settings import Site, load_site

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """The line's bundle."""
    return open_bundle(ROOT / "examples" / "bundles" / "line").manifest


@pytest.fixture
def plan(manifest: Manifest) -> SiteTags:
    """The demo's site."""
    return site_tags(load_site(ROOT / "examples" / "integrations" / "site.toml"), manifest)


@pytest.fixture
def press(manifest: Manifest) -> SiteTags:
    """A press of a plant, which speaks no Sparkplug."""
    site = load_site(ROOT / "examples" / "site.toml")
    tls = TlsSettings(ca_file=Path("ca.pem"), cert_file=Path("press7.pem"), key_file=Path("press7.key"))
    broker = BrokerSettings(host="broker.plant", port=8883, root="acme/north/edge/v1", tls=tls, username="press7")
    return site_tags(site.model_copy(update={"broker": broker}), manifest)


@pytest.fixture
def with_sparkplug(manifest: Manifest) -> Callable[[SiteTags], SiteTags]:
    """The same plan, speaking Sparkplug under other names."""

    def changed(plan: SiteTags) -> SiteTags:
        names = {"enabled": True, "group_id": "north works", "edge_node_id": "press-seven"}
        sparkplug = plan.site.sparkplug.model_copy(update=names)
        site: Site = plan.site.model_copy(update={"sparkplug": sparkplug})
        return site_tags(site, manifest)

    return changed


@pytest.fixture
def javascript(tmp_path: Path) -> Callable[[str], str | None]:
    """What is wrong with a piece of JavaScript, used as the body of an async function; None: nothing."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")

    def problem(body: str) -> str | None:
        file = tmp_path / "script.js"
        file.write_text(f"async function body(value, msg) {{\n{body}\n}}\n", encoding="utf-8")
        done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, timeout=30, check=False)
        return done.stderr or None

    return problem
