"""Builds the edge node of a site: its names, its metrics, its servers."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence

from edge.alarm.catalogue import site_alarms
from edge.broker.credentials import try_credentials
from edge.site.settings import Site
from edge.sparkplug.connection import SparkplugConnection
from edge.sparkplug.metrics import Catalogue
from edge.sparkplug.node import EdgeNode, NodeSpec
from edge.sparkplug.schema import payload_class
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.verdict.channel import ChannelSpec
from edge.wire.envelope import Incoming
from edge.wire.messages import ModelInfo


def make_connection(
    site: Site,
    channels: Sequence[ChannelSpec],
    *,
    model: ModelInfo | None,
    version: str,
    run_id: str,
    put_command: Callable[[Incoming], None],
    clock: Clock,
    errors: InternalErrors,
) -> SparkplugConnection | None:
    """The site's edge node with its connection, not yet started; None when Sparkplug is off on the site.

    Args:
        site: settings.
        channels: every flag channel.
        model: the running bundle; None: there is no camera.
        version: of this program.
        run_id: changes with every start.
        put_command: leaves a host's command where all commands go.
        clock: the two clocks.
        errors: where exceptions go that are faults of this program.

    Raises:
        ConfigError: a password, certificate or key file of a server cannot be used.
    """
    try_servers(site)
    wanted = site.sparkplug
    if not wanted.enabled or wanted.group_id is None:
        return None
    payload_class()  # loads protobuf now, and not while frames are judged
    catalogue = make_catalogue(site, channels, model, version)
    servers = wanted.servers or (site.broker,)
    node = EdgeNode(
        NodeSpec(
            group_id=wanted.group_id,
            edge_node_id=wanted.edge_node_id or site.node.id,
            node=catalogue.node,
            devices=catalogue.devices,
            primary_host=wanted.primary_host,
            servers=len(servers),
            data_types=wanted.data_types,
            unconfirmed_ms=1_000 + 2_000 * max(server.keepalive_s for server in servers),
        )
    )
    return SparkplugConnection(
        node,
        catalogue,
        servers=servers,
        client_id=f"{site.node.id}-sparkplug",
        state_dir=site.node.state_dir,
        command_topic=f"{site.prefix()}/cmd",
        put_command=put_command,
        run_id=run_id,
        clock=clock,
        errors=errors,
    )


def try_servers(site: Site) -> None:
    """Open every secret that the edge node will need.

    Raises:
        ConfigError: a password, certificate or key file cannot be used; the text names the server.
    """
    if site.sparkplug.enabled:
        for number, server in enumerate(site.sparkplug.servers):
            try_credentials(server, f"sparkplug.servers[{number}]")


def make_catalogue(site: Site, channels: Sequence[ChannelSpec], model: ModelInfo | None, version: str) -> Catalogue:
    """Every metric of a site, and what they mean; a site without cameras has no bundle, and its metrics are empty."""
    facts = {
        "Properties/Software": f"edge-daemon {version}",
        "Properties/OS": f"{platform.system()} {platform.release()}",
        "Properties/Hardware": platform.machine(),
        "Model/Name": "" if model is None else model.name,
        "Model/Version": "" if model is None else str(model.version),
        "Model/SHA256": "" if model is None else model.sha256,
    }
    return Catalogue(site, channels, site_alarms(site, channels), facts)
