"""The table of a camera's triggers, read as a part of the site."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge.site.settings import Site


def site(*cameras: dict[str, Any]) -> Site:
    """A site with these cameras."""
    return Site.model_validate({"bundle": "b", "node": {"id": "press7"}, "cameras": cameras})


def test_a_camera_with_triggers_has_a_topic_for_them() -> None:
    """The node's own, or the one that it names; one without triggers has none."""
    made = site({"id": "a", "trigger": {}}, {"id": "b", "trigger": {"topic": "plc/part"}}, {"id": "c"})
    assert made.trigger_topics() == ("edge/v1/press7/in/trigger/a", "plc/part")
    assert set(made.trigger_topics()) <= set(made.input_topics())
    assert "edge/v1/press7/in/trigger/c" not in made.input_topics()


def test_a_trigger_waits_for_the_last_frame_that_fits() -> None:
    """A shorter time-out would make `after_ms` a promise that nobody keeps."""
    with pytest.raises(ValidationError, match="timeout_ms 400 must be more than after_ms 500"):
        site({"id": "a", "trigger": {"timeout_ms": 400}})
    with pytest.raises(ValidationError, match="60000"):
        site({"id": "a", "trigger": {"timeout_ms": 60_001}})
