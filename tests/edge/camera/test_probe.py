"""`edge-camera probe`: what an address gives, as a block that the site file takes as it is."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.camera.__main__ import main
from edge.camera.probe import look
from edge.camera.shot import Shot, SourceFailed
from edge.console.exits import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from edge.site.settings import Site
from edge.wire.camera import CameraTrouble
from tests.stand.cameras import SECRET, USER, WebCamera, pictures
from tests.stand.ports import free_port


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """`main` sets the log up for its process; this is another."""
    kept = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], level = kept
    logging.root.setLevel(level)


@pytest.fixture
def camera() -> Iterator[WebCamera]:
    """A camera with a user and a password."""
    made = WebCamera(pictures(3), scheme="digest")
    yield made
    made.unplug()


def test_the_block_is_taken_by_the_site_file_as_it_is(
    camera: WebCamera, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the name of the password's file, and neither the password nor a query in any line but the address itself."""
    path = tmp_path / "password"
    path.write_text(SECRET, encoding="utf-8")
    path.chmod(0o600)
    who = ["--username", USER, "--password-file", str(path)]
    assert main(["probe", camera.url("/stream"), "--id", "press", "--seconds", "0.3", *who]) == EXIT_OK
    told = capsys.readouterr().out
    assert SECRET not in told
    document = tomllib.loads(told)
    site = Site.model_validate(document | {"bundle": tmp_path, "node": {"id": "n"}})
    (found,) = site.cameras
    assert found.id == "press"
    assert found.source is not None
    assert (found.source.url, found.source.username, found.source.password_file) == (camera.url("/stream"), USER, path)
    first, second = told.splitlines()[:2]
    assert "/stream: jpeg, " in first
    assert "passed on as it comes" in first
    assert second.startswith("# first picture after 0.")


def test_what_is_wrong_is_said_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody there is a failure; an address with a password in it is refused, and so is an id that no topic can hold."""
    assert main(["probe", f"http://127.0.0.1:{free_port()}/x"]) == EXIT_FAILED
    assert "check its power, its cable and the address (unreachable:" in capsys.readouterr().err
    assert main(["probe", "http://u:hush@127.0.0.1/x"]) == EXIT_CONFIG
    told = capsys.readouterr().err
    assert "take them out" in told
    assert "hush" not in told
    assert main(["probe", "http://127.0.0.1/x", "--id", "No Topic"]) == EXIT_CONFIG


def test_a_source_that_is_alive_and_shows_nothing_is_left_after_a_while() -> None:
    """A watched folder into which nobody writes."""

    class Empty:
        def shots(self) -> Iterator[Shot | None]:
            while True:
                yield None

    with pytest.raises(SourceFailed) as caught:
        look(Empty(), 90, 0.1, patience_s=0.2)
    assert caught.value.trouble is CameraTrouble.STALLED


def test_a_camera_runs_before_there_is_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pictures of the first bundle come through it: the site file is taken, and only the missing camera is told."""
    path = tmp_path / "site.toml"
    path.write_text('[node]\nid = "press7"\n[[cameras]]\nid = "cam1"\n', encoding="utf-8")
    assert main(["run", "cam1", "--config", str(path)]) == EXIT_CONFIG
    assert "cam1 has no source" in capsys.readouterr().err


def test_a_plain_path_is_told_what_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words of ours, without those of the library."""
    assert main(["probe", str(tmp_path)]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert f"folder://{tmp_path}" in said
    assert "Value error" not in said
