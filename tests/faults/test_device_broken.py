"""A device with a wrong clock, a bad disk, a hook that hangs, a model that kills or starves its runtime: the real agent, as a process.

Each time: a working model stays, what went wrong is told once, and the server is not asked again and again.
"""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from agent.clock import CLOCK_VARIABLE
from tests.agent.device import MODEL, PROCESS_TIMEOUT_S, Device, SteadyClock, entry
from tests.agent.models import CLASSES, FEATURES, Release, release
from tests.agent.standin import Handler, StandIn, sha256, stand_in
from tests.agent.test_children import is_gone
from tests.faults.conftest import CountCases
from tests.faults.test_agent_killed import ALL_POINTS

OLD, NEW = release(1), release(1, step=1e-4)
YEAR_S = 365 * 86_400
# A poll, the artifacts, a delivery, a second poll, and the delivery of what failed.
MOST_REQUESTS = 8


def ask_for(device: Device, server: StandIn, wanted: Release, tail: str = "", **options: Any) -> None:
    """A device with OLD that is asked to go to another release."""
    device.configure(tail)
    device.preinstall(OLD)
    server.entries = [entry(server, wanted, version="1.1.0", with_samples=False, **options)]


def assert_told_and_left(device: Device, server: StandIn, *, stage: str, reasons: set[str]) -> None:
    """The old model is active, the failure told; the next cycle fetches nothing, and a start tells its last words once more."""
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert failed["stage"] == stage, failed
    assert failed["reason"] in reasons, failed
    assert len(server.seen) <= MOST_REQUESTS
    server.seen.clear()
    assert device.run("once").returncode == 0
    assert {seen.path for seen in server.seen} <= {"/api/v1/poll", "/api/v1/events"}
    assert len(server.details("failed")) == 1
    assert device.served() == OLD.model


@pytest.mark.fault("clock years off")
@pytest.mark.parametrize("off_s", [-50 * YEAR_S, -3 * YEAR_S])
def test_wall_clock_that_is_years_behind_changes_nothing_but_dates(device: Device, server: StandIn, off_s: int) -> None:
    ask_for(device, server, NEW)
    clock = {CLOCK_VARIABLE: f"wall@{off_s}"}
    ended = device.run("once", **clock)
    assert ended.returncode == 0, ended.stderr
    assert device.served() == NEW.model
    years = {int(event["at"][:4]) for event in server.events.values()}
    assert len(years) == 1
    assert abs(years.pop() - time.gmtime(time.time() + off_s).tm_year) <= 1
    server.seen.clear()
    assert device.run("once").returncode == 0, "and back, when the clock is set"
    assert [seen.method for seen in server.seen] == ["GET"]


@pytest.mark.fault("clock years off")
@pytest.mark.parametrize("off_s", [10 * YEAR_S, 70 * YEAR_S])
def test_wall_clock_that_is_years_ahead_ends_all_metadata_until_it_is_set(
    device: Device, server: StandIn, off_s: int
) -> None:
    ask_for(device, server, NEW)
    ended = device.run("once", **{CLOCK_VARIABLE: f"wall@{off_s}"})
    assert (ended.returncode, device.served()) == (0, OLD.model), ended.stderr
    assert server.said is not None
    assert server.said["installations"][0]["refused"]["rule"] == "metadata-expired"
    assert device.run("once").returncode == 0
    assert device.served() == NEW.model, "the time that never was is forgotten"


@pytest.mark.fault("clock years off")
@pytest.mark.parametrize("days", ["-20000101000000Z", "20500101000000Z-"])
def test_certificate_that_a_wrong_clock_makes_invalid_is_said_and_the_model_stays(tmp_path: Path, days: str) -> None:
    """To OpenSSL a certificate of another decade is what a wrong clock makes of a good one."""
    not_before, _, not_after = days.rpartition("-") if days.startswith("-") else days.partition("-")
    certificate = certificate_valid(tmp_path, not_before or "19900101000000Z", not_after or "20510101000000Z")
    with stand_in(certificate) as server:
        device = Device(tmp_path / "device", server, SteadyClock())
        device.root.mkdir()
        device.enroll()
        ask_for(device, server, NEW, f'[tls]\nca_file = "{certificate}"\n')
        ended = device.run("once")
        assert (ended.returncode, device.served()) == (6, OLD.model)
        assert "certificate" in ended.stderr
        assert server.seen == []


def certificate_valid(folder: Path, not_before: str, not_after: str) -> Path:
    """A self-signed certificate for 127.0.0.1 of another time, with its key."""
    key, request, pem = folder / "key.pem", folder / "request.pem", folder / "server.pem"
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca = here\n[here]\ndatabase = {folder}/index.txt\nrand_serial = yes\nnew_certs_dir = {folder}\n"
        "default_md = sha256\npolicy = any\nx509_extensions = ext\n[any]\ncommonName = supplied\n"
        "[ext]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = CA:TRUE\n"
    )
    openssl = ["openssl"]
    for command in (
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1",
         "-keyout", str(key), "-out", str(request)],
        ["ca", "-batch", "-selfsign", "-notext", "-config", str(folder / "ca.cnf"), "-keyfile", str(key), "-in", str(request),
         "-out", str(pem), "-startdate", not_before, "-enddate", not_after],
    ):  # fmt: skip
        subprocess.run([*openssl, *command], check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return pem


@pytest.mark.fault("two agents on one state directory")
def test_second_agent_touches_nothing_while_the_first_one_works(device: Device, server: StandIn) -> None:
    ask_for(device, server, NEW, slow_hook(device))
    with subprocess.Popen(device.command("once"), stderr=subprocess.DEVNULL) as first:
        wait_for_hook(device)
        before = device.layout.state.read_bytes()
        asked = len(server.seen)
        for action in ("once", "run"):
            second = device.run(action)
            assert second.returncode == 3, second.stderr
        assert (device.layout.state.read_bytes(), len(server.seen)) == (before, asked)
        assert first.wait(PROCESS_TIMEOUT_S) == 0
    assert device.served() == NEW.model
    assert server.kinds().count("activated") == 1


def slow_hook(device: Device, seconds: float = 3.0) -> str:
    """A hook that leaves its process's number and takes its time."""
    return f'[hooks]\npost_activate = ["/bin/sh", "-c", "echo $$ > {device.root}/hook; exec sleep {seconds}"]\n'


def wait_for_hook(device: Device) -> int:
    """Wait until the hook runs; its process."""
    left = device.root / "hook"
    deadline = time.monotonic() + PROCESS_TIMEOUT_S
    while not (left.exists() and left.read_text().strip()):
        assert time.monotonic() < deadline, "the hook does not run"
        time.sleep(0.02)
    return int(left.read_text())


@pytest.mark.fault("corrupted state file")
def test_state_with_any_byte_changed_keeps_a_model_and_says_so(
    device: Device, server: StandIn, count_cases: CountCases
) -> None:
    ask_for(device, server, NEW)
    assert device.run("once").returncode == 0
    whole = device.layout.state.read_bytes()
    cases = 40 if ALL_POINTS else 3
    count_cases(cases)
    for _case in range(cases):
        damaged = bytearray(whole)
        for at in random.sample(range(len(whole)), 3):
            damaged[at] ^= random.randint(1, 255)  # noqa: S311 - not for secrets; repeatable by the seed of the run
        device.layout.state.write_bytes(damaged)
        server.seen.clear()
        ended = device.run("once")
        assert ended.returncode in (0, 8), ended.stderr
        assert "Traceback" not in ended.stderr
        assert device.served() == NEW.model
        assert len(server.seen) <= MOST_REQUESTS


@pytest.mark.fault("corrupted slot")
@pytest.mark.parametrize("file", ["model.onnx", "contract.json", "manifest.json"])
def test_slot_that_rots_in_an_attempt_never_gets_into_service(device: Device, server: StandIn, file: str) -> None:
    """The new slot is damaged between two runs of the agent, before it was switched to."""
    hold = '[hooks]\npre_activate = ["/bin/sh", "-c", "exit 75"]\n'  # not now
    ask_for(device, server, NEW, hold)
    device.run("once")
    assert device.served() == OLD.model
    damaged = device.layout.line(MODEL).slot(sha256(NEW.model)) / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    device.configure()
    for _cycle in range(3):
        device.run("once")
        assert device.served() in (OLD.model, NEW.model)
    slot = device.layout.line(MODEL).current.resolve()
    assert sha256((slot / "model.onnx").read_bytes()) == slot.name
    assert len(server.seen) <= 3 * MOST_REQUESTS


@pytest.mark.fault("hook that hangs")
@pytest.mark.parametrize(("hook", "served"), [("pre_activate", "old"), ("post_activate", "new"), ("health", "old")])
def test_hook_that_hangs_is_ended_in_time_with_all_it_started(
    device: Device, server: StandIn, tmp_path: Path, hook: str, served: str
) -> None:
    command = json.dumps(["/bin/sh", "-c", f"sleep 300 & echo $! >> {tmp_path}/hung; sleep 300"])
    ask_for(device, server, NEW, f"[hooks]\ntimeout_s = 1\nhealth_settle_s = 0\n{hook} = {command}\n")
    ended = device.run("once")
    assert device.served() == (OLD.model if served == "old" else NEW.model), ended.stderr
    assert "hook-timeout" in ended.stderr
    assert all(is_gone(int(pid)) for pid in (tmp_path / "hung").read_text().split())
    assert len(server.seen) <= MOST_REQUESTS


CRASHING_RUNTIME = '''"""The runtime, with a null pointer in its native code where a session is made."""
import ctypes, importlib, sys
sys.path.remove({folder!r})
del sys.modules["onnxruntime"]
runtime = importlib.import_module("onnxruntime")
runtime.InferenceSession = lambda *arguments, **options: ctypes.string_at(0)
'''


@pytest.mark.fault("model that crashes the runtime (SIGSEGV)")
def test_model_that_crashes_the_runtime_takes_nobody_with_it(device: Device, server: StandIn, tmp_path: Path) -> None:
    """Children find another runtime first on their path, one with a real null pointer in it."""
    (tmp_path / "runtime" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "runtime" / "onnxruntime" / "__init__.py").write_text(
        CRASHING_RUNTIME.format(folder=str(tmp_path / "runtime"))
    )
    ask_for(device, server, NEW, "[policy]\n")
    ended = device.run("once", PYTHONPATH=str(tmp_path / "runtime"))
    assert ended.returncode == 7, ended.stderr
    assert_told_and_left(device, server, stage="smoke", reasons={"child-crashed"})


def hungry(size_bytes: int) -> Release:
    """A model whose one intermediate value takes so much."""
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["much"]),
            helper.make_node("ReduceSum", ["much"], ["zero"], keepdims=0),
            helper.make_node("MatMul", ["image", "w"], ["wx"]),
            helper.make_node("Add", ["wx", "zero"], ["scores"]),
        ],
        "hungry",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(np.array([size_bytes // 4], np.int64), "shape"),
            numpy_helper.from_array(np.ones((FEATURES, CLASSES), np.float32), "w"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Release(model.SerializeToString(), OLD.contract, OLD.samples)


@pytest.mark.fault("model that needs 10 GB")
def test_model_that_needs_ten_gigabytes_is_refused_within_its_limit(device: Device, server: StandIn) -> None:
    ask_for(device, server, hungry(10_000_000_000), "[policy]\n[children]\nmemory_limit_mib = 512\n")
    assert device.run("once").returncode == 7
    assert_told_and_left(
        device, server, stage="smoke", reasons={"memory-exceeded", "inference-failed", "model-rejected"}
    )


@pytest.mark.fault("SIGTERM in any phase")
@pytest.mark.parametrize("phase", ["transfer", "child", "hook"])
def test_sigterm_ends_the_agent_at_once_and_the_next_start_finishes(
    device: Device, server: StandIn, tmp_path: Path, phase: str
) -> None:
    ask_for(device, server, NEW, slow_hook(device, 300) if phase == "hook" else "")
    environment = dict(os.environ)
    if phase == "transfer":
        server.misbehave.append(stall)
    if phase == "child":
        (tmp_path / "runtime" / "onnxruntime").mkdir(parents=True)
        hang = f"import os, time\nopen('{tmp_path}/child', 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
        (tmp_path / "runtime" / "onnxruntime" / "__init__.py").write_text(hang)
        environment["PYTHONPATH"] = str(tmp_path / "runtime")
    with subprocess.Popen(device.command("run"), env=environment, stderr=subprocess.PIPE) as agent:
        child = wait_for_phase(device, server, tmp_path, phase)
        asked_at = time.monotonic()
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PROCESS_TIMEOUT_S) == 0
        assert time.monotonic() - asked_at < PROCESS_TIMEOUT_S / 3, "within systemd's TimeoutStopSec"
    assert child is None or is_gone(child)
    assert device.served() in (OLD.model, NEW.model)
    device.configure()
    assert device.run("once").returncode == 0
    assert device.served() == NEW.model
    assert server.kinds().count("activated") == 1


def stall(handler: Handler, content: bytes) -> None:
    """A link that is silent after its first bytes."""
    handler.send_range(content, most=1000)
    time.sleep(1)


def wait_for_phase(device: Device, server: StandIn, folder: Path, phase: str) -> int | None:
    """Wait until the agent is there; the process that works for it then."""
    if phase == "hook":
        return wait_for_hook(device)
    deadline = time.monotonic() + PROCESS_TIMEOUT_S
    ready = folder / "child" if phase == "child" else device.layout.part(sha256(NEW.model))
    while not (ready.exists() and ready.stat().st_size):
        assert time.monotonic() < deadline, f"the agent does not come to the {phase}"
        time.sleep(0.02)
    return int(ready.read_text()) if phase == "child" else None
