"""Addresses: credentials are filled in where a library needs them, and stand in nothing that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.camera.address import filled, local_path, password, refuse_unreachable, shown, with_credentials
from edge.camera.shot import SourceFailed
from edge.errors import ConfigError
from edge.site.settings import load_site
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble
from tests.stand.cameras import SECRET, USER
from tests.stand.ports import free_port


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A guarded file with the password in it."""
    path = tmp_path / "password"
    path.write_text(SECRET + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_user_and_password_go_where_the_library_wants_them(secret_file: Path) -> None:
    """Before the host, with every letter escaped that would end them; the settings hold the file's name alone."""
    source = SourceSettings(url="rtsp://cam:8554/live?a=1", username=USER, password_file=secret_file)
    full = with_credentials(source, password(source))
    assert full == f"rtsp://{USER}:p%40ss%2Fw%C3%B6rd%3A1@cam:8554/live?a=1"
    assert SECRET not in repr(source)
    assert shown(full) == "rtsp://cam:8554/live"


def test_cameras_that_want_the_password_in_the_query_get_it_there(secret_file: Path) -> None:
    """And then nowhere else."""
    url = "http://cam/snap?user={user}&pwd={password}"
    source = SourceSettings(url=url, username=USER, password_file=secret_file)
    assert filled(source, password(source)) == f"http://cam/snap?user={USER}&pwd=p%40ss%2Fw%C3%B6rd%3A1"
    assert with_credentials(source, password(source)) == filled(source, password(source))
    assert shown(filled(source, SECRET)) == "http://cam/snap"


def test_a_camera_without_credentials_gets_none() -> None:
    """The address is what the site file says."""
    source = SourceSettings(url="rtsp://cam/live")
    assert with_credentials(source, password(source)) == source.url


def test_a_password_that_others_can_read_is_refused(secret_file: Path) -> None:
    """As for the broker's."""
    secret_file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        password(SourceSettings(url="rtsp://cam/live", username=USER, password_file=secret_file))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://u:hush@cam/live", "take them out"),
        ("rtsp://[cam/live", "no address"),
        ("rtsp://cam:99999/live", "no address"),
        ("ftp://cam/live", "begins with none of"),
        ("rtsp:///live", "names no camera"),
        ("folder://srv/pictures", "three slashes"),
        ("v4l2:video0", "three slashes"),
        ("http://cam/a b", "space"),
        ("http://cam/snap?pwd={password}", "give username and password_file"),
    ],
)
def test_an_address_that_cannot_be_opened_is_refused_with_what_to_write(url: str, told: str) -> None:
    """When the site file is read, not when the camera does not come."""
    with pytest.raises(ValidationError, match=told):
        SourceSettings(url=url)


def test_settings_that_contradict_each_other_are_refused() -> None:
    """A password without a user, an authority for a connection without TLS, a user of a camera that knows none."""
    with pytest.raises(ValidationError, match="knows no user"):
        SourceSettings(url="gige://cam", username="operator")
    with pytest.raises(ValidationError, match="username is not"):
        SourceSettings(url="rtsp://cam/live", password_file=Path("p"))
    with pytest.raises(ValidationError, match="ca_file is for"):
        SourceSettings(url="rtsp://cam/live", ca_file=Path("p"))


def test_a_password_in_the_site_file_is_refused_without_repeating_it(tmp_path: Path) -> None:
    """Messages about settings land in logs."""
    path = tmp_path / "site.toml"
    path.write_text(
        'bundle = "b"\nnode = {id = "n"}\n[[cameras]]\nid = "cam"\n[cameras.source]\nurl = "rtsp://u:hush@cam/live"\n',
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="take them out") as caught:
        load_site(path)
    assert "hush" not in str(caught.value)


def test_a_path_is_taken_from_an_address_as_it_is_written() -> None:
    """Escapes are resolved."""
    assert local_path(SourceSettings(url="folder:///srv/line%201")) == Path("/srv/line 1")


def test_nobody_at_the_address_is_found_out_at_once() -> None:
    """With what the network says, and before any library waits for an answer."""
    with pytest.raises(SourceFailed, match="Connection refused") as caught:
        refuse_unreachable(SourceSettings(url=f"rtsp://127.0.0.1:{free_port()}/live"))
    assert caught.value.trouble is CameraTrouble.UNREACHABLE
