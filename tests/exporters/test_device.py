"""A file makes a board, and a machine is that board only if it shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.board import MachineFacts
from edge.errors import ConfigError
from exporters.device import board_names, device_folder, device_tree_model, load_device, mismatches

BOARDS = board_names()


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_file_loads_with_sources(board: str) -> None:
    """Each board is complete, names its sources, and offers float32 to fall back to."""
    name, device = load_device(board)
    assert name == board
    assert device.sources
    assert "float32" in device.schemes
    assert max(device.threads) <= device.cores


def test_the_boards_of_the_mission_are_there() -> None:
    """The five that this project names."""
    assert {"x86-64-avx2", "x86-64-avx512-vnni", "raspberry-pi-5", "jetson-orin-nano", "intel-n100"} <= set(BOARDS)


def test_an_unknown_board_lists_the_known(tmp_path: Path) -> None:
    """A typo costs one look; a file of one's own is taken."""
    with pytest.raises(ConfigError, match="raspberry-pi-5"):
        load_device("rasberry-pi-5")
    own = tmp_path / "own.toml"
    own.write_text((device_folder() / "intel-n100.toml").read_text() + "\n")
    assert load_device(str(own))[0] == "own"
    own.write_text("colour = 3\n" + (device_folder() / "intel-n100.toml").read_text())
    with pytest.raises(ConfigError, match="colour"):
        load_device(str(own))


def _machine(arch: str = "x86_64", cpu: str = "Intel(R) N100", flags: str = "avx2 fma avx_vnni") -> MachineFacts:
    return MachineFacts(arch=arch, cpu=cpu, cores=4, cpu_flags=frozenset(flags.split()), memory_mib=8000)


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (_machine(arch="aarch64"), "architecture is aarch64"),
        (_machine(flags="avx2 fma"), "avx_vnni"),
        (_machine(cpu="Intel(R) N1000"), "does not match"),
    ],
)
def test_a_machine_that_is_not_the_board_says_why(machine: MachineFacts, reason: str) -> None:
    """Architecture, CPU flags and the processor's name each count."""
    _, device = load_device("intel-n100")
    assert mismatches(device, _machine()) == []
    assert reason in "; ".join(mismatches(device, machine))


def test_the_device_tree_names_the_board(tmp_path: Path) -> None:
    """The firmware's name is read without its closing zero; none is an empty name, and never this board."""
    file = tmp_path / "model"
    file.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\x00")
    assert device_tree_model(file) == "Raspberry Pi 5 Model B Rev 1.0"
    assert device_tree_model(tmp_path / "none") == ""
