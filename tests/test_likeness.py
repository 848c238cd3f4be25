"""Documents that are called alike get the same verdict from the schema that ships, whatever is changed in them."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from edge.frame import Quality, Verdict
from edge.wire.messages import Event, Flag, State
from edge.wire.requests import Reply
from tests.stand.contract import likenesses, schema_problem, validators
from tests.stand.likeness import Likeness, Unlike

TIME = "2026-11-30T22:00:00.000Z"
DOCUMENTS: list[dict[str, Any]] = [
    json.loads(message.encode())
    for message in (
        State(online=True, ts=TIME, session="s", ne107="G", version="0", reasons=("one", "two")),
        Flag(
            ch="crack", on=True, verdict=Verdict.FAULT, q=Quality.GOOD, score=0.25, ts=TIME, seq=1, cam="cam",
            frame_seq=3, frame_ts=TIME, lat_ms=1.5, stage_ms=(0.1, 0.2, 0.3, 0.4), met=True,
        ),
        Event(ts=TIME, session="s", epoch=1, seq=1, kind="alarm", subject="a", what="x", occurrence_id=None, user=None),
        Reply(request_id="r", ok=False, code="not_allowed", detail="", state=None),
    )
]  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 5, 0.0, 0.5, 1.0, 1.5, -0.1, 2**70, 1e300, "", "x", "G", "good", "alarm", "edge.flag/1", "x" * 300,
    TIME, "2025-01-02T03:04:05.678Z", "yesterday", [], ["x"], [0.5, 0.5], [1, 2, 3, 4, 5], {}, {"x": 1},
)  # fmt: skip


def changed(document: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The document with another value somewhere, or with a key too many or too few."""
    found = copy.deepcopy(document)
    name = draw.choice([*found, "more"])
    if draw.random() < 0.1:
        found.pop(name, None)
    elif isinstance(found.get(name), list) and found[name] and draw.random() < 0.5:
        found[name][draw.randrange(len(found[name]))] = draw.choice(VALUES)
    else:
        found[name] = draw.choice(VALUES)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document["schema"]))
def test_what_is_alike_is_judged_alike(document: dict[str, Any]) -> None:
    """Some of the changed documents are good and some are not, and no two that are alike differ in that."""
    draw = random.Random(1)
    name = document["schema"]
    verdicts: dict[Any, bool] = {}
    alike = 0
    for _ in range(400):
        one = changed(document, draw)
        good = validators()[name].is_valid(one)
        seen = likenesses()[name].of(one)
        alike += seen in verdicts
        assert verdicts.setdefault(seen, good) is good, one
    assert {True, False} == set(verdicts.values())
    assert alike > 50


def test_only_what_differs_in_what_a_schema_sees_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time and another number are the same to it; a time that is none is not."""
    document = DOCUMENTS[0]
    assert schema_problem("edge.state/1", document) is None
    asked: list[Any] = []
    judge = type(validators()["edge.state/1"])

    def counted(validator: Any, instance: Any) -> Any:
        asked.append(instance)
        return judge.iter_errors(validator, instance)

    monkeypatch.setattr("tests.stand.contract.validators", lambda: {"edge.state/1": Judge()})

    class Judge:
        """The real one, counted."""

        def iter_errors(self, instance: Any) -> Any:
            """As the real one."""
            return counted(real, instance)

    real = validators()["edge.state/1"]
    assert schema_problem("edge.state/1", document | {"ts": "2025-01-02T03:04:05.678Z", "session": "other"}) is None
    assert asked == []
    assert schema_problem("edge.state/1", document | {"ts": "yesterday"}) is not None
    assert len(asked) == 1


@pytest.mark.parametrize("schema", [{"multipleOf": 2}, {"properties": {"a": {"format": "date"}}}, {"const": [1]}])
def test_a_schema_that_looks_in_an_unknown_way_has_no_likeness(schema: dict[str, Any]) -> None:
    """Its documents are judged one by one."""
    with pytest.raises(Unlike):
        Likeness(schema)


def test_every_message_has_one() -> None:
    """Else the tests become slow again without a word."""
    assert set(likenesses()) == set(validators())
