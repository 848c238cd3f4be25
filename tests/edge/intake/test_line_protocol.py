"""InfluxDB's line protocol is read as records; what is broken costs its own line or key only."""

from __future__ import annotations

import time
from typing import Any

import pytest

from edge.errors import RejectedInput
from edge.intake.line_protocol import MAX_PAIRS, lines_of
from edge.parsing.structure import Unreadable


def record(name: str, fields: dict[str, Any], tags: dict[str, str] | None = None, at: int | None = None) -> object:
    """A record as Telegraf writes it in JSON."""
    return {"name": name, "tags": tags or {}, "fields": fields} | ({} if at is None else {"timestamp": at})


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("motor,host=a temp=81.5 1795473512500000000\n", [record("motor", {"temp": 81.5}, {"host": "a"}, 1_795_473_512_500_000_000)]),
        ("motor temp=81.5,rpm=3i,ok=true,dead=F", [record("motor", {"temp": 81.5, "rpm": 3, "ok": True, "dead": False})]),
        ('m s="a, b=\\"c\\" \n",v=1u 5', [record("m", {"s": 'a, b="c" \n', "v": 1}, at=5)]),
        ("my\\ motor,h\\,x=a\\=b v=1e3  7 \r\n# a note\n\nm v=-2", [record("my motor", {"v": 1000.0}, {"h,x": "a=b"}, 7), record("m", {"v": -2.0})]),
        ("m v=1\nbroken line=\nm v=2\nm\nm v", [record("m", {"v": 1.0}), record("broken", {"line": Unreadable("not_finite", "'' is neither a number nor a switch")}), record("m", {"v": 2.0})]),
        ("m v=nan,w=2", [record("m", {"v": Unreadable("not_finite", "'nan' is neither a number nor a switch"), "w": 2.0})]),
    ],
)  # fmt: skip
def test_lines_become_records(text: str, records: list[object]) -> None:
    """With tags, fields of every type, escapes, comments, and the time."""
    assert lines_of(text) == records


@pytest.mark.parametrize(
    "text", ["81.5", '{"a": "b=c"}', "[1]", '"a b=1"', "a=b", "no fields here", "= =", 'm s="open']
)
def test_what_is_no_line_is_left_to_others(text: str) -> None:
    """JSON may hold an equals sign too."""
    assert lines_of(text) in (
        None,
        [record("m", {"s": Unreadable("not_finite", "'' is neither a number nor a switch")})],
    )


def test_a_message_with_more_fields_than_are_read_is_refused() -> None:
    """Counted before anything is parsed."""
    with pytest.raises(RejectedInput, match="too_many_values"):
        lines_of("m " + "a=1," * (MAX_PAIRS + 1))


@pytest.mark.parametrize("unit", ['m a="\n', "m a=1\n", "m,a", "m a=\\", "m\\ ", "m,a=b", 'm a="\\"'])
def test_the_work_grows_with_the_length_and_no_faster(unit: str) -> None:
    """Whatever is repeated: eight times as much takes less than thirty-two times as long."""

    def cost_s(text: str) -> float:
        costs = []
        for _ in range(3):
            began_s = time.thread_time()
            lines_of(text)
            costs.append(time.thread_time() - began_s)
        return min(costs)

    few = 500
    assert cost_s("x=1 " + unit * few * 8) < 32 * max(cost_s("x=1 " + unit * few), 1e-4)
