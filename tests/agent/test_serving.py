"""What serving code relies on, seen by real processes that read while a real agent switches."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.agent.device import MODEL, Device, entry
from tests.agent.models import Release, release
from tests.agent.standin import StandIn, sha256

CONSUMER = Path(__file__).resolve().parents[2] / "docs/examples/consumer.py"
OLD, NEW = release(1), release(1, step=1e-4)

# Holds the file that it found at its start, open and mapped, and says after each line on stdin what both give.
HOLDER = """
import hashlib, mmap, sys
file = open(sys.argv[1] + "/model.onnx", "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
for _line in sys.stdin:
    file.seek(0)
    print(hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(mapped[:]).hexdigest(), flush=True)
"""

# Resolves the link once, opens all three files below that, and looks whether they belong together; again and again.
RESOLVER = """
import hashlib, json, os, sys, time
seen, mixed, gone = [], 0, 0
while not os.path.exists(sys.argv[2]):
    time.sleep(0.002)
    folder = os.path.realpath(sys.argv[1])
    try:
        parts = {name: open(f"{folder}/{name}", "rb").read() for name in ("manifest.json", "model.onnx", "contract.json")}
    except FileNotFoundError:
        gone += 1
        continue
    manifest = json.loads(parts["manifest.json"])
    digests = hashlib.sha256(parts["model.onnx"]).hexdigest(), hashlib.sha256(parts["contract.json"]).hexdigest()
    mixed += digests != (manifest["sha256"], manifest["contract"]["sha256"])
    if manifest["sha256"] not in seen:
        seen.append(manifest["sha256"])
print(json.dumps({"seen": seen, "mixed": mixed, "gone": gone}))
"""


def install(device: Device, server: StandIn, wanted: Release, version: str, *, with_samples: bool = False) -> int:
    """Have a real agent process bring the device to a release; its exit code."""
    server.entries = [entry(server, wanted, version=version, with_samples=with_samples)]
    ended = device.run("once")
    assert "Traceback" not in ended.stderr
    return ended.returncode


def another(number: int) -> Release:
    """A release with a model and a contract of its own."""
    made = release(number)
    contract = json.loads(made.contract) | {"labels": [f"release-{number}-{label}" for label in range(32)]}
    return Release(made.model, json.dumps(contract).encode(), made.samples)


@contextmanager
def holding(current: Path) -> Iterator[Callable[[], list[str]]]:
    """A process that holds the file of now; the digests that it reads and maps when it is asked."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(current)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        question, answer = holder.stdin, holder.stdout

        def ask() -> list[str]:
            question.write("\n")
            question.flush()
            digests: list[str] = answer.readline().split()
            return digests

        yield ask


def test_reader_is_not_disturbed_by_switches_and_housekeeping_and_sees_no_mix(
    device: Device, server: StandIn, tmp_path: Path
) -> None:
    """One process holds the old file open and mapped, another resolves the link again and again; there and back again."""
    device.preinstall(OLD)
    current, stop = device.layout.line(MODEL).current, tmp_path / "stop"
    releases = [another(number) for number in range(2, 4)]
    resolver = [sys.executable, "-c", RESOLVER, str(current), str(stop)]
    with holding(current) as held, subprocess.Popen(resolver, stdout=subprocess.PIPE, text=True) as reader:
        assert held() == [sha256(OLD.model)] * 2
        for number, wanted in enumerate(releases):
            assert install(device, server, wanted, f"1.{number}.0") == 0
        assert not device.layout.line(MODEL).slot(sha256(OLD.model)).exists(), "housekeeping has removed it"
        assert held() == [sha256(OLD.model)] * 2
        assert install(device, server, releases[0], "1.0.0") == 0, "back to the one before"
        stop.touch()
        found = json.loads(reader.communicate(timeout=30)[0])
    assert (found["mixed"], found["gone"]) == (0, 0)
    assert set(found["seen"]) <= {sha256(one.model) for one in (OLD, *releases)}
    assert sha256(releases[0].model) in found["seen"]


@contextmanager
def consumer(device: Device, run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The example application, serving the device's model."""
    command = [sys.executable, str(CONSUMER), "serve", "--current", str(device.layout.line(MODEL).current)]
    with subprocess.Popen([*command, "--run-dir", str(run_dir), "--pause-s", "0.01"]) as running:
        try:
            yield running
        finally:
            running.terminate()


def status(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run_dir / "status.json").read_bytes())
    return content


def wait_for_inputs(run_dir: Path, least: int) -> None:
    deadline = time.monotonic() + 30
    while len(list((run_dir / "recent").glob("*.npz"))) < least:
        assert time.monotonic() < deadline, "the application offers no inputs"
        time.sleep(0.05)


def test_example_application_follows_the_agent(device: Device, server: StandIn, tmp_path: Path) -> None:
    """First install, update with a shadow run on the application's own inputs, and a step back when the application has died."""
    run_dir = tmp_path / "run"
    is_well = [sys.executable, str(CONSUMER), "is-well", "--run-dir", str(run_dir), "--wait-s"]
    device.configure(
        f"[hooks]\nhealth_settle_s = 0\nhealth = {json.dumps([*is_well, '20'])}\n"
        f'[shadow]\nenabled = true\ninputs = "{run_dir / "recent"}"\nmin_samples = 4\nmax_disagreement = 0.5\n'
    )
    with consumer(device, run_dir):
        assert install(device, server, OLD, "1.0.0") == 0
        assert status(run_dir)["sha256"] == sha256(OLD.model)
        wait_for_inputs(run_dir, 8)
        assert install(device, server, NEW, "1.1.0") == 0
        assert status(run_dir)["sha256"] == sha256(NEW.model)
        found = server.details("shadowed")[-1]
        assert (found["source"], found["disagreement"], found["vetoed"]) == ("recent-inputs", 0.0, False)
        assert found["samples"] >= 8
        assert install(device, server, release(9), "1.2.0") == 7
        assert server.details("failed")[-1]["stage"] == "shadow", "another classifier altogether"
        assert status(run_dir)["sha256"] == sha256(NEW.model)
    text = device.config_file.read_text()
    device.config_file.write_text(text.replace('"20"', '"0.3"').replace("enabled = true", "enabled = false"))
    assert install(device, server, release(1, step=2e-4), "1.3.0") == 7
    [event] = server.details("rolled_back")
    assert event["detail"] == "check 1 of 1: exit 1: the application does not run"
    assert device.served() == NEW.model
