"""A file makes a board, and a machine is that board only if it shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.system.board import MachineFacts
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


VNNI = "avx2 fma avx512f avx512_vnni"


@pytest.mark.parametrize(
    ("board", "flags", "cores", "memory_mib", "reason"),
    [
        ("x86-64-avx2", "avx2 fma avx512f", 2, 4000, ""),
        ("x86-64-avx2", "avx2 fma avx512f", 64, 250_000, ""),
        ("x86-64-avx2", VNNI, 2, 4000, "the board lacks.*avx512_vnni"),
        ("x86-64-avx2", "avx2 fma avx_vnni", 2, 4000, "the board lacks.*avx_vnni"),
        ("x86-64-avx2", "avx2 fma amx_int8", 2, 4000, "the board lacks.*amx_int8"),
        ("x86-64-avx2", "avx2 fma", 1, 4000, "cores are 1, the board has 2"),
        ("x86-64-avx2", "avx2 fma", 2, 2000, "memory is 2000 MiB"),
        ("x86-64-avx512-vnni", VNNI, 4, 8000, ""),
        ("x86-64-avx512-vnni", VNNI, 2, 8000, "cores are 2"),
        ("x86-64-avx512-vnni", VNNI + " amx_int8", 4, 8000, "the board lacks.*amx_int8"),
    ],
)
def test_a_machine_that_can_more_is_not_the_board(
    board: str, flags: str, cores: int, memory_mib: int, reason: str
) -> None:
    """What a faster instruction set measured proves nothing of a board without it, nor do fewer cores or less memory."""
    machine = MachineFacts("x86_64", "some processor", cores, frozenset(flags.split()), memory_mib)
    found = "; ".join(mismatches(load_device(board)[1], machine))
    assert bool(found) == bool(reason)
    assert re.search(reason, found)


def test_a_board_file_is_refused_for_its_name_and_patterns(tmp_path: Path) -> None:
    """What would fail after the build fails before it, and says how to put it right."""
    text = (device_folder() / "intel-n100.toml").read_text()
    spaced = tmp_path / "My Board.toml"
    spaced.write_text(text)
    with pytest.raises(ConfigError, match=r"rename it.*my-board\.toml"):
        load_device(str(spaced))
    own = tmp_path / "own.toml"
    own.write_text(text.replace('cpu_model = "N100\\\\b"', 'cpu_model = "("'))
    with pytest.raises(ConfigError, match="not a regular expression"):
        load_device(str(own))


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("threads = [1, 2, 4]", "threads = [1, 8]", r"threads \[1, 8\] do not fit 4 cores"),
        ("threads = [1, 2, 4]", "threads = [0]", r"threads \[0\] do not fit"),
        ('"CPUExecutionProvider"]', '"CPUExecutionProvder"]', "'CPUExecutionProvder' is not known; did you mean CPUExecutionProvider"),
        ('"fma"', '"fmma"', "isa_required: 'fmma' is not known; did you mean fma"),
        ('arch = "x86_64"', 'arch = "x86-64"', "arch: 'x86-64' is not known; did you mean x86_64"),
        ("cores = 4", "cores = -4", "line .*: cores: must be at least 1, not -4"),
    ],
)  # fmt: skip
def test_what_no_machine_can_have_is_refused(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    """A slip of the pen in a board file would make a bundle that runs nowhere, or slowly."""
    own = tmp_path / "own.toml"
    text = (device_folder() / "intel-n100.toml").read_text()
    assert right in text
    own.write_text(text.replace(right, wrong))
    with pytest.raises(ConfigError, match=said):
        load_device(str(own))
