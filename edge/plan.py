"""Joins a site and a bundle: which fault uses which camera and sensors, which alarms exist, and each frame's budget.

Nothing is loaded here, so `check`, the integrations and the daemon all join them in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge.alarm.catalogue import site_alarms
from edge.alarm.entry import AlarmEntry, Context
from edge.bundle import Bundle, open_bundle
from edge.errors import ConfigError, ProofFailed
from edge.grid import GridSpec
from edge.manifest import FaultSpec, Manifest, WindowInput
from edge.region import WHOLE, Region
from edge.site.alarms import FaultSettings
from edge.site.inputs import CameraSettings, SensorSettings
from edge.site.profiles import ProfileSettings
from edge.site.rules import RuleSettings
from edge.site.settings import Site
from edge.system.board import check_board, machine_facts
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.channel import ChannelSpec, VisionFault
from edge.verdict.decide import Combine, FusionSpec
from edge.verdict.origin import Join, OriginSpec
from edge.verdict.rules import Rule, RuleKind, RuleSpec, linked
from edge.verdict.window import Statistic
from edge.wire.messages import Asset, ModelInfo


@dataclass(frozen=True, slots=True)
class Plan:
    """A site and a bundle that fit together, on this board; nothing is loaded yet."""

    site: Site
    bundle: Bundle | None  # none, and no model: the site has no camera, and no window of readings
    model: ModelInfo | None
    channels: tuple[ChannelSpec, ...]
    alarms: tuple[AlarmEntry, ...]
    budgets_ms: Mapping[str, float]
    profile: str | None = None  # of the product that is made; None: the site has none

    @property
    def budgets_ns(self) -> dict[str, int]:
        """The budget of each camera, ns."""
        return {camera: round(budget * NS_PER_MS) for camera, budget in self.budgets_ms.items()}

    @property
    def regions(self) -> dict[str, tuple[Region, ...]]:
        """What the graph looks at in each camera's picture."""
        return {camera.id: watched_regions(self.channels, camera.id) for camera in self.site.cameras}

    def cover_ns(self, camera: str, region: Region) -> int:
        """When a verdict on a region is too old, ns."""
        settings = next(one for one in self.site.cameras if one.id == camera)
        return round(_stale_after_ms(settings, region.id or None) * NS_PER_MS)

    @property
    def title(self) -> str:
        """What judges pictures, for people."""
        return "no bundle" if self.model is None else f"{self.model.name} version {self.model.version}"

    @property
    def tensor(self) -> str:
        """What kind of pictures picture monitors measure: of another kind, what was learned does not apply."""
        frame = None if self.bundle is None else self.bundle.manifest.input
        return "" if frame is None else frame.model_dump_json()

    @property
    def context(self) -> Context:
        """What every alarm message carries."""
        node, model = self.site.node, self.model
        asset = Asset(path=node.asset_path, rds_pp=node.rds_pp)
        return Context(None, None, asset) if model is None else Context(model.name, model.sha256, asset)


def site_bundle(site: Site) -> Bundle | None:
    """The bundle of a site, opened; None where there is nothing for it to judge.

    Raises:
        BundleError: it may not go live.
    """
    if not site.asks_bundle():
        return None
    if site.bundle is None:
        raise ConfigError(
            "cameras are watched with a bundle, and windows of readings judged by one: set bundle to its folder, as edge-export writes it"
        )
    return open_bundle(site.bundle)


def make_plan(site: Site, bundle: Bundle | None, profile: str | None = None) -> Plan:
    """Join a site and a bundle; where nothing is judged by it the bundle is left out.

    Args:
        site: settings.
        bundle: opened.
        profile: of the product that is made; one that the site does not have, or None: its first.

    Raises:
        ConfigError: they do not fit together.
        WrongBoard: the bundle was made for other hardware.
        ProofFailed: the bundle itself marks its proof as not valid.
    """
    if not site.asks_bundle():
        bundle = None
    if bundle is not None:
        if site.cameras:
            _ = bundle.manifest.frame_input  # raises where the bundle takes no frames
        refuse_other_board(site, bundle)
        refuse_doubtful(site, bundle)
    held = profile_of(site, profile)
    channels = resolve_channels(site, None if bundle is None else bundle.manifest, held)
    return Plan(
        site=site,
        bundle=bundle,
        model=None if bundle is None else _model(bundle),
        channels=channels,
        alarms=tuple(site_alarms(site, channels)),
        budgets_ms={} if bundle is None else camera_budgets_ms(site, bundle),
        profile=None if held is None else held.id,
    )


def profile_of(site: Site, profile: str | None) -> ProfileSettings | None:
    """The profile of this id, else the site's first; None: it has none."""
    return next((one for one in site.profiles if one.id == profile), site.profiles[0] if site.profiles else None)


def with_profile(plan: Plan, profile: str | None) -> Plan:
    """The same plan while another product is made.

    Raises:
        ConfigError: the profile does not fit the bundle.
    """
    held = profile_of(plan.site, profile)
    if held is None or held.id == plan.profile:
        return plan
    channels = resolve_channels(plan.site, None if plan.bundle is None else plan.bundle.manifest, held)
    return replace(plan, channels=channels, alarms=tuple(site_alarms(plan.site, channels)), profile=held.id)


def _model(bundle: Bundle) -> ModelInfo:
    return ModelInfo(name=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256)


def refuse_other_board(site: Site, bundle: Bundle) -> None:
    """Raise WrongBoard if the bundle was made for other hardware, unless the site allows that."""
    if not site.runtime.allow_other_board:
        facts = machine_facts()
        check_board(bundle.manifest.target, arch=facts.arch, cpu_flags=facts.cpu_flags, memory_mib=facts.memory_mib)


def refuse_doubtful(site: Site, bundle: Bundle) -> None:
    """Raise ProofFailed if the bundle itself marks its proof as not valid, unless the site allows that."""
    doubts = bundle.manifest.proof.doubts
    if doubts and not site.runtime.allow_unproven:
        raise ProofFailed(
            f"{bundle.manifest.name} version {bundle.manifest.version} is kept but not proven: {'; '.join(doubts)}. For a trial of it as it is, set "
            "runtime.allow_unproven = true."
        )


def camera_budgets_ms(site: Site, bundle: Bundle) -> dict[str, float]:
    """The budget of each camera: its own, or the bundle's."""
    return {camera.id: camera.budget_ms or bundle.manifest.target.budget_ms for camera in site.cameras}


def resolve_rules(site: Site, profile: ProfileSettings | None = None) -> dict[str, Rule]:
    """The site's sensor rules, ready to run, with the limits of a profile; those that gate others first, so that a reading finds the gates as it leaves them."""
    limits = {} if profile is None else profile.limits
    origins = {sensor.id: _origin(sensor) for sensor in site.sensors}
    ordered = sorted(site.rules, key=lambda rule: bool(rule.when))
    specs = [_rule_spec(rule, origins) for rule in ordered]
    return linked(
        {
            spec.id: Rule(replace(spec, limit=limits.get(spec.id, spec.limit), high=limits.get(spec.id, spec.high)))
            for spec in specs
        }
    )


def _origin(sensor: SensorSettings) -> OriginSpec:
    return OriginSpec(
        sensor=sensor.id,
        stale_after_ns=round(sensor.stale_after_ms * NS_PER_MS),
        max_age_ns=round(sensor.oldest_ms() * NS_PER_MS),
        frozen_after_ns=round(sensor.frozen_after_ms * NS_PER_MS),
    )


def _rule_spec(rule: RuleSettings, origins: Mapping[str, OriginSpec]) -> RuleSpec:
    own, (limit, high) = origins[rule.sensor], rule.numbers
    join = None if rule.other is None else Join.DIFFERENCE if rule.minus is not None else Join.RATIO
    return RuleSpec(
        id=rule.id,
        sensor=rule.sensor,
        kind=RuleKind(rule.kind),
        limit=limit,
        high=high,
        deadband=rule.deadband,
        window_ns=round(rule.window_s * NS_PER_S),
        stale_after_ns=own.stale_after_ns,
        max_age_ns=own.max_age_ns,
        frozen_after_ns=own.frozen_after_ns,
        of=Statistic(rule.of),
        over_ns=round((rule.over_s or 0.0) * NS_PER_S),
        min_known=rule.min_known,
        join=join,
        other=None if rule.other is None else origins[rule.other],
        when=rule.when,
        settle_ns=round(rule.settle_s * NS_PER_S),
    )


def resolve_windows(site: Site, manifest: Manifest | None) -> dict[str, GridSpec]:
    """The windows of readings that the site's faults ask for, by name.

    Raises:
        ConfigError: there is no bundle or no such window in it, or the site lacks a sensor of it.
    """
    origins = {sensor.id: _origin(sensor) for sensor in site.sensors}
    known = {} if manifest is None else {window.name: window for window in manifest.windows}
    found: dict[str, GridSpec] = {}
    for fault in site.faults:
        if fault.window is None:
            continue
        if fault.window not in known:
            raise ConfigError(
                f"faults.{fault.id} asks for window {fault.window!r}, and the bundle has {sorted(known) or 'none'}: name one of these"
            )
        found[fault.window] = _grid_spec(known[fault.window], origins)
    return found


def _grid_spec(window: WindowInput, origins: Mapping[str, OriginSpec]) -> GridSpec:
    missing = [sensor for sensor in window.sensors if sensor not in origins]
    if missing:
        raise ConfigError(
            f"window {window.name} of the bundle reads sensors {missing}, which the site does not have: add [[sensors]] with these ids"
        )
    return GridSpec(
        sensors=tuple(origins[sensor] for sensor in window.sensors),
        period_ns=max(1, round(window.period_ms * NS_PER_MS)),
        length=window.length,
        step=window.step,
        aggregate=window.aggregate,
        min_valid=window.min_valid,
    )


def resolve_channels(
    site: Site, manifest: Manifest | None, profile: ProfileSettings | None = None
) -> tuple[ChannelSpec, ...]:
    """Join the site's faults with the bundle's, under a profile; none is needed where no fault looks at a camera.

    A site without faults gets every fault of the bundle on every camera, or on each of its regions, without alarms.

    Raises:
        ConfigError: a fault asks for evidence that the bundle or the site does not have, or for an alarm that may not be armed.
    """
    cameras = {camera.id: camera for camera in site.cameras}
    wanted = site.faults or _every_fault(site, manifest)
    windows = resolve_windows(site, manifest)
    found = tuple(
        _resolve(fault, manifest, cameras.get(fault.camera or ""), windows.get(fault.window or "")) for fault in wanted
    )
    return found if profile is None else _under(found, profile)


def _under(channels: tuple[ChannelSpec, ...], profile: ProfileSettings) -> tuple[ChannelSpec, ...]:
    """Channels as they are while a product is made.

    Raises:
        ConfigError: the profile names a fault that is not there, or gives a threshold to one without a score.
    """
    known = {channel.id: channel for channel in channels}
    unknown = sorted({*(profile.faults or ()), *profile.thresholds} - known.keys())
    if unknown:
        raise ConfigError(f"profile {profile.id} names faults {unknown}, which are not among {sorted(known)}")
    blind = sorted(name for name in profile.thresholds if known[name].fault is None)
    if blind:
        raise ConfigError(
            f"profile {profile.id} has thresholds for {blind}, which no graph scores: give their rules limits"
        )
    return tuple(
        replace(
            channel,
            held=profile.holds(channel.id),
            profiled=channel.id in profile.thresholds,
            fault=_moved(channel.fault, profile.thresholds.get(channel.id)),
        )
        for channel in channels
    )


def _moved(fault: VisionFault | None, threshold: float | None) -> VisionFault | None:
    """A fault with another threshold; its release moves along, and what was measured at its own holds no more."""
    if fault is None or threshold is None:
        return fault
    release = min(threshold, max(0.0, threshold - (fault.threshold - fault.release)))
    return replace(fault, threshold=threshold, release=release, false_alarms=None)


def _every_fault(site: Site, manifest: Manifest | None) -> tuple[FaultSettings, ...]:
    found = tuple(
        FaultSettings(
            id="-".join(
                [*([camera.id] if len(site.cameras) > 1 else []), *([] if region is None else [region]), fault.id]
            ),
            camera=camera.id,
            region=region,
            vision=fault.id,
        )
        for camera in site.cameras
        for region in (tuple(region.id for region in camera.regions) or (None,))
        for fault in (() if manifest is None else manifest.frame_faults)
    )
    ids = [fault.id for fault in found]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two faults would be called {twice[0]}, by camera, region and fault: name the faults of this site in [[faults]]"
        )
    return found


def watched_regions(channels: Sequence[ChannelSpec], camera: str) -> tuple[Region, ...]:
    """What the graph looks at in a camera's picture, by name; all of it where no fault looks at this camera."""
    found = {channel.region for channel in channels if channel.camera == camera and channel.held}
    return tuple(sorted(found, key=lambda region: region.id)) or (WHOLE,)


def _resolve(
    fault: FaultSettings, manifest: Manifest | None, camera: CameraSettings | None, window: GridSpec | None
) -> ChannelSpec:
    index, spec = None, None
    if fault.camera is not None or fault.window is not None:
        if manifest is None:
            raise ConfigError(f"faults.{fault.id} looks at camera {fault.camera}, and there is no bundle: set `bundle`")
        name = fault.vision or fault.id
        scored = manifest.frame_faults if fault.window is None else manifest.window_faults(fault.window)
        ids = [known.id for known in scored]
        if name not in ids:
            raise ConfigError(
                f"faults.{fault.id}: the bundle {manifest.name} has no fault {name!r} of {'frames' if fault.window is None else f'window {fault.window}'}; "
                f"it has {', '.join(ids)}. "
                "Set `vision` to one of these, or export a bundle that asks for it."
            )
        index = ids.index(name)
        spec = scored[index]
    armed = spec is None or (spec.armed and (manifest is None or spec.id not in manifest.out_of_reach()))
    region = WHOLE if camera is None else _region(camera, fault.region)
    sources = (() if spec is None else ("vision",)) + fault.rules
    return ChannelSpec(
        id=fault.id,
        title=fault.title or (spec.title if spec else fault.id),
        camera=fault.camera,
        vision=index,
        fault=None if spec is None else _vision_fault(spec, tiled=region.grid is not None),
        rules=fault.rules,
        fusion=FusionSpec(
            Combine(fault.combine),
            tuple(fault.weights.get(source, 1.0) for source in sources),
            fault.weighted_threshold,
        ),
        armed=armed,
        stale_after_ns=round(_stale_after_ms(camera, fault.region) * NS_PER_MS)
        if window is None
        else window.stale_after_ns,
        region=region,
        window=fault.window,
    )


def _region(camera: CameraSettings, name: str | None) -> Region:
    return next((region.region() for region in camera.regions if region.id == name), WHOLE)


def _stale_after_ms(camera: CameraSettings | None, name: str | None) -> float:
    """When a fault's picture is too old: by its region, else by its camera; 0: it has none."""
    if camera is None:
        return 0.0
    of_region = next((region.oldest_ms() for region in camera.regions if region.id == name), None)
    return camera.stale_after_ms if of_region is None else of_region


def _vision_fault(spec: FaultSpec, *, tiled: bool = False) -> VisionFault:
    measured = spec.calibration.false_alarm_measured if spec.calibration else None
    # Drift is watched frame by frame. Windows overlap, so their scores say the same many times; the highest of many tiles is no usual score.
    normal = spec.calibration.normal if spec.calibration and spec.window is None and not tiled else None
    return VisionFault(
        id=spec.id,
        threshold=spec.threshold,
        release=spec.release,
        false_alarms=measured,
        unnamed=spec.kind == "unnamed",
        normal=() if normal is None else normal.scores,
        independent=0 if normal is None else normal.independent,
    )
