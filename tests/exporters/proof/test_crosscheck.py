"""`edge-export build --crosscheck PYTHON`: another exporter in another environment must find the same evidence, offline."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.errors import ConfigError, ExportError
from edge.manifest import Crosscheck
from exporters import load, pipeline
from exporters.__main__ import main
from exporters.job import Job, prepare
from exporters.model import Model, Question
from exporters.pictures.images import synthetic_frames
from exporters.proof import crosscheck as checks
from exporters.proof.crosscheck import contrast, crosscheck, find_peer, judge, peer_of
from tests.exporters.conftest import BOARD, NOW, job_for
from tests.stand import tiny_checkpoints as tiny
from tests.stand.other_exporter import OFFSET, make_interpreter

REAL = Path(__file__).parents[3] / "build" / "optimum-venv" / "bin" / "python"
ASKED = (
    Question("crack", ("a crack", "a cracked part"), ("a smooth surface", "a normal part")),
    Question("dent", ("a deep dent",), ("a normal part",)),
)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has another exporter."""
    return make_interpreter(tmp_path_factory.mktemp("other") / "env")


@pytest.fixture(autouse=True)
def _one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is traced for one number of pictures, so all go into one run of its graph."""
    monkeypatch.setattr(checks, "PICTURES", 16)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that asks for what must not happen."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "0")


def _compare(job: Job, interpreter: Path, folder: Path) -> Crosscheck:
    model = load.load(job.checkpoint, job.family)
    frames = synthetic_frames(8, job.input.height, job.input.width, 7)
    folder.mkdir(exist_ok=True)
    return crosscheck(job.checkpoint.folder, model, ASKED, frames, peer=peer_of(interpreter), folder=folder)


@pytest.mark.whole
@pytest.mark.usefixtures("hostile")
def test_another_exporter_finds_the_same_evidence(site: Path, clip: Path, interpreter: Path, tmp_path: Path) -> None:
    """CLIP's padding is masked, offset and scale are the checkpoint's; nothing stays in the folder. SigLIP's is seen: in a whole build below."""
    found = _compare(job_for(site, clip.name), interpreter, tmp_path / "work")
    assert found.largest_difference < checks.TOLERANCE < found.spread / 10
    assert (found.pictures, found.faults) == (8, 2)
    assert found.versions[:2] == ("optimum 0.1.stand-in", "optimum-onnx 0.2.stand-in")
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="optimum's environment is not built: make crosscheck")
@pytest.mark.parametrize("kind", ["siglip", "clip"])
@pytest.mark.usefixtures("hostile", "siglip", "clip")
def test_optimum_itself_finds_the_same_evidence_without_a_network(kind: str, site: Path, tmp_path: Path) -> None:
    """The real exporter, on a machine whose only network is a loopback that is down."""
    alone = tmp_path / "python"
    alone.write_text(f'#!/bin/sh\nexec unshare --net {REAL} "$@"\n')
    alone.chmod(0o755)
    found = _compare(job_for(site, kind), alone, tmp_path / "work")
    assert found.largest_difference < checks.TOLERANCE
    assert found.versions[0] == "optimum 2.1.0"


@pytest.mark.slow
def test_other_evidence_stops_the_build(site: Path, siglip: Path, tmp_path: Path) -> None:
    """A hundredth more on one phrase is no rounding: the fault is named, and nothing is written."""
    other = make_interpreter(tmp_path / "env")
    (other.parent / OFFSET).write_text("0.02")
    with pytest.raises(ExportError, match=r"differs by up to 1\.00e-02 .*most for fault 'crack'.*optimum 0\.1"):
        _compare(job_for(site, siglip.name), other, tmp_path / "work")


def test_an_export_that_fails_says_why(site: Path, siglip: Path, tmp_path: Path) -> None:
    """The last line of the other side's error, and what to do."""
    other = make_interpreter(tmp_path / "env")
    (other.parent / OFFSET).write_text("much")
    with pytest.raises(
        ExportError, match=r"optimum does not export siglip .*could not convert string to float.*leave --crosscheck out"
    ):
        _compare(job_for(site, siglip.name), other, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_an_interpreter_without_optimum_is_refused_with_the_way_to_one(tmp_path: Path) -> None:
    """No such file, a Python that lacks it, no Python at all, a file that does not start: a sentence each, and how to make one."""
    (tmp_path / "no-python").write_bytes(b"\x7fELF")
    (tmp_path / "no-python").chmod(0o755)
    for python, wanted in (
        (tmp_path / "none", "there is no such interpreter"),
        (Path(sys.executable), "that interpreter lacks optimum"),
        (Path("/bin/false"), r"it does not run Python \(exit status 1\)"),
        (Path("/bin/echo"), "it does not run Python"),
        (tmp_path / "no-python", r"it does not start \(Exec format error\)"),
    ):
        with pytest.raises(ConfigError, match=f"{wanted}.*pip install optimum==2.1.0"):
            peer_of(python)


def test_an_exporter_that_hangs_is_stopped(interpreter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its time and no more."""
    monkeypatch.setattr(checks, "TIMEOUT_S", 0.01)
    with pytest.raises(ExportError, match="took longer than 0 s"):
        peer_of(interpreter)


def test_only_what_optimum_exports_is_cross_checked(
    site: Path, siglip2: Path, siglip: Path, interpreter: Path, tmp_path: Path
) -> None:
    """A NaFlex tower, a generative checkpoint and a recipe without faults in words are refused before anything is loaded."""
    assert find_peer(job_for(site, siglip.name)) is None
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    (tmp_path / "recipe.toml").write_text(
        'name = "x"\ncheckpoint = "smolvlm"\n[[faults]]\nid = "a"\ntitle = "A"\nwords = ["a"]\n'
    )
    for job, wanted in (
        (job_for(site, siglip2.name), "siglip2 is siglip2: leave it out"),
        (prepare(tmp_path / "recipe.toml", BOARD), "smolvlm is smolvlm: leave it out"),
    ):
        with pytest.raises(ConfigError, match=f"for SigLIP and CLIP checkpoints.*{wanted}"):
            find_peer(replace(job, crosscheck=interpreter))
        with pytest.raises(ExportError, match="only SigLIP and CLIP"):
            Model.public_inputs(load.load(job.checkpoint, job.family), np.zeros((1, 8, 8, 3), np.uint8), ["a crack"])
    job = job_for(site, siglip.name)
    wordless = replace(job, recipe=job.recipe.model_copy(update={"faults": ()}), crosscheck=interpreter)
    with pytest.raises(ConfigError, match="compares faults in words, and the recipe has none"):
        find_peer(wordless)


def test_a_missing_interpreter_ends_the_command_before_the_work(
    site: Path, siglip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`edge-export build --crosscheck` says it at once; the plan has told that it would compare."""
    recipe = job_for(site, siglip.name).recipe_file
    arguments = ["build", str(recipe), "--board", BOARD, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--crosscheck", str(tmp_path / "none")]) == 1
    printed = capsys.readouterr().err
    assert "crosscheck  optimum exports the same checkpoint, offline" in printed
    assert "there is no such interpreter" in printed
    assert "reading and splitting" not in printed


@pytest.mark.slow
@pytest.mark.usefixtures("hostile")
def test_the_bundle_says_what_was_compared(site: Path, siglip: Path, interpreter: Path, tmp_path: Path) -> None:
    """SigLIP's evidence is the same; versions and the largest difference stand in the manifest and in report.md."""
    job = job_for(site, siglip.name, 'quantization = { schemes = ["float32"], threads = [1] }')
    job = replace(job, crosscheck=interpreter)
    said: list[str] = []
    bundle = pipeline.build(job, tmp_path / "out", now=NOW, log=said.append)
    proof = open_bundle(bundle).manifest.proof
    assert proof.crosscheck is not None
    assert (proof.crosscheck.pictures, proof.crosscheck.faults) == (checks.PICTURES, 2)
    assert proof.crosscheck.largest_difference < checks.TOLERANCE < proof.crosscheck.spread / 10
    report = (bundle / "report.md").read_text()
    assert f"differs by {proof.crosscheck.largest_difference:.1e} at most" in report
    assert "optimum 0.1.stand-in" in report
    assert any("crosscheck" in line for line in said)


def test_evidence_is_the_contrast_of_phrasings() -> None:
    """The mean of a fault's logits less that of its own normal state's; the common bias cancels."""
    phrases = ["a crack", "a cracked part", "a smooth surface", "a normal part", "a deep dent"]
    logits = np.array([[1.0, 3.0, 0.5, -0.5, 7.0]], np.float32)
    assert contrast(logits, phrases, ASKED).tolist() == [[2.0, 7.5]]
    assert contrast(logits + 9, phrases, ASKED).tolist() == [[2.0, 7.5]]


def test_what_is_no_number_never_agrees() -> None:
    """A graph that gives NaN is another answer, and the fault is named."""
    ours = np.zeros((2, 2), np.float32)
    theirs = ours.copy()
    assert judge(ours, theirs, ASKED, ["optimum 1"]).largest_difference == 0
    theirs[1, 1] = np.nan
    with pytest.raises(ExportError, match="most for fault 'dent'"):
        judge(ours, theirs, ASKED, ["optimum 1"])
