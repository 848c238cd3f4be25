"""The site file says everything once, and a mistake in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.site.settings import Site, load_site
from edge.wire.topics import FRAME_IN, SENSOR_IN

MINIMAL = """
bundle = "bundles/line"
[node]
id = "line3"
[[cameras]]
id = "cam"
"""

FULL = (
    MINIMAL
    + """
[[sensors]]
id = "vibration"
[[rules]]
id = "shaking"
sensor = "vibration"
kind = "above"
limit = 4.5
[[faults]]
id = "loose"
camera = "cam"
rules = ["shaking"]
"""
)


def site(tmp_path: Path, text: str) -> Site:
    """Load a site from text."""
    file = tmp_path / "site.toml"
    file.write_text(text)
    return load_site(file)


def test_relative_paths_count_from_the_site_file(tmp_path: Path) -> None:
    """The daemon may be started from anywhere."""
    assert site(tmp_path, MINIMAL).bundle == tmp_path / "bundles" / "line"


def test_default_topics_carry_the_node(tmp_path: Path) -> None:
    """A camera or sensor without a topic gets one below the node's own prefix."""
    loaded = site(tmp_path, FULL)
    assert loaded.frame_topic(loaded.cameras[0]) == "edge/v1/line3/in/frame/cam" == FRAME_IN.at(loaded.prefix(), "cam")
    expected = SENSOR_IN.at(loaded.prefix(), "vibration")
    assert loaded.sensor_topic(loaded.sensors[0]) == "edge/v1/line3/in/sensor/vibration" == expected


def test_the_environment_stands_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address may differ per device while the file stays the same."""
    monkeypatch.setenv("EDGE_DAEMON_BROKER__PORT", "1999")
    assert site(tmp_path, MINIMAL).broker.port == 1999


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(MINIMAL.replace("bundle =", "bundel ="), "bundel", id="unknown key"),
        pytest.param(MINIMAL.replace('id = "line3"', 'id = "Line 3"'), "node.id", id="id that is no topic level"),
        pytest.param(FULL.replace('sensor = "vibration"', 'sensor = "vibes"'), "vibes", id="rule on an unknown sensor"),
        pytest.param(FULL.replace('camera = "cam"', 'camera = "cam2"'), "cam2", id="fault on an unknown camera"),
        pytest.param(
            FULL.replace('rules = ["shaking"]', 'rules = ["quaking"]'), "quaking", id="fault with an unknown rule"
        ),
        pytest.param(FULL + '[[faults]]\nid = "loose"\ncamera = "cam"\n', "loose", id="fault id twice"),
        pytest.param(FULL + '[[faults]]\nid = "nothing"\n', "no evidence", id="fault without evidence"),
        pytest.param(FULL.replace("limit = 4.5", "limit = nan"), "limit", id="not a number"),
        pytest.param(MINIMAL + 'topic = "plant/+/cam"\n', "topic", id="wildcard in a topic"),
        pytest.param(
            MINIMAL + 'topic = "$share/g/plc/cam"\n', "shared subscription", id="shared subscription as a topic"
        ),
        pytest.param(MINIMAL + 'topic = "plant/cam "\n', "begins or ends with a space", id="space after a topic"),
        pytest.param(MINIMAL + 'topic = "plant/cam\\n"\n', "begins or ends", id="line break after a topic"),
        pytest.param(
            MINIMAL + 'topic = "plant\\u200b/cam"\n', "invisible character", id="invisible character in a topic"
        ),
        pytest.param(MINIMAL + 'topic = "halle/o\\u0308l"\n', "NFD", id="decomposed accents in a topic"),
        pytest.param(FULL.replace('kind = "above"', 'kind = "bit_set"'), "no bit", id="rule on half a bit"),
        pytest.param('bundle = "x"\n[node]\nid = "a"\n', "nothing to watch", id="nothing to watch"),
        pytest.param(
            MINIMAL + '[broker]\nhost = "10.0.0.9"\n',
            "no TLS is configured: add",
            id="remote broker without protection",
        ),
        pytest.param(
            MINIMAL + '[broker]\nhost = "10.0.0.9"\nusername = "u"\npassword_file = "secret"\n',
            "a password would cross the network in the clear",
            id="remote broker with a password in the clear",
        ),
        pytest.param(
            MINIMAL + '[sparkplug]\n[[sparkplug.servers]]\nhost = "10.0.0.8"\nusername = "u"\npassword_file = "s"\n',
            "10.0.0.8 is another machine",
            id="remote Sparkplug server with a password in the clear",
        ),
        pytest.param(
            MINIMAL + "[explain]\nimage = true\n", "snapshot = true", id="heat maps of cameras that may not be shown"
        ),
        pytest.param(
            MINIMAL + "snapshot = true\n[explain]\nimage = true\ngrid = 0\n", "grid = 0", id="heat maps without a map"
        ),
        pytest.param("bundle = [", "not TOML", id="not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, names: str) -> None:
    """The message says which key or id is wrong."""
    with pytest.raises(ConfigError, match=names):
        site(tmp_path, text)


@pytest.mark.parametrize(
    ("named", "environment", "kept"),
    [
        ("", {}, None),
        ("", {"STATE_DIRECTORY": ""}, None),
        ("", {"STATE_DIRECTORY": "/var/lib/edge-daemon"}, Path("/var/lib/edge-daemon")),
        ("", {"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}, Path("/var/lib/one")),
        ('state_dir = "/data"', {"STATE_DIRECTORY": "/var/lib/edge-daemon"}, Path("/data")),
    ],
)
def test_state_is_kept_where_the_file_or_else_systemd_says(
    tmp_path: Path, named: str, environment: dict[str, str], kept: Path | None
) -> None:
    """The shipped unit makes a folder for it; a site file that names none uses that, so nothing is lost by default."""
    file = tmp_path / "site.toml"
    file.write_text(MINIMAL.replace('id = "line3"', f'id = "line3"\n{named}'))
    assert load_site(file, environment).node.state_dir == kept


def test_a_site_that_loses_its_alarms_is_known(tmp_path: Path) -> None:
    """One with alarms and no folder for their states; without alarms there is nothing to lose."""
    alarm = '[faults.alarm]\nseverity = 500\nmessage = "m"\noperator_action = "o"\nconsequence = "c"\n'
    assert site(tmp_path, FULL + alarm).loses_states()
    assert not site(tmp_path, FULL).loses_states()
    assert not site(
        tmp_path, (FULL + alarm).replace('id = "line3"', 'id = "line3"\nstate_dir = "state"')
    ).loses_states()


@pytest.mark.parametrize(
    "topic", ["/plc/a", "halle/\u00f6l", "halle/\u6e29\u5ea6/\u00b0C", "plc/100%", "$SYS/broker/uptime", "a b/c"]
)
def test_a_topic_that_can_deliver_is_taken(tmp_path: Path, topic: str) -> None:
    """What looks strange and works is nobody's business."""
    assert site(tmp_path, MINIMAL + f'topic = "{topic}"\n').cameras[0].topic == topic


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    with pytest.raises(ConfigError, match="cannot read"):
        load_site(tmp_path / "nowhere.toml")


def test_a_bench_may_allow_an_open_broker(tmp_path: Path) -> None:
    """`insecure_dev` is the one way to an unprotected broker on another machine."""
    assert site(
        tmp_path, MINIMAL + '[broker]\nhost = "10.0.0.9"\n[runtime]\ninsecure_dev = true\n'
    ).runtime.insecure_dev


def test_the_tree_is_frozen(tmp_path: Path) -> None:
    """Nothing changes settings at run time."""
    loaded = site(tmp_path, MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        loaded.node.id = "other"  # type: ignore[misc] # the very thing that must fail
