"""Whether a sensor or its gateway is dead shows what its neighbours do."""

from __future__ import annotations

from edge.health.common_cause import CommonCauses
from edge.site.gateways import Gateway

S = 1_000_000_000
STALE_S = 5


class Plant:
    """Sensors of one gateway, and one alone, that speak when they are told to; looked at each 50 ms."""

    def __init__(self, count: int = 4, **stale_s: int) -> None:
        self.names = [f"t{number}" for number in range(count)]
        stale_ns = {name: stale_s.get(name, STALE_S) * S for name in [*self.names, "alone"]}
        self.causes = CommonCauses([Gateway("gw", "topic gw", tuple(self.names))], stale_ns, 0)
        self.last_ns: dict[str, int | None] = dict.fromkeys([*self.names, "alone"])
        self.now_ns = 0
        self.look()

    def look(self) -> None:
        """What is known now."""
        self.found = self.causes.look(self.last_ns, self.now_ns)

    def live(self, seconds: float, *speaking: str) -> None:
        """Time passes; these speak once a second, one after another."""
        for step in range(round(seconds * 20)):
            self.now_ns += 50_000_000
            for number, name in enumerate(speaking):
                if step % 20 == number % 20:
                    self.last_ns[name] = self.now_ns
            self.look()


def test_a_dead_gateway_is_one_silence() -> None:
    """However its sensors' last values were spread over a second, none of them is ever called silent by itself."""
    plant = Plant()
    plant.live(3, *plant.names, "alone")
    assert plant.found.gateways == {"gw": False}
    for _ in range(200):
        plant.live(0.05, "alone")
        assert not plant.found.silent
    assert plant.found.gateways == {"gw": True}
    assert plant.found.hidden == dict.fromkeys(plant.names, "gw")


def test_it_comes_back_without_a_flood() -> None:
    """The first value ends it; sensors that have not spoken yet get their time, and only one that stays silent is called so."""
    plant = Plant()
    plant.live(3, *plant.names)
    plant.live(20)
    assert plant.found.gateways == {"gw": True}
    back = plant.names[:3]
    plant.live(STALE_S, *back)
    assert plant.found.gateways == {"gw": False}
    assert not plant.found.hidden
    assert plant.found.silent <= {"alone"}
    assert plant.found.undecided == {"t3"}
    plant.live(2, *back)
    assert plant.found.silent - {"alone"} == {"t3"}


def test_a_dead_sensor_among_living_ones_is_silent_by_itself() -> None:
    """As soon as a neighbour has spoken after its time was up."""
    plant = Plant()
    plant.live(3, *plant.names)
    plant.live(STALE_S + 2, *plant.names[1:])
    assert plant.found.silent - {"alone"} == {"t0"}
    assert plant.found.gateways == {"gw": False}


def test_a_sensor_that_was_dead_before_stays_so() -> None:
    """Neither the gateway's death nor its return says anything of it."""
    plant = Plant()
    plant.live(3, *plant.names)
    plant.live(10, *plant.names[1:])
    plant.live(20)
    assert plant.found.silent - {"alone"} == {"t0"}
    assert "t0" not in plant.found.hidden
    plant.live(1, *plant.names[1:])
    assert "t0" in plant.found.silent | plant.found.undecided
    plant.live(10, *plant.names[1:])
    assert plant.found.silent - {"alone"} == {"t0"}


def test_a_quick_sensor_beside_slow_ones_does_not_wait_for_them() -> None:
    """Twice its own time is enough, though its neighbours speak every quarter of an hour."""
    plant = Plant(t1=900, t2=900, t3=900)
    plant.live(3, *plant.names)
    plant.live(STALE_S + 1)
    assert plant.found.undecided == {"t0"}
    plant.live(STALE_S)
    assert plant.found.silent - {"alone"} == {"t0"}
    assert plant.found.gateways == {"gw": False}


def test_a_start_behind_a_dead_gateway_knows_nothing_at_first() -> None:
    """So an alarm that stood is not cleared, and what was suppressed stays so; then it is silent."""
    plant = Plant()
    plant.live(1)
    assert plant.found.gateways == {"gw": None}
    assert plant.found.undecided == set(plant.names)
    plant.live(STALE_S)
    assert plant.found.gateways == {"gw": True}
    assert set(plant.found.hidden) == set(plant.names)


def test_a_sensor_of_no_gateway_is_judged_alone() -> None:
    """It has nobody to be compared with."""
    plant = Plant()
    plant.live(3, *plant.names, "alone")
    plant.live(STALE_S + 1, *plant.names)
    assert plant.found.silent == {"alone"}


def test_of_one_that_is_absent_nothing_is_said() -> None:
    """Neither is it silent, nor does it show that the gateway is; without any member nobody knows of the gateway."""
    plant = Plant(2)
    plant.live(3, *plant.names)
    late_ns = plant.now_ns + 6 * S
    found = plant.causes.look(plant.last_ns, late_ns, {"t0", "alone"})
    assert (set(found.silent), dict(found.hidden), set(found.undecided)) == (set(), {}, {"t1"})
    assert plant.causes.look(plant.last_ns, late_ns, {"t0", "t1"}).gateways == {"gw": None}
