"""A manifest says one thing only: its faults, thresholds, golden inputs and files agree, or it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge.errors import ConfigError
from edge.manifest import Manifest, manifest_json
from tests.stand.bundles import fault, manifest_document, pump_files, pump_section, speech_section

SPEECH_FILES = ("begin.onnx", "follow.onnx", "pieces.json")
FILES = {"graph.onnx": b"graph", "golden/0.jpg": b"picture"}


@pytest.mark.parametrize("speaks", [False, True])
def test_the_manifest_survives_a_round_trip(speaks: bool) -> None:  # noqa: FBT001 - a case of the test
    """JSON out and in changes nothing, with or without what came later."""
    document = manifest_document(FILES, faults=[fault("crack", armed=False, calibration=None)])
    if speaks:
        document |= {"speech": speech_section(1)}
        document["files"] += [document["files"][0] | {"path": f"speech/{name}"} for name in SPEECH_FILES]
    manifest = Manifest.model_validate(document)
    assert Manifest.model_validate_json(manifest_json(manifest)) == manifest


def test_a_candidate_names_its_provider_where_several_were_measured() -> None:
    """Else the field is left out, so that older daemons read the bundle."""
    document = manifest_document(FILES)
    proof = document["proof"]
    facts = {"scheme": "float32", "intra_op_threads": 1, "size_bytes": 1, "chosen": True, "verdict": "the fastest"}
    measured = {"latency": proof["latency"][0], "parity": proof["parity"]}
    proof["candidates"] = [facts | measured | {"provider": "OpenVINOExecutionProvider"}]
    manifest = Manifest.model_validate(document)
    assert Manifest.model_validate_json(manifest_json(manifest)) == manifest
    assert manifest.proof.candidates[0].provider == "OpenVINOExecutionProvider"


def straddling() -> dict[str, Any]:
    """A manifest whose golden inputs hold verdicts on both sides of both thresholds."""
    files = {"graph.onnx": b"graph", "golden/0.jpg": b"a", "golden/1.jpg": b"b"}
    document = manifest_document(files)
    golden = [
        {"file": "golden/0.jpg", "scores": [0.9, 0.1], "verdicts": {"crack": "fault", "dent": "ok"}},
        {"file": "golden/1.jpg", "scores": [0.1, 0.9], "verdicts": {"crack": "ok", "dent": "fault"}},
    ]
    return document | {"proof": document["proof"] | {"golden": golden, "one_sided": []}}


def changed(document: dict[str, Any], *changes: Any) -> Manifest:
    """The manifest after each change edited its document."""
    for change in changes:
        change(document)
    return Manifest.model_validate_json(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it: it["faults"][0].update(threshold=1.0), id="a threshold that nothing reaches"),
        pytest.param(lambda it: it["faults"][0].update(threshold=0.0, release=0.0), id="a threshold that all reach"),
        pytest.param(lambda it: it["faults"].reverse(), id="faults in another order"),
        pytest.param(
            lambda it: it["faults"][0].update(id="dent") or it["faults"][1].update(id="crack"), id="ids swapped"
        ),
        pytest.param(lambda it: it["faults"][0].update(id="scratch"), id="an id that no verdict speaks of"),
        pytest.param(lambda it: it["proof"]["golden"].pop(), id="one side taken away"),
        pytest.param(lambda it: it["proof"].update(one_sided=["crack"]), id="a side denied"),
        pytest.param(
            lambda it: it["proof"]["golden"][0]["verdicts"].update(crack="ok"), id="a verdict that its score denies"
        ),
    ],
)
def test_verdicts_thresholds_and_scores_must_agree(change: Any) -> None:
    """Whoever moves a threshold or swaps faults must change the golden inputs as well; a half-done change is refused."""
    changed(straddling())
    with pytest.raises(ValidationError, match="golden input"):
        changed(straddling(), change)


def test_thresholds_that_are_proven_on_one_side_only_are_named() -> None:
    """A fault that is not armed needs no proof; an older bundle's verdicts follow from its scores, but for those too near to tell."""
    document = straddling()
    assert changed(document, lambda it: it["faults"][1].update(armed=False)).one_sided() == ()
    older = changed(
        document,
        lambda it: [golden.pop("verdicts") for golden in it["proof"]["golden"]],
        lambda it: it["proof"].pop("one_sided"),
        lambda it: it["faults"][1].update(armed=True),
    )
    assert older.golden_verdicts() == ({"crack": "fault", "dent": "ok"}, {"crack": "ok", "dent": "fault"})
    near = changed(document, lambda it: it["faults"][0].update(threshold=0.87))
    assert near.golden_verdicts()[0] == {"dent": "ok"}
    assert near.one_sided() == ("crack",)


def test_what_older_readers_do_not_know_is_written_only_where_it_is_used() -> None:
    """A bundle without verdicts reads as it always did; one with them comes back whole."""
    old = json.loads(manifest_json(Manifest.model_validate(manifest_document(FILES))))
    assert "speech" not in old
    assert not {"one_sided", "doubts", "crosscheck"} & old["proof"].keys()
    assert old["proof"]["golden"][0].keys() == {"file", "scores"}
    assert "normal" not in old["faults"][0]["calibration"]
    normal = {"scores": [0.1, 0.2], "independent": 2}

    def renew(it: Any) -> None:
        it["proof"].update(doubts=["measured on a busy machine"])
        it["faults"][1]["calibration"].update(normal=normal)

    manifest = changed(straddling(), renew)
    assert [fault.calibration and fault.calibration.normal is not None for fault in manifest.faults] == [False, True]
    assert Manifest.model_validate_json(manifest_json(manifest)) == manifest
    assert manifest.proof.doubts


def test_a_thread_count_that_no_machine_has_is_refused() -> None:
    """A hundred thousand threads wedged whoever loaded the graph."""
    with pytest.raises(ValidationError, match="intra_op_threads"):
        changed(manifest_document(FILES), lambda document: document["execution"].update(intra_op_threads=100_000))


def both() -> dict[str, Any]:
    """A manifest with a frame and a window of readings, each with a fault."""
    faults = [fault("crack"), fault("leak", window="pump")]
    document = manifest_document(FILES | pump_files(), faults=faults, windows=[pump_section()])
    golden = [{"file": "golden/0.jpg", "scores": [0.5]}]
    return document | {"proof": document["proof"] | {"golden": golden}}


def readings_only() -> dict[str, Any]:
    """The same without frames."""
    document = both()
    document["faults"].pop(0)
    document["execution"]["graph"] = "pump.onnx"
    document["proof"]["golden"] = []
    return {name: value for name, value in document.items() if name not in {"input", "output"}}


@pytest.mark.parametrize("document", [both(), readings_only()])
def test_a_manifest_with_a_window_survives_a_round_trip(document: dict[str, Any]) -> None:
    """Frames and readings in one bundle, or readings alone; each fault has the scores of its own input."""
    manifest = Manifest.model_validate_json(json.dumps(document))
    assert Manifest.model_validate_json(manifest_json(manifest)) == manifest
    assert [found.id for found in manifest.window_faults("pump")] == ["leak"]
    assert "leak" not in {found.id for found in manifest.frame_faults}
    assert manifest.window_verdicts(manifest.windows[0]) == ({"leak": "ok"}, {"leak": "fault"})
    assert "leak" not in manifest.one_sided()


def test_without_windows_nothing_of_them_is_written() -> None:
    """So a daemon of before them opens every bundle that has none."""
    written = json.loads(manifest_json(Manifest.model_validate(manifest_document(FILES))))
    assert "windows" not in written
    assert all("window" not in found for found in written["faults"])


def test_a_bundle_of_readings_says_that_no_camera_can_be_watched_with_it() -> None:
    """Whoever asks for the frame is told what is missing."""
    manifest = Manifest.model_validate(readings_only())
    for ask in (lambda: manifest.frame_input, lambda: manifest.frame_output):
        with pytest.raises(ConfigError, match="Use a bundle of pictures"):
            ask()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda it: it["faults"][1].update(window="fan"), "not among", id="a fault of no window"),
        pytest.param(lambda it: it["faults"].pop(), "have no fault", id="a window without a fault"),
        pytest.param(lambda it: it["windows"].append(it["windows"][0]), "windows repeat", id="a window twice"),
        pytest.param(lambda it: it.pop("input"), "go together", id="frames without a tensor"),
        pytest.param(lambda it: it["proof"].update(golden=[]), "go together", id="frames without a proof"),
        pytest.param(lambda it: it["windows"][0].update(sensors=["a", "a"]), "sensors repeat", id="a sensor twice"),
        pytest.param(lambda it: it["windows"][0].update(length=4096, sensors=[f"s{n}" for n in range(17)]), "cells", id="a window too large"),
        pytest.param(lambda it: it["windows"][0].update(graph="fan.onnx"), "not listed", id="a graph that is not there"),
        pytest.param(lambda it: it["windows"][0]["golden"][0].update(scores=[0.1, 0.2]), "2 scores for 1", id="a score too many"),
        pytest.param(lambda it: it["windows"][0]["golden"][0].update(verdicts={"leak": "fault"}), "is no fault at", id="another verdict"),
        pytest.param(lambda it: it["windows"][0]["golden"][0].update(verdicts={"crack": "ok"}), "no fault of this", id="a verdict on a frame's fault"),
    ],
)  # fmt: skip
def test_windows_and_faults_must_agree(change: Any, said: str) -> None:
    """What contradicts itself is refused with what is wrong."""
    changed(both())
    with pytest.raises(ValidationError, match=said):
        changed(both(), change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it["execution"].update(graph="golden/low.f32"), "not that of the first window"),
        (lambda it: it.update(speech=speech_section(0) | dict.fromkeys(("begin", "follow", "pieces"), "pump.onnx")), "takes none"),
    ],
)  # fmt: skip
def test_a_bundle_of_readings_has_nothing_of_frames(change: Any, said: str) -> None:
    """Neither their graph nor speech, which begins with one."""
    with pytest.raises(ValidationError, match=said):
        changed(readings_only(), change)
