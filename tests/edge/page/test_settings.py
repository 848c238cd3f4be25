"""page.toml: what is unsafe is refused with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.page.settings import load_page

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


def test_a_page_on_loopback_answers_to_loopback_names_only(tmp_path: Path) -> None:
    """A name that an attacker points at 127.0.0.1 is none of them."""
    assert load_page(written(tmp_path, "")).server.accepted_names() == {"127.0.0.1", "localhost", "::1"}
    named = load_page(written(tmp_path, '[server]\nhost = "10.0.0.5"\nplain_http = true\nnames = ["Page.plant"]\n'))
    assert named.server.accepted_names() == {"10.0.0.5", "page.plant"}
