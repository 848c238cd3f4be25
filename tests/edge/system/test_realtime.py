"""What the system grants is really in force, for this thread and for the pool it needs, and for nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from edge.system.realtime import (
    FIFO_PRIORITY,
    SWITCH_INTERVAL_S,
    Grant,
    make_realtime,
    native_thread_ids,
    step_back,
    switch_promptly,
)


def fifo_is_permitted() -> bool:
    """Whether this process may use SCHED_FIFO at all."""
    probe = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


T = TypeVar("T")

needs_fifo = pytest.mark.skipif(not fifo_is_permitted(), reason="SCHED_FIFO is not permitted here (CAP_SYS_NICE)")


def in_thread(work: Callable[[], T]) -> T:
    """Run in a thread of its own, so that the tests' main thread keeps its policy."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def three_thread_session() -> ort.InferenceSession:
    """A small graph with a pool of two threads beside the caller."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], np.eye(4, dtype=np.float32).ravel())
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@needs_fifo
def test_only_the_calling_thread_becomes_fifo() -> None:
    """The network threads keep their policy: the grant is for one thread."""

    def work() -> tuple[Grant, int]:
        return make_realtime(priority=FIFO_PRIORITY + 1), os.sched_getscheduler(threading.get_native_id())

    grant, policy = in_thread(work)
    assert (grant.policy, grant.priority) == ("fifo", FIFO_PRIORITY + 1)
    assert policy == os.SCHED_FIFO
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER


@needs_fifo
def test_a_pool_created_by_the_fifo_thread_inherits() -> None:
    """An engine loaded after make_realtime on the inference thread has its pool threads at the same priority."""

    def work() -> list[int]:
        make_realtime()
        before = native_thread_ids()
        session = three_thread_session()
        policies = [os.sched_getscheduler(thread_id) for thread_id in native_thread_ids() - before]
        del session
        return policies

    assert in_thread(work) == [os.SCHED_FIFO, os.SCHED_FIFO]


@needs_fifo
def test_a_pool_created_elsewhere_is_raised_by_its_ids() -> None:
    """An engine that was loaded on an ordinary thread, as in a swap, is covered through the thread ids that appeared."""
    before = native_thread_ids()
    session = three_thread_session()
    pool = native_thread_ids() - before
    assert {os.sched_getscheduler(thread_id) for thread_id in pool} == {os.SCHED_OTHER}
    assert make_realtime(pool).policy == "fifo"
    assert {os.sched_getscheduler(thread_id) for thread_id in pool} == {os.SCHED_FIFO}
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER
    del session


@pytest.mark.parametrize(
    ("refused", "policy"), [({"sched_setscheduler"}, "nice"), ({"sched_setscheduler", "setpriority"}, "ordinary")]
)
def test_without_permission_the_grant_says_so(refused: set[str], policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusal is an answer with what to do, never an error: the daemon runs on, and reports it."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for name in refused:
        monkeypatch.setattr(os, name, refuse)
    grant = in_thread(make_realtime)
    assert grant.policy == policy
    assert "CAP_SYS_NICE" in grant.detail


@needs_fifo
def test_work_beside_the_frames_stands_behind_them() -> None:
    """A thread that a FIFO thread starts gives way: the lowest FIFO where another core is left for strangers, else ordinary."""

    def policy() -> tuple[int, int]:
        make_realtime(priority=10)
        step_back()
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    expected = (os.SCHED_FIFO, 1) if len(os.sched_getaffinity(0)) > 1 else (os.SCHED_OTHER, 0)
    assert in_thread(policy) == expected


def test_an_ordinary_thread_stays_ordinary() -> None:
    """Nothing was granted, nothing is taken."""

    def policy() -> int:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        step_back()
        return os.sched_getscheduler(0)

    assert in_thread(policy) == os.SCHED_OTHER


def test_the_interpreter_lock_changes_hands_promptly() -> None:
    """Ten times sooner than by default, for every thread of the process."""
    before_s = sys.getswitchinterval()
    try:
        switch_promptly()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
        assert before_s >= 10 * SWITCH_INTERVAL_S
    finally:
        sys.setswitchinterval(before_s)
