"""What this site wants, as one frozen tree read from ``site.toml``, with environment variables on top."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edge.errors import ConfigError
from edge.sections import (
    BrokerSettings,
    CameraSettings,
    CommandSettings,
    ExplainSettings,
    FaultSettings,
    NodeSettings,
    PublishSettings,
    RuleSettings,
    RuntimeSettings,
    SensorSettings,
    SparkplugSettings,
)

ENV_PREFIX = "EDGE_DAEMON_"
STATE_DIRECTORY = (
    "STATE_DIRECTORY"  # what systemd says for StateDirectory= of a unit; several folders are parted by colons
)
FORGETS = (
    "node.state_dir is not set, so alarm states, acknowledgements, shelving and events not yet heard do not survive a restart: an alarm that "
    "stands then starts again as NORM with quality bad. Name a folder that this user may write, or give the service one (StateDirectory= of its unit)"
)


class Site(BaseSettings):
    """``site.toml``: what this site wants."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, env_prefix=ENV_PREFIX, env_nested_delimiter="__"
    )

    bundle: Path = Field(description="bundle folder; relative paths count from the site file")
    node: NodeSettings
    broker: BrokerSettings = BrokerSettings()
    cameras: tuple[CameraSettings, ...] = Field(default=(), description="sources of frames")
    sensors: tuple[SensorSettings, ...] = Field(default=(), description="sensor values")
    rules: tuple[RuleSettings, ...] = Field(default=(), description="conditions on sensors")
    faults: tuple[FaultSettings, ...] = Field(
        default=(), description="fault flags; none: every fault of the bundle on every camera, without alarms"
    )
    publish: PublishSettings = PublishSettings()
    commands: CommandSettings = CommandSettings()
    sparkplug: SparkplugSettings = SparkplugSettings()
    explain: ExplainSettings = ExplainSettings()
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
            if rule.sensor not in sensors:
                raise ValueError(f"rule {rule.id} reads sensor {rule.sensor!r}, which is not among {sorted(sensors)}")
        for fault in self.faults:
            if fault.camera is not None and fault.camera not in cameras:
                raise ValueError(
                    f"fault {fault.id} looks at camera {fault.camera!r}, which is not among {sorted(cameras)}"
                )
            missing = set(fault.rules) - rules
            if missing:
                raise ValueError(f"fault {fault.id} uses rules {sorted(missing)}, which are not among {sorted(rules)}")
        if self.explain.image and not any(camera.snapshot for camera in self.cameras):
            raise ValueError(
                "explain.image has no picture to show: say snapshot = true for a camera whose pictures may be"
            )
        if not self.cameras and not self.faults:
            raise ValueError("nothing to watch: give at least one camera, or a fault with sensor rules")
        return self

    @model_validator(mode="after")
    def _protected(self) -> Site:
        for broker in (self.broker, *self.sparkplug.servers):
            local = broker.host in {"127.0.0.1", "::1", "localhost"}
            if broker.tls is None and not local and not self.runtime.insecure_dev:
                secret = ", and a password would cross the network in the clear" if broker.password_file else ""
                raise ValueError(
                    f"broker {broker.host} is another machine, and no TLS is configured{secret}: "
                    "add its tls table, or set runtime.insecure_dev = true for a test bench"
                )
        return self

    def forgets(self) -> bool:
        """Whether a restart loses the states of alarms; `FORGETS` says it to people."""
        return self.node.state_dir is None and any(fault.alarm is not None for fault in self.faults)

    def prefix(self) -> str:
        """First part of this node's topics."""
        return f"{self.broker.root}/{self.node.id}"

    def frame_topic(self, camera: CameraSettings) -> str:
        """The topic that a camera's frames come from."""
        return camera.topic or f"{self.prefix()}/in/frame/{camera.id}"

    def sensor_topic(self, sensor: SensorSettings) -> str:
        """The topic that a sensor's values come from."""
        return sensor.topic or f"{self.prefix()}/in/sensor/{sensor.id}"


def load_site(path: Path, environment: Mapping[str, str] = os.environ) -> Site:
    """Read ``site.toml``; relative paths inside it count from its own folder.

    Where it names no ``node.state_dir``, the folder that systemd made for the service is taken.

    Raises:
        ConfigError: the file is missing, is not TOML, or says something that cannot be; the text names the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        site = Site(**document)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_problem(item) for item in error.errors())) from error
    return _with_state(_anchored(site, path.parent), environment.get(STATE_DIRECTORY, ""))


def _unique(kind: str, ids: list[str]) -> set[str]:
    seen = set(ids)
    if len(seen) != len(ids):
        raise ValueError(f"{kind} ids repeat: {sorted(item for item in seen if ids.count(item) > 1)}")
    return seen


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's own error dictionary
    where = ".".join(str(part) for part in item["loc"]) or "site"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}"


def _with_state(site: Site, folders: str) -> Site:
    folder = folders.partition(":")[0]
    if site.node.state_dir is not None or not folder:
        return site
    return site.model_copy(update={"node": site.node.model_copy(update={"state_dir": Path(folder)})})


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
