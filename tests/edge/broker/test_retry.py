"""A broker that is down is asked again, later each time, and one on this machine soon."""

from __future__ import annotations

import pytest

from edge.broker.retry import FIRST_PAUSE_S, longest_pause_s, pause_s
from edge.site.sections import BrokerSettings


@pytest.mark.parametrize(
    ("host", "longest_s"), [("127.0.0.1", 2.0), ("127.0.0.53", 2.0), ("::1", 2.0), ("localhost", 2.0), ("broker", 30.0)]
)
def test_a_broker_on_this_machine_is_not_waited_for_long(host: str, longest_s: float) -> None:
    """It is back soon; a shorter limit of the site stays."""
    assert longest_pause_s(BrokerSettings(host=host)) == longest_s
    assert longest_pause_s(BrokerSettings(host=host, reconnect_max_s=0.5)) == 0.5


def test_pauses_double_with_each_failure_up_to_the_longest() -> None:
    """Each is shortened by up to a half at random, so that devices do not come back in step."""
    settings = BrokerSettings(host="broker", reconnect_max_s=30.0)
    for failures, whole_s in [
        (0, FIRST_PAUSE_S),
        (1, 2 * FIRST_PAUSE_S),
        (3, 8 * FIRST_PAUSE_S),
        (9, 30.0),
        (9_999, 30.0),
    ]:
        drawn = {pause_s(settings, failures) for _ in range(50)}
        assert whole_s / 2 <= min(drawn) < max(drawn) <= whole_s


def test_a_client_that_gives_way_pauses_longer_than_a_broker_on_this_machine_asks() -> None:
    """Another client uses its id: it waits for that one."""
    assert pause_s(BrokerSettings(host="localhost"), 0, least_s=15.0) >= 7.5
