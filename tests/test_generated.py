"""Documents that are drawn from the code say what the code says."""

from __future__ import annotations

import jsonschema
import pytest

from edge.messages import ACCEPTED, PUBLISHED, json_schemas, schema_name
from edge.topics import IN, OUT, asyncapi
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


def test_the_asyncapi_document_is_closed() -> None:
    """Every reference leads somewhere."""
    document = asyncapi("1")
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            assert message["$ref"].rpartition("/")[0] == "#/components/messages" or "edge." in message["$ref"]
        assert set(channel["parameters"]) <= set(document["components"]["parameters"])
    assert {schema_name(kind) for kind in (*PUBLISHED, *ACCEPTED)} == set(document["components"]["messages"])
