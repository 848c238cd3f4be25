"""The Node-RED flow holds together and is over the topics of its site; that it works is shown in tests/integrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.integrations.node_red import node_red_flow
from edge.integrations.plan import SiteTags


def of_type(flow: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """All nodes of a type."""
    return [node for node in flow if node["type"] == kind]


def test_every_wire_leads_somewhere(plan: SiteTags) -> None:
    """Ids are unique, and wires, tabs and brokers exist."""
    flow = node_red_flow(plan)
    ids = [node["id"] for node in flow]
    assert len(set(ids)) == len(ids)
    ends = [end for node in flow for wire in node.get("wires", ()) for end in wire]
    assert ends
    assert set(ends) <= set(ids)
    assert {node[key] for node in flow for key in ("z", "broker", "tls") if key in node and len(node[key]) == 16} <= set(ids)  # fmt: skip


def test_it_listens_where_the_site_speaks(press: SiteTags) -> None:
    """Under that site's root and node; commands go out not retained, with QoS 1."""
    flow = node_red_flow(press)
    prefix = "acme/north/edge/v1/press7"
    heard = {node["topic"] for node in of_type(flow, "mqtt in")}
    assert heard == {f"{prefix}/{topic}" for topic in ("alarm/+", "flag/+", "res/+", "state")}
    [tab], [out] = of_type(flow, "tab"), of_type(flow, "mqtt out")
    assert {item["name"]: item["value"] for item in tab["env"]} == {
        "NODE": "press7",
        "PREFIX": prefix,
        "PAGE": "/press7",
    }
    assert (out["qos"], out["retain"]) == ("1", "false")


def test_secrets_stay_out_and_encryption_stays_in(press: SiteTags) -> None:
    """The broker is the site's and TLS is on; the device's own user, key and certificate are nobody else's."""
    flow = node_red_flow(press)
    [broker], [tls] = of_type(flow, "mqtt-broker"), of_type(flow, "tls-config")
    assert (broker["broker"], broker["port"], broker["usetls"], broker["tls"]) == (
        "broker.plant",
        "8883",
        True,
        tls["id"],
    )
    assert tls["verifyservercert"]
    assert not any("press7.key" in str(node) or node.get("user") for node in flow)


def test_two_sites_live_in_one_node_red(plan: SiteTags, press: SiteTags) -> None:
    """Nothing of theirs collides, and generating again changes nothing."""
    assert not {node["id"] for node in node_red_flow(plan)} & {node["id"] for node in node_red_flow(press)}
    assert node_red_flow(plan) == node_red_flow(plan)


def test_its_functions_are_javascript(plan: SiteTags, javascript: Callable[[str], str | None]) -> None:
    """Node itself reads them; and would say so if they were not."""
    bodies = [node["func"] for node in of_type(node_red_flow(plan), "function")]
    assert len(bodies) == 6
    assert [javascript(body) for body in bodies] == [None] * 6
    assert javascript("return }") is not None
