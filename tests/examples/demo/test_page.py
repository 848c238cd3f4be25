"""The demo's page: on loopback, for a reader alone, and its password is of this run."""

from __future__ import annotations

from pathlib import Path

from edge.page.settings import load_page
from edge.page.users import Role, matches, read_users
from examples.demo.page import READER, DemoPage
from examples.demo.story import NODE


def test_it_listens_on_loopback_for_a_reader_with_a_password_of_this_run(tmp_path: Path) -> None:
    """What is printed is what signs in, and who looks cannot change what the demo checks."""
    made = DemoPage(tmp_path, "127.0.0.1", 1883)
    settings = load_page(tmp_path / "page.toml")
    assert (settings.server.host, settings.server.port, settings.nodes) == ("127.0.0.1", made.port, (NODE,))
    assert settings.workshop is None
    (user,) = read_users(settings.users_file).values()
    assert (user.name, user.role) == (READER, Role.READ_ONLY)
    assert f"http://127.0.0.1:{made.port} as {READER}" in made.words
    assert matches(made.words.rpartition(" ")[2], user.secret)


def test_a_broker_on_another_machine_is_one_of_a_test_bench(tmp_path: Path) -> None:
    """As the demo's own site has it."""
    DemoPage(tmp_path, "10.0.0.5", 1883)
    assert load_page(tmp_path / "page.toml").insecure_dev
