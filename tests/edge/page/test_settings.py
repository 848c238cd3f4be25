"""page.toml: what is unsafe is refused with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.page.__main__ import main
from edge.page.settings import load_page
from edge.page.users import write_users

USERS = 'users_file = "users.json"\n'


def written(folder: Path, text: str) -> Path:
    """A page.toml."""
    path = folder / "page.toml"
    path.write_text(USERS + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[server]\nhost = "10.0.0.5"\n', "plain_http = true"),
        ('[server]\nhost = "0.0.0.0"\nplain_http = true\n', "names is needed"),
        ('[server]\ncert_file = "a.pem"\n', "belong together"),
        ('[broker]\nhost = "10.0.0.5"\n', "insecure_dev = true"),
        ("[sessions]\nhours = 0\n", "above 0"),
        ('colour = "red"\n', "no key that is known"),
        ('[[evidence]]\nnode = "a"\nfolder = "x"\n[[evidence]]\nnode = "a"\nfolder = "y"\n', "twice"),
        (
            '[workshop]\nfolder = "w"\n[[workshop.sources]]\nid = "a"\nfolder = "x"\n[[workshop.sources]]\nid = "a"\nfolder = "y"\n',
            "twice",
        ),
        ('[workshop]\nfolder = "w"\nname = "../x"\n', "name"),
        ('[workshop]\nfolder = "w"\n[[workshop.sources]]\nid = "../a"\nfolder = "x"\n', "id"),
    ],
)
def test_what_is_unsafe_or_wrong_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Passwords in the clear, names that any site could use, keys that nobody reads."""
    with pytest.raises(ConfigError, match=words):
        load_page(written(tmp_path, text))


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    """Users, certificates and evidence."""
    text = (
        '[server]\nhost = "10.0.0.5"\ncert_file = "a.pem"\nkey_file = "a.key"\n[[evidence]]\nnode = "a"\nfolder = "x"\n'
    )
    found = load_page(written(tmp_path, text))
    assert found.users_file == tmp_path / "users.json"
    assert (found.server.cert_file, found.evidence[0].folder) == (tmp_path / "a.pem", tmp_path / "x")


def test_a_workshops_paths_count_from_the_file(tmp_path: Path) -> None:
    """A board that is no file is a name; bundles lie in its folder unless it says where."""
    text = '[workshop]\nfolder = "w"\nboard = "{}"\n[[workshop.sources]]\nid = "a"\nfolder = "x"\n'
    workshop = load_page(written(tmp_path, text.format("raspberry-pi-5"))).workshop
    assert workshop is not None
    assert (workshop.folder, workshop.sources[0].folder) == (tmp_path / "w", tmp_path / "x")
    assert (workshop.board, workshop.place_of_bundles()) == ("raspberry-pi-5", tmp_path / "w" / "bundles")
    workshop = load_page(written(tmp_path, text.format("own.toml"))).workshop
    assert workshop is not None
    assert workshop.board == str(tmp_path / "own.toml")


def test_check_says_what_a_workshop_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each source with its pictures, or why there are none."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1.jpg").write_bytes(b"x")
    text = '[workshop]\nfolder = "w"\nsources = [{ id = "a", folder = "x" }, { id = "b", folder = "y" }]\n'
    config = written(tmp_path, text)
    write_users(tmp_path / "users.json", {})
    assert main(["check", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert "source a: 1 pictures, 0 sorted" in said
    assert "source b: b cannot be read: No such file or directory" in said
    assert not (tmp_path / "w").exists()


def test_a_page_on_loopback_answers_to_loopback_names_only(tmp_path: Path) -> None:
    """A name that an attacker points at 127.0.0.1 is none of them."""
    assert load_page(written(tmp_path, "")).server.accepted_names() == {"127.0.0.1", "localhost", "::1"}
    named = load_page(written(tmp_path, '[server]\nhost = "10.0.0.5"\nplain_http = true\nnames = ["Page.plant"]\n'))
    assert named.server.accepted_names() == {"10.0.0.5", "page.plant"}
