"""Documents that are drawn from the code say what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from edge.wire.asyncapi import asyncapi
from edge.wire.messages import ACCEPTED, PUBLISHED, json_schemas, schema_name
from edge.wire.topics import IN, INPUTS, OUT, PICTURES
from edge.wire.verbs import Verb
from tests.generated import ROOT, documents


@pytest.mark.parametrize("path", documents())
def test_a_generated_document_is_fresh(path: str) -> None:
    """After a change: `make docs`."""
    assert (ROOT / path).read_text(encoding="utf-8") == documents()[path]()


@pytest.mark.parametrize("name", json_schemas())
def test_a_schema_is_a_schema(name: str) -> None:
    """Each message's JSON Schema is valid itself, and names what it describes."""
    schema = json_schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == name


def test_every_message_has_its_topic() -> None:
    """The table of topics and the list of messages agree."""
    assert {topic.message for topic in OUT} == set(PUBLISHED)
    assert {topic.message for topic in IN} == set(ACCEPTED)


def references(node: Any) -> Iterator[str]:
    """Every reference inside a JSON document."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(item)


def lookup(document: Any, reference: str) -> Any:
    """What a local reference points at, as RFC 6901 says: a slash in a name divides it."""
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def test_the_asyncapi_document_is_closed() -> None:
    """Every reference leads somewhere, and the message schemas need nothing outside themselves."""
    document = asyncapi("1")
    found = list(references(document))
    assert len(found) > 30
    for reference in found:
        assert lookup(document, reference)


def test_the_asyncapi_document_has_the_shape_of_the_specification() -> None:
    """What AsyncAPI 3.0 asks of the parts that we use; its own parser says the same, see tests/integrations."""
    document = asyncapi("1")
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    parts = document["components"]
    keys = [name for part in (document["channels"], document["operations"], *parts.values()) for name in part]
    assert [name for name in keys if not re.fullmatch(r"[\w.-]+", name)] == []
    for channel in document["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])
    used = set()
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert set(operation["bindings"]["mqtt"]) <= {"qos", "retain", "messageExpiryInterval", "bindingVersion"}
        used.add(operation["channel"]["$ref"])
    assert used == {f"#/channels/{name}" for name in document["channels"]}
    for message in parts["messages"].values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])
    pictures = {"snapshot", "explain-image"}
    assert len(pictures) == len(PICTURES)
    inputs = {"in-frame", "in-sensor", "in-camera", "in-trigger"}
    assert len(inputs) == len(INPUTS)
    assert {f"receive-{name}" for name in inputs} <= set(document["operations"])
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {"{root}/{node}/in/frame/{camera}", "{root}/{node}/in/sensor/{sensor}"} <= addresses
    names = {message["name"] for message in parts["messages"].values()}
    assert {schema_name(kind) for kind in (*PUBLISHED, *ACCEPTED)} | pictures | inputs == names


def test_the_document_of_topics_names_every_verb() -> None:
    """Whoever reads the table of commands knows all of them."""
    rows = re.findall(r"^\| (`[a-z_`, ]+) \|", (ROOT / "docs/topics.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {verb.value for verb in Verb} <= set(re.findall(r"[a-z_]+", " ".join(rows)))
