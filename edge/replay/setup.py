"""Puts a backtest together: the site that is replayed, scores of every picture, and the simulation over them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge.bundle import Bundle
from edge.errors import ConfigError
from edge.replay.recorded import Recorded
from edge.replay.scores import ALONE, Scoring
from edge.replay.simulation import Outcome, Simulation
from edge.site.settings import Site, load_site

CAMERA = "camera"  # of a backtest without a site file
_ALARM = {
    "severity": 500,
    "message": "backtest",
    "operator_action": "none: this is a backtest",
    "consequence": "none",
    "on_delay_ms": 0.0,
    "off_delay_ms": 0.0,
    "auto_ack": True,
}
_STALE_MS = 5000.0  # of a sensor without settings
_MISSED = 5  # cells in a row without a value, and a sensor is silent


def under_profile(site: Site, profile: str | None) -> Site:
    """The site with this profile as the one that holds first; None: as it is.

    Raises:
        ConfigError: it has no such profile.
    """
    if profile is None:
        return site
    known = {one.id: one for one in site.profiles}
    if profile not in known:
        raise ConfigError(f"--profile {profile!a}: the site file has {', '.join(known) or 'no [[profiles]]'}")
    return site.model_copy(update={"profiles": (known.pop(profile), *known.values())})


def site_for(bundle: Bundle, config: Path | None) -> Site:
    """The site of a backtest: the given one with this bundle, or one camera and the sensors with every fault of the bundle and alarms without delay.

    Raises:
        ConfigError: the site file is wrong.
    """
    loose = {"allow_other_board": True, "allow_unproven": True, "allow_older_bundle": True}
    if config is None:
        manifest = bundle.manifest
        faults = [
            {"id": fault.id, "alarm": _ALARM, **({"window": fault.window} if fault.window else {"camera": CAMERA})}
            for fault in manifest.faults
        ]
        stale_ms = {  # of several windows the longest counts
            sensor: max(_STALE_MS, _MISSED * window.period_ms)
            for window in sorted(manifest.windows, key=lambda window: window.period_ms)
            for sensor in window.sensors
        }
        picture = {"frozen_after_ms": 0.0, "covered_share": 0.0, "sharpness_share": 0.0, "accept_after_s": 1.0}
        return Site.model_validate(
            {
                "bundle": bundle.path,
                "node": {"id": "backtest"},
                "cameras": [{"id": CAMERA, "picture": picture, "stale_after_ms": 60_000.0}] if manifest.input else [],
                "sensors": [{"id": name, "stale_after_ms": found_ms} for name, found_ms in stale_ms.items()],
                "faults": faults,
                "explain": {"enabled": False},
                "runtime": loose,
            }
        )
    site = load_site(config, recording=True)
    return site.model_copy(
        update={
            "bundle": bundle.path,
            "explain": site.explain.model_copy(update={"enabled": False}),
            "runtime": site.runtime.model_copy(update=loose),
            "cameras": tuple(
                camera.model_copy(update={"evidence": False, "collect": False}) for camera in site.cameras
            ),
            "node": site.node.model_copy(
                update={"state_dir": None}
            ),  # a replay keeps nothing: no trouble of its storage
        }
    )


def backtest(site: Site, bundle: Bundle, recorded: Recorded, scoring: Scoring = ALONE) -> Outcome:
    """What would have happened over a recording.

    Args:
        site: its settings.
        bundle: opened.
        recorded: what came.
        scoring: where the scores of pictures are computed.

    Raises:
        ConfigError: site and bundle do not fit together.
        BundleError: the bundle does not run here.
        EdgeError: processes end again and again.
    """
    paths = list(dict.fromkeys(picture.path for picture in recorded.pictures))
    start_ns = min(
        [picture.at_ns for picture in recorded.pictures[:1]] + [value.at_ns for value in recorded.values[:1]]
    )
    simulation = Simulation(site, bundle, start_ns)
    found = scoring(bundle, paths) if simulation.needs_scores else []
    return simulation.run(recorded, dict(zip(paths, found, strict=False)))


def ungated(site: Site) -> Site:
    """The site with every tile computed in every frame, whether it changed or not.

    Raises:
        ConfigError: no region of it is a grid of tiles that may keep their verdicts.
    """
    if not any(region.tiles is not None and region.tiles.refresh_s for one in site.cameras for region in one.regions):
        raise ConfigError(
            "--gate proves the change gate, and no region of this site has `tiles` with refresh_s above 0"
        )
    return _with_tiles(site, {"refresh_s": 0.0})


def at_level(site: Site, change_levels: float) -> Site:
    """The site with another limit of its change gate."""
    return _with_tiles(site, {"change_levels": change_levels})


def _with_tiles(site: Site, changed: Mapping[str, float]) -> Site:
    """The site with other settings of every grid of tiles."""
    cameras = tuple(
        camera.model_copy(
            update={
                "regions": tuple(
                    region.model_copy(update={"tiles": region.tiles and region.tiles.model_copy(update=changed)})
                    for region in camera.regions
                )
            }
        )
        for camera in site.cameras
    )
    return site.model_copy(update={"cameras": cameras})
