"""Builds the edge node of a site: its names, its metrics, its servers."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence

from edge.channel import ChannelSpec
from edge.clock import Clock
from edge.credentials import try_credentials
from edge.envelope import Incoming
from edge.messages import ModelInfo
from edge.settings import Site
from edge.sparkplug.metrics import Catalogue
from edge.sparkplug.node import EdgeNode, NodeSpec
from edge.sparkplug.session import Session
from edge.standing import site_alarms


def sparkplug_session(
    site: Site,
    channels: Sequence[ChannelSpec],
    *,
    model: ModelInfo,
    version: str,
    run_id: str,
    put_command: Callable[[Incoming], None],
    clock: Clock,
) -> Session | None:
    """The site's edge node with its connection, not yet started; None when the site wants none.

    Args:
        site: settings.
        channels: every flag channel.
        model: the running bundle.
        version: of this program.
        run_id: changes with every start.
        put_command: leaves a host's command where all commands go.
        clock: the two clocks.

    Raises:
        ConfigError: a password, certificate or key file of a server cannot be used.
    """
    try_servers(site)
    wanted = site.sparkplug
    if not wanted.enabled or wanted.group_id is None:
        return None
    catalogue = sparkplug_catalogue(site, channels, model, version)
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
            unheard_ms=1_000 + 2_000 * max(server.keepalive_s for server in servers),
        )
    )
    return Session(
        node,
        catalogue,
        servers=servers,
        client_id=f"{site.node.id}-sparkplug",
        state_dir=site.node.state_dir,
        command_topic=f"{site.prefix()}/cmd",
        put_command=put_command,
        run_id=run_id,
        clock=clock,
    )


def try_servers(site: Site) -> None:
    """Open every secret that the edge node will need.

    Raises:
        ConfigError: a password, certificate or key file cannot be used; the text says of which server.
    """
    if site.sparkplug.enabled:
        for number, server in enumerate(site.sparkplug.servers):
            try_credentials(server, f"sparkplug.servers[{number}]")


def sparkplug_catalogue(site: Site, channels: Sequence[ChannelSpec], model: ModelInfo, version: str) -> Catalogue:
    """Every metric of a site with a bundle, and what they mean."""
    facts = {
        "Properties/Software": f"edge-daemon {version}",
        "Properties/OS": f"{platform.system()} {platform.release()}",
        "Properties/Hardware": platform.machine(),
        "Model/Name": model.name,
        "Model/Version": str(model.version),
        "Model/SHA256": model.sha256,
    }
    return Catalogue(site, channels, site_alarms(site, channels), facts)
