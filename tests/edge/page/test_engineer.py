"""The engineer's routes over real HTTP: nobody else reaches them, a report has no rights, and no path comes from a browser."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("starlette", reason="the extra `page` is not installed")
pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from edge.page.engineer import REPORT_POLICY
from tests.stand.bundles import flat_jpeg
from tests.stand.page import PageProcess, Visitor
from tests.stand.ports import free_port

RED = flat_jpeg(255, 0, 0)
JOB = "20261130T120000-backtest"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A page without a broker, three pictures, and a backtest that ended before."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "cam1").mkdir()
    for number in range(3):
        (folder / "cam1" / f"{number}.jpg").write_bytes(RED + bytes(number))
    job = folder / "work" / "jobs" / JOB
    job.mkdir(parents=True)
    (job / "job.json").write_text(json.dumps({"job": JOB, "kind": "backtest", "user": "keller", "status": "done"}))
    (job / "backtest.html").write_text("<!doctype html><script>alert(1)</script>", encoding="utf-8")
    (job / "thresholds.json").write_text('{"title": "colours", "faults": []}', encoding="utf-8")
    settings = {"folder": "work", "board": "x86-64-avx2", "sources": [{"id": "cam1", "folder": "cam1"}]}
    page = PageProcess(folder, free_port(), workshop=settings).start()
    visitors = {}
    for name in ("guest", "meier", "keller"):
        visitors[name] = Visitor(page.port)
        assert visitors[name].login(name) == 200
    yield SimpleNamespace(page=page, folder=folder, **visitors)
    assert page.stop() == 0
    assert "Traceback" not in page.log()


def test_nobody_but_an_engineer_is_let_in(shop: SimpleNamespace) -> None:
    """Not to look, not to change, not without signing in, not without the session's secret."""
    looks = ["", "/pictures/cam1", "/zip", f"/jobs/{JOB}/report", f"/jobs/{JOB}/output", f"/jobs/{JOB}/thresholds"]
    for path in looks:
        assert Visitor(shop.page.port).ask(f"/api/workshop{path}")[0] == 401
        for other in (shop.guest, shop.meier):
            assert other.ask(f"/api/workshop{path}")[0] == 403
    for path in ("/sort", "/faults", "/jobs", "/cancel"):
        assert shop.meier.ask(f"/api/workshop{path}", {})[0] == 403
        assert shop.keller.ask(f"/api/workshop{path}", {}, headers={"X-CSRF-Token": "x"})[0] == 403
    assert not (shop.folder / "work" / "audit.jsonl").exists()
    assert [one.ask("/api/me")[1]["workshop"] for one in (shop.meier, shop.keller)] == [False, True]


def test_pictures_are_sorted_and_fetched(shop: SimpleNamespace) -> None:
    """By the hash of their names; every change names the user."""
    keller = shop.keller
    fault = {"label": "scratch", "title": "Scratch", "words": ["a scratch"]}
    assert keller.ask("/api/workshop/faults", {"faults": [fault]})[0] == 200
    first, second, third = keller.ask("/api/workshop/pictures/cam1")[1]
    status, body, headers = keller.ask(f"/api/workshop/pictures/cam1/{first['id']}")
    assert (status, body, headers["content-type"]) == (200, RED, "image/jpeg")
    for one, label in ((first, "scratch"), (second, "normal"), (third, "normal"), (third, "")):
        assert keller.ask("/api/workshop/sort", {"source": "cam1", "picture": one["id"], "label": label})[0] == 200
    assert [one["name"] for one in keller.ask("/api/workshop/pictures/cam1")[1]] == [third["name"]]
    status, body, headers = keller.ask("/api/workshop/zip")
    assert (status, headers["content-type"]) == (200, "application/zip")
    names = zipfile.ZipFile(io.BytesIO(body)).namelist()
    assert sorted(names) == ["pictures/normal/cam1/1.jpg", "pictures/scratch/cam1/0.jpg"]
    notes = [json.loads(line) for line in (shop.folder / "work" / "audit.jsonl").read_text().splitlines()]
    assert [note["what"] for note in notes] == ["words", *["sort"] * 4, "fetch"]
    assert {note["user"] for note in notes} == {"keller"}


def test_a_report_is_a_page_without_rights(shop: SimpleNamespace) -> None:
    """Sandboxed by a policy of its own: whatever stands in it runs nothing."""
    status, body, headers = shop.keller.ask(f"/api/workshop/jobs/{JOB}/report")
    assert (status, headers["content-security-policy"]) == (200, REPORT_POLICY)
    assert b"<script>" in body
    assert REPORT_POLICY.startswith("sandbox; default-src 'none'")
    assert "script" not in REPORT_POLICY
    assert headers["cache-control"] == "no-store"
    assert shop.keller.ask(f"/api/workshop/jobs/{JOB}/thresholds")[1]["title"] == "colours"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/pictures/cam2", 404),
        ("/pictures/..", 404),
        ("/pictures/cam1/0.jpg", 404),
        ("/pictures/cam1/%2e%2e%2f%2e%2e%2fusers.json", 404),
        ("/jobs/..%2f..%2fx/report", 404),
        ("/jobs/other/report", 404),
        ("/jobs/other/output", 404),
        ("/jobs/other/thresholds", 404),
        (f"/jobs/{JOB}/output?from=-1", 400),
        (f"/jobs/{JOB}/nothing", 404),
    ],
)
def test_what_is_not_there_is_not_there(shop: SimpleNamespace, path: str, status: int) -> None:
    """Whatever path is asked for, only what the settings name is read."""
    assert shop.keller.ask(f"/api/workshop{path}")[0] == status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sort", {"source": "cam1", "picture": "../x", "label": "normal"}),
        ("/sort", {"source": "../x", "picture": "x", "label": "normal"}),
        ("/faults", {"faults": [{"label": "../x", "title": "x", "words": ["x"]}]}),
        ("/faults", {"faults": None}),
        ("/jobs", {"kind": "wrap"}),
        ("/jobs", {"kind": "backtest", "bundle": "..", "source": "cam1"}),
        ("/cancel", {}),
    ],
)
def test_what_is_wrong_is_refused(shop: SimpleNamespace, path: str, body: object) -> None:
    """With words, and nothing is done."""
    status, answer, _ = shop.keller.ask(f"/api/workshop{path}", body)
    assert status in {400, 404}
    assert answer["error"]


@pytest.mark.slow
def test_a_page_without_a_workshop_has_none(tmp_path: Path) -> None:
    """Its routes are not there."""
    page = PageProcess(tmp_path, free_port()).start()
    try:
        keller = Visitor(page.port)
        assert keller.login("keller") == 200
        assert keller.ask("/api/workshop")[0] == 404
        assert keller.ask("/api/me")[1]["workshop"] is False
    finally:
        assert page.stop() == 0
