"""A site's settings as one frozen tree, read from ``site.toml`` with environment variables on top."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edge.errors import ConfigError
from edge.parsing.toml_file import read_record
from edge.site.alarms import DriftSettings, FaultSettings
from edge.site.inputs import CameraSettings, SensorSettings
from edge.site.profiles import ChangeoverSettings, ProfileSettings, profile_problems
from edge.site.rules import RuleSettings
from edge.site.sections import (
    BrokerSettings,
    CollectSettings,
    CommandSettings,
    EvidenceSettings,
    ExplainSettings,
    NodeSettings,
    PublishSettings,
    RuntimeSettings,
    SparkplugSettings,
)
from edge.site.zones import UNIT as VIBRATION_UNIT

LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
ENV_PREFIX = "EDGE_DAEMON_"
# what systemd sets for StateDirectory= of a unit; several folders are separated by colons
STATE_DIRECTORY = "STATE_DIRECTORY"
STATES_ARE_LOST = (
    "node.state_dir is not set, so alarm states, acknowledgements, shelving and events not yet delivered do not survive a restart: an alarm that "
    "is active then starts again as NORM with quality bad. Name a folder that this user may write, or give the service one (StateDirectory= of its unit)"
)


class Site(BaseSettings):
    """``site.toml``: what this site wants."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, env_prefix=ENV_PREFIX, env_nested_delimiter="__"
    )

    bundle: Path | None = Field(
        default=None,
        description="bundle folder; relative paths count from the site file; a site without cameras needs none, and opens none",
    )
    node: NodeSettings
    broker: BrokerSettings = BrokerSettings()
    cameras: tuple[CameraSettings, ...] = Field(default=(), description="sources of frames")
    sensors: tuple[SensorSettings, ...] = Field(default=(), description="sensor values")
    rules: tuple[RuleSettings, ...] = Field(default=(), description="conditions on sensors")
    faults: tuple[FaultSettings, ...] = Field(
        default=(), description="fault flags; none: every fault of the bundle on every camera, without alarms"
    )
    profiles: tuple[ProfileSettings, ...] = Field(
        default=(), description="one for each product: what holds while it is made; none: all of the site always holds"
    )
    changeover: ChangeoverSettings = ChangeoverSettings()
    publish: PublishSettings = PublishSettings()
    drift: DriftSettings = DriftSettings()
    commands: CommandSettings = CommandSettings()
    sparkplug: SparkplugSettings = SparkplugSettings()
    explain: ExplainSettings = ExplainSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    collect: CollectSettings = CollectSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library passes it; we read no .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library passes it; secrets are files named in the tree
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment above the file; the file arrives as init arguments."""
        del settings_cls
        return env_settings, init_settings

    @model_validator(mode="after")
    def _references(self) -> Site:
        cameras = _unique("camera", [camera.id for camera in self.cameras])
        sensors = _unique("sensor", [sensor.id for sensor in self.sensors])
        rules = _unique("rule", [rule.id for rule in self.rules])
        _unique("fault", [fault.id for fault in self.faults])
        for rule in self.rules:
            self._refuse_rule(rule, sensors)
        for fault in self.faults:
            if fault.camera is not None and fault.camera not in cameras:
                raise ValueError(
                    f"fault {fault.id} looks at camera {fault.camera!r}, which is not among {sorted(cameras)}"
                )
            regions = {region.id for camera in self.cameras if camera.id == fault.camera for region in camera.regions}
            if fault.region is not None and fault.region not in regions:
                raise ValueError(
                    f"fault {fault.id} looks at region {fault.region!r} of camera {fault.camera}, which is not among {sorted(regions)}"
                )
            missing = set(fault.rules) - rules
            if missing:
                raise ValueError(f"fault {fault.id} uses rules {sorted(missing)}, which are not among {sorted(rules)}")
        self._refuse_profiles()
        if self.explain.image and not any(camera.snapshot for camera in self.cameras):
            raise ValueError(
                "explain.image has no picture to show: set snapshot = true for a camera whose pictures may be shown"
            )
        return self

    def _refuse_profiles(self) -> None:
        """Raise ValueError for profiles that contradict themselves or the site."""
        limited = {rule.id: rule.limit is not None and not rule.kind.startswith("bit_") for rule in self.rules}
        problem = next(profile_problems(self.profiles, [fault.id for fault in self.faults], limited), None)
        if problem is not None:
            raise ValueError(problem)
        if self.changeover.topic is not None and not self.profiles:
            raise ValueError("changeover.topic says which product is made, and there are no [[profiles]]: add them")

    def _refuse_rule(self, rule: RuleSettings, sensors: set[str]) -> None:
        """Raise ValueError for a rule that reads or waits for something that is not there, or not fit for it."""
        for name in (rule.sensor, *(() if rule.other is None else (rule.other,))):
            if name not in sensors:
                raise ValueError(f"rule {rule.id} reads sensor {name!r}, which is not among {sorted(sensors)}")
        unit = next(sensor.unit for sensor in self.sensors if sensor.id == rule.sensor)
        if rule.vibration_zone is not None and unit != VIBRATION_UNIT:
            raise ValueError(
                f"rule {rule.id}: a vibration zone is in {VIBRATION_UNIT} RMS, and sensor {rule.sensor} has unit = {unit!r}: set its unit, or a limit"
            )
        gates = {other.id: other for other in self.rules}
        for name in rule.when:
            if name not in gates:
                raise ValueError(f"rule {rule.id} waits for rule {name!r}, which is not among {sorted(gates)}")
            if gates[name].when:
                raise ValueError(f"rule {rule.id} waits for rule {name}, which waits for others itself: name those")

    @model_validator(mode="after")
    def _protected(self) -> Site:
        for broker in (self.broker, *self.sparkplug.servers):
            local = broker.host in LOCAL_HOSTS
            if broker.tls is None and not local and not self.runtime.insecure_dev:
                secret = ", and a password would cross the network in the clear" if broker.password_file else ""
                raise ValueError(
                    f"broker {broker.host} is another machine, and no TLS is configured{secret}: "
                    "add its tls table, or set runtime.insecure_dev = true for a test bench"
                )
        return self

    def loses_states(self) -> bool:
        """Whether a restart loses the states of alarms; `STATES_ARE_LOST` is the warning."""
        return self.node.state_dir is None and any(fault.alarm is not None for fault in self.faults)

    def asks_bundle(self) -> bool:
        """Whether anything of it is judged by a bundle: frames, or windows of readings."""
        return bool(self.cameras) or any(fault.window is not None for fault in self.faults)

    def prefix(self) -> str:
        """First part of this node's topics."""
        return f"{self.broker.root}/{self.node.id}"

    def frame_topic(self, camera: CameraSettings) -> str:
        """The topic that a camera's frames come from."""
        return camera.topic or f"{self.prefix()}/in/frame/{camera.id}"

    def camera_topic(self, camera: CameraSettings) -> str:
        """The topic on which `edge-camera` says how the camera is."""
        return f"{self.prefix()}/in/camera/{camera.id}"

    def trigger_topic(self, camera: CameraSettings) -> str:
        """The topic that a camera's triggers come from, where it has any."""
        named = None if camera.trigger is None else camera.trigger.topic
        return named or f"{self.prefix()}/in/trigger/{camera.id}"

    def trigger_topics(self) -> tuple[str, ...]:
        """Every topic of triggers, once."""
        topics = [self.trigger_topic(camera) for camera in self.cameras if camera.trigger is not None]
        return tuple(dict.fromkeys(topics))

    def sensor_topic(self, sensor: SensorSettings) -> str:
        """The topic that a sensor's values come from."""
        return sensor.topic or f"{self.prefix()}/in/sensor/{sensor.id}"

    def input_topics(self) -> tuple[str, ...]:
        """Every topic from which something comes in, once: frames, values, triggers, and what gateways and `edge-camera` report of themselves."""
        sources: list[CameraSettings | SensorSettings] = [*self.cameras, *self.sensors]
        inputs = [*map(self.frame_topic, self.cameras), *map(self.sensor_topic, self.sensors)]
        inputs += [source.availability_topic for source in sources if source.availability_topic is not None]
        inputs += [self.camera_topic(camera) for camera in self.cameras if camera.source is not None]
        changeover = [] if self.changeover.topic is None else [self.changeover.topic]
        return tuple(dict.fromkeys([*inputs, *self.trigger_topics(), *changeover]))


def load_site(path: Path, environment: Mapping[str, str] = os.environ, *, recording: bool = False) -> Site:
    """Read ``site.toml``; relative paths inside it count from its own folder.

    Where it names no ``node.state_dir``, the folder that systemd made for the service is taken. `recording`: nothing is to be judged, so it needs
    no bundle and no faults.

    Raises:
        ConfigError: the file is missing, is not TOML, or has a value that is not allowed; the text names the key.
    """
    site = read_record(path, Site)
    if not recording:
        _refuse_idle(site, path)
    return _kept_somewhere(_with_state(_anchored(site, path.parent), environment.get(STATE_DIRECTORY, "")), path)


def _unique(kind: str, ids: list[str]) -> set[str]:
    seen = set(ids)
    if len(seen) != len(ids):
        raise ValueError(f"{kind} ids repeat: {sorted(item for item in seen if ids.count(item) > 1)}")
    return seen


def _with_state(site: Site, folders: str) -> Site:
    folder = folders.partition(":")[0]
    if site.node.state_dir is not None or not folder:
        return site
    return site.model_copy(update={"node": site.node.model_copy(update={"state_dir": Path(folder)})})


def _refuse_idle(site: Site, path: Path) -> None:
    if site.cameras and site.bundle is None:
        raise ConfigError(
            f"{path}: cameras are watched with a bundle: set bundle to its folder, as edge-export writes it"
        )
    if site.asks_bundle() and site.bundle is None:
        raise ConfigError(f"{path}: windows of readings are judged by a bundle: say bundle = its folder")
    if not site.cameras and not site.faults:
        raise ConfigError(f"{path}: nothing to watch: give at least one camera, or a fault with sensor rules")


def _kept_somewhere(site: Site, path: Path) -> Site:
    wanted = [(camera.id, what) for camera in site.cameras for what in ("evidence", "collect") if getattr(camera, what)]
    if wanted and site.node.state_dir is None:
        camera, what = wanted[0]
        raise ConfigError(
            f"{path}: camera {camera} has {what} = true, and there is no folder to keep it in: set node.state_dir"
        )
    return site


def _anchored(site: Site, folder: Path) -> Site:
    """Make every relative path absolute, counted from the site file's folder."""

    def walk(value: Any) -> Any:  # noqa: ANN401 - walks a tree of mixed types
        if isinstance(value, Path):
            return Path(os.path.normpath(folder / value))
        if isinstance(value, BaseModel):
            changed = {name: walk(getattr(value, name)) for name in type(value).model_fields}
            return value.model_copy(update=changed)
        return value

    anchored: Site = walk(site)
    return anchored
