"""What is known and what is not, and what a browser is told of it; the clock is an argument."""

from __future__ import annotations

from typing import Any

from edge.page.board import ANSWERS, EVENTS, MOST_CHARACTERS, MOST_NODES, POINTS, Board
from edge.page.feed import Feed
from edge.units import NS_PER_S

STATE = {"online": True, "session": "s1", "reasons": []}


def board() -> Board:
    """A board that is connected, with one node that is there."""
    made = Board(0)
    made.connected(1, NS_PER_S)
    made.heard(("n", "state", ""), STATE, 2, NS_PER_S)
    made.heard(("n", "meta", ""), {"heartbeat_s": 2.0}, 2, NS_PER_S)
    made.tick(3, NS_PER_S)
    return made


def alarm(seq: int, epoch: int = 1) -> dict[str, Any]:
    """An alarm's message."""
    return {"epoch": epoch, "seq": seq}


def known(feed: Feed) -> tuple[bool, bool]:
    """Whether the broker and the node are there, as a browser is told."""
    news = feed.news()
    assert news is not None
    return news["link"]["up"], news["nodes"]["n"]["alive"]


def test_nothing_is_known_without_the_broker() -> None:
    """And after it came back only what was heard again is."""
    made = board()
    feed = Feed(made)
    made.heard(("n", "alarm", "a"), alarm(1), 4, NS_PER_S)
    assert known(feed) == (True, True)
    made.lost("went away", 5)
    made.tick(6, NS_PER_S)
    news = feed.news()
    assert news is not None
    assert (news["link"]["up"], news["link"]["since"], news["link"]["why"]) == (False, 5, "went away")
    assert (news["nodes"]["n"]["alive"], news["nodes"]["n"]["why"]) == (False, "went away")
    made.connected(7, 2 * NS_PER_S)
    made.tick(8, 2 * NS_PER_S)
    assert known(feed) == (True, False), "its state was not heard again"
    made.heard(("n", "state", ""), STATE, 9, 2 * NS_PER_S)
    made.tick(10, 2 * NS_PER_S)
    news = feed.news()
    assert news is not None
    assert news["nodes"]["n"]["alive"]
    assert [entry[1] for entry in news["entries"]] == ["state"], "the alarm's connection is still the old one"
    assert made.entries["n", "alarm", "a"].link < made.link


def test_a_node_that_is_silent_or_offline_is_not_known() -> None:
    """Three heartbeats and five seconds; its last will at once."""
    made = board()
    feed = Feed(made)
    made.tick(4, 12 * NS_PER_S)
    assert known(feed) == (True, True)
    made.tick(5, 13 * NS_PER_S)
    assert known(feed) == (True, False)
    made.heard(("n", "heartbeat", ""), {}, 6, 13 * NS_PER_S)
    made.tick(6, 13 * NS_PER_S)
    assert known(feed) == (True, True)
    made.heard(("n", "state", ""), {"online": False, "session": "s1", "reasons": ["connection lost"]}, 7, 13 * NS_PER_S)
    news = feed.news()
    assert news is not None
    assert news["nodes"]["n"] == {"alive": False, "why": "the daemon is offline: connection lost", "since": 7}


def test_verdicts_of_a_daemon_that_is_no_more_are_forgotten() -> None:
    """A new session has said nothing yet."""
    made = board()
    made.heard(("n", "flag", "f"), {"on": False, "ts": "2026-01-01T00:00:00.000Z", "score": 0.1, "q": "good"}, 4, 0)
    assert made.document("n", "flag", "f") is not None
    made.heard(("n", "state", ""), STATE | {"session": "s2"}, 5, 0)
    assert made.document("n", "flag", "f") is None


def test_a_verdict_that_stood_before_we_came_is_missed_and_named() -> None:
    """A node that is there, and has not said every flag in this connection; not at once, because it may be about to."""
    made = board()
    made.heard(("n", "meta", ""), {"heartbeat_s": 2.0, "channels": [{"id": "f"}, {"id": "g"}]}, 4, NS_PER_S)
    flag = {"on": False, "ts": "2026-01-01T00:00:00.000Z", "score": 0.1, "q": "good"}
    made.heard(("n", "flag", "f"), flag, 4, NS_PER_S)
    assert made.without_verdicts(1000) == []
    assert made.without_verdicts(4000) == [("n", 1, "s1")]
    made.heard(("n", "flag", "g"), flag, 5, NS_PER_S)
    assert made.without_verdicts(4000) == []
    made.lost("", 6)
    made.connected(7, NS_PER_S)
    made.heard(("n", "state", ""), STATE, 8, NS_PER_S)
    made.tick(9, NS_PER_S)
    assert made.without_verdicts(4000) == [("n", 2, "s1")]


def test_an_older_message_of_an_alarm_changes_nothing() -> None:
    """What is resent comes after what is newer; the order is (epoch, seq)."""
    made = board()
    for one in (alarm(5), alarm(4), alarm(1, epoch=2), alarm(9)):
        made.heard(("n", "alarm", "a"), one, 4, 0)
    assert made.document("n", "alarm", "a") == alarm(1, epoch=2)
    made.heard(("n", "alarm", "a"), None, 5, 0)
    assert made.document("n", "alarm", "a") is None


def test_a_browser_in_a_flood_is_told_the_newest_only() -> None:
    """Each topic once, however often it changed meanwhile; and nothing when nothing changed."""
    made = board()
    feed = Feed(made)
    feed.news()
    assert feed.news() is None
    for seq in range(1000):
        made.heard(("n", "alarm", f"a{seq % 3}"), alarm(seq), 4, 0)
    news = feed.news()
    assert news is not None
    assert {entry[2]: entry[5]["seq"] for entry in news["entries"]} == {"a0": 999, "a1": 997, "a2": 998}


def test_scores_and_events_are_bounded_and_told_once() -> None:
    """A point more is one point more; an event that is sent again is the same."""
    made = board()
    point = {"ts": "2026-01-01T00:00:00.000Z", "score": 0.5, "q": "good"}
    for _ in range(POINTS + 5):
        made.heard(("n", "value", "c"), point, 4, 0)
    feed = Feed(made)
    news = feed.news()
    assert news is not None
    assert len(news["points"][0][2]) == POINTS
    made.heard(("n", "value", "c"), point, 4, 0)
    made.heard(("n", "value", "c"), point | {"ts": "nonsense"}, 4, 0)
    for seq in [*range(EVENTS + 10), 3, EVENTS]:
        made.heard(("n", "event", ""), {"epoch": 1, "seq": seq, "ts": f"{seq:06d}"}, 4, 0)
    news = feed.news()
    assert news is not None
    assert [len(fresh) for _, _, fresh in news["points"]] == [1]
    found = made.history()
    assert (len(found), found[-1][1]["seq"]) == (EVENTS, EVENTS + 9)


def test_the_newest_answers_about_parts_are_kept_whatever_stands_in_them() -> None:
    """The newest first, a few of each camera; of a wrong shape or endless they cost no more than others."""
    made = board()
    for number in range(ANSWERS + 3):
        answer = {"part": f"A{number}", "outcome": "judged", "verdict": "ok", "faults": {"red": {"verdict": "ok"}}}
        made.heard(("n", "inspection", "cam1"), answer, 4, 0)
    made.heard(("n", "inspection", "cam1"), {"part": "x" * 1_000, "verdict": ["fault"], "faults": 3}, 5, 0)
    scratched = {"part": "A99", "verdict": "fault", "faults": {"red": {"verdict": "fault"}, "dent": {"verdict": "ok"}}}
    made.heard(("n", "inspection", "cam1"), scratched, 6, 0)
    newest, odd, *others = made.document("n", "inspection", "cam1")
    assert (newest["part"], newest["verdict"], newest["found"]) == ("A99", "fault", ["red"])
    assert (len(odd["part"]), odd["found"]) == (MOST_CHARACTERS, [])
    assert [one["part"] for one in others] == [f"A{number}" for number in range(ANSWERS + 2, 4, -1)]


def test_nodes_are_bounded() -> None:
    """Whoever may publish anywhere below the root fills no memory."""
    made = board()
    for number in range(2 * MOST_NODES):
        made.heard((f"n{number}", "state", ""), STATE, 4, 0)
    assert len(made.nodes) == MOST_NODES
    assert made.refused == MOST_NODES + 1
