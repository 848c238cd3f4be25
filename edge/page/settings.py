"""The settings of the page, `page.toml`: which broker and nodes, where it listens, who may use it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from edge.errors import ConfigError
from edge.parsing.toml_file import Section, read_record
from edge.site.kinds import Identifier, Positive
from edge.site.sections import BrokerSettings
from edge.site.settings import LOCAL_HOSTS

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - named here so that it can be told from one address


class ServerSettings(Section):
    """Where browsers find the page."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8420, ge=1, le=65535, description="TCP port")
    names: tuple[str, ...] = Field(
        default=(), description="names and addresses under which browsers may ask; others are refused"
    )
    cert_file: Path | None = Field(default=None, description="PEM file of the page's certificate: HTTPS")
    key_file: Path | None = Field(default=None, description="PEM file of its key; must not be readable by others")
    plain_http: bool = Field(
        default=False, description="allow HTTP on an address that other machines reach, e.g. behind a proxy with TLS"
    )

    @model_validator(mode="after")
    def _safe(self) -> ServerSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or neither")
        if self.host not in LOCAL_HOSTS and self.cert_file is None and not self.plain_http:
            raise ValueError(
                f"host {self.host} is reached by other machines, and passwords would cross the network in the clear: "
                "give cert_file and key_file, or set plain_http = true behind a proxy with TLS"
            )
        if self.host in EVERYWHERE and not self.names:
            raise ValueError(
                "names is needed with this host: give the names and addresses under which browsers ask for the page"
            )
        return self

    def accepted_names(self) -> frozenset[str]:
        """Host names that a request may carry, in small letters; any other is an attempt to reach us through a browser's back door."""
        local = LOCAL_HOSTS if self.host in LOCAL_HOSTS else frozenset()
        return frozenset(name.lower() for name in (*self.names, self.host, *local))


class EvidenceFolder(Section):
    """Where the evidence of one node lies; the page needs the right to read it."""

    node: Identifier = Field(description="node.id of the daemon")
    folder: Path = Field(description="the folder `evidence` inside its node.state_dir, or a mount of it")


class PictureSource(Section):
    """A folder of one camera's pictures that an engineer sorts and backtests on; it is only read."""

    id: Identifier = Field(description="its name on the page")
    folder: Path = Field(
        description="what `record` wrote of a camera, or `unsorted` of a collected one; no sub-folders"
    )


class WorkshopSettings(Section):
    """What engineers work with: pictures to sort, and the toolchain of this machine. Nothing outside these folders is read or written."""

    folder: Path = Field(description="the page's own: sorted copies, words, jobs and who did what; it is made")
    name: Identifier = Field(default="pictures", description="of the sorted pictures and of the bundles made of them")
    bundles: Path | None = Field(
        default=None,
        description="where builds put bundles; none: `bundles` inside folder. A site's bundle lies there to go live by name",
    )
    board: str = Field(default="", max_length=200, description="a board of `edge-export boards`, or a .toml file")
    checkpoint: Path | None = Field(default=None, description="folder of the checkpoint that builds start from")
    export: tuple[str, ...] = Field(
        default=(), max_length=16, description="the command edge-export; none: of the page's own Python"
    )
    max_mb: Positive = Field(default=4_000.0, description="MB of sorted copies; beyond it nothing is sorted")
    sources: tuple[PictureSource, ...] = Field(default=(), max_length=64, description="pictures to sort")

    def place_of_bundles(self) -> Path:
        """Where bundles lie."""
        return self.folder / "bundles" if self.bundles is None else self.bundles


class SessionSettings(Section):
    """How long somebody stays signed in."""

    hours: Positive = Field(default=12.0, le=744, description="h after signing in; a shift")
    idle_minutes: Positive = Field(
        default=30.0, le=1440, description="min without a sign of the user; those who only look are left signed in"
    )


class PageSettings(Section):
    """``page.toml``: what the page shows, to whom, and where."""

    users_file: Path = Field(description="who may sign in; `edge-page user add` writes it")
    title: str = Field(default="plantflag", min_length=1, max_length=60, description="name of the plant or line")
    nodes: tuple[Identifier, ...] = Field(
        default=(), max_length=64, description="node.id of the daemons to show; none: all below broker.root"
    )
    broker: BrokerSettings = BrokerSettings()
    server: ServerSettings = ServerSettings()
    sessions: SessionSettings = SessionSettings()
    evidence: tuple[EvidenceFolder, ...] = Field(default=(), max_length=64, description="of nodes on this machine")
    workshop: WorkshopSettings | None = Field(
        default=None, description="for engineers: sort pictures, build, backtest; none: no such screens"
    )
    insecure_dev: bool = Field(
        default=False, description="allow a broker on another machine without TLS; for a test bench"
    )

    @model_validator(mode="after")
    def _protected(self) -> PageSettings:
        if self.broker.tls is None and self.broker.host not in LOCAL_HOSTS and not self.insecure_dev:
            raise ValueError(
                f"broker {self.broker.host} is another machine, and no TLS is configured: add [broker.tls], "
                "or set insecure_dev = true for a test bench"
            )
        return self


def load_page(path: Path) -> PageSettings:
    """Read ``page.toml``; relative paths inside it count from its own folder.

    Raises:
        ConfigError: it is missing, is not TOML, or has a value that is not allowed; the text names the key.
    """
    settings = read_record(path, PageSettings)
    root = path.absolute().parent
    broker, tls = settings.broker, settings.broker.tls
    if tls is not None:
        tls = tls.model_copy(update=_anchored(tls, root, "ca_file", "cert_file", "key_file"))
    broker = broker.model_copy(update={"tls": tls} | _anchored(broker, root, "password_file"))
    server = settings.server.model_copy(update=_anchored(settings.server, root, "cert_file", "key_file"))
    evidence = tuple(one.model_copy(update=_anchored(one, root, "folder")) for one in settings.evidence)
    if len({one.node for one in evidence}) != len(evidence):
        raise ConfigError(f"{path}: evidence names a node twice: one folder for each")
    parts = {
        "broker": broker,
        "server": server,
        "evidence": evidence,
        "workshop": None if settings.workshop is None else _workshop(settings.workshop, root, path),
    }
    return settings.model_copy(update=parts | _anchored(settings, root, "users_file"))


def _workshop(workshop: WorkshopSettings, root: Path, path: Path) -> WorkshopSettings:
    sources = tuple(one.model_copy(update=_anchored(one, root, "folder")) for one in workshop.sources)
    if len({one.id for one in sources}) != len(sources):
        raise ConfigError(f"{path}: workshop.sources has an id twice: each needs its own")
    board = str(root / workshop.board) if workshop.board.endswith(".toml") else workshop.board
    places = _anchored(workshop, root, "folder", "bundles", "checkpoint")
    return workshop.model_copy(update={"sources": sources, "board": board, **places})


def _anchored(section: Section, root: Path, *names: str) -> dict[str, Path | None]:
    found = {name: getattr(section, name) for name in names}
    return {name: None if value is None else root / value for name, value in found.items()}
