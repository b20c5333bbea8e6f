"""What an update costs a device: `python -m benchmarks.load.update_cost`.

A real server publishes two releases of a 5 MB model, the second with its last layer trained anew, and builds the patch between them. The
agent's one cycle that fetches, applies, checks and activates it is watched from outside:

- the peak of the memory of all its processes together: the proportional set sizes (`smaps_rollup`) of the process and of all below it,
  added up every few milliseconds;
- bytes written to disk: `write_bytes` of /proc/PID/io, which counts the pages that went to the disk, of the agent and of the children
  that it waited for. The journal of the file system is the file system's own and not in it.
"""

import argparse
import itertools
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from benchmarks.load.goals import Figure, as_table
from client.processes import free_port, smallfleet
from client.stack import Stack, StackDevice

LINE = "gate"
WIDTHS = (64, 1152, 960, 96, 512, 100)
SEED = 5
SAMPLE_EVERY_S = 0.004
GOAL_WRITTEN = 2.2
KIB = 1024
CONTRACT = {
    "schema": "smallfleet-contract/1",
    "inputs": [{"name": "features", "dtype": "float32", "shape": ["batch", WIDTHS[0]]}],
    "outputs": [{"name": "scores", "dtype": "float32", "shape": ["batch", WIDTHS[-1]]}],
}


def write_model(path: Path, *, last_layer: int) -> None:
    """A stack of dense layers of 5 MB; `last_layer` is the seed of the last one, the rest is the same in all."""
    nodes, weights, value = [], [], "features"
    for index, shape in enumerate(itertools.pairwise(WIDTHS)):
        is_last = index == len(WIDTHS) - 2
        random = np.random.default_rng(last_layer if is_last else SEED + index)
        weights.append(
            numpy_helper.from_array(random.standard_normal(shape, np.float32) / shape[0] ** 0.5, f"w{index}")
        )
        out = "scores" if is_last else f"h{index}"
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [out if is_last else f"m{index}"]))
        if not is_last:
            nodes.append(helper.make_node("Relu", [f"m{index}"], [out]))
        value = out
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", WIDTHS[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", WIDTHS[-1]])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@dataclass(frozen=True, slots=True)
class Watched:
    """What one cycle of the agent cost."""

    seconds: float
    peak_pss_bytes: int
    written_bytes: int


def watch(command: list[str]) -> Watched:
    """Run a command to its end and watch it with everything that it starts.

    Raises:
        CalledProcessError: it failed.
    """
    before, started_at = _written_bytes(), time.perf_counter()
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _pss_bytes(root))
            time.sleep(SAMPLE_EVERY_S)
        seconds = time.perf_counter() - started_at
        said = process.stderr.read() if process.stderr else b""
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said)
    return Watched(seconds, peak, _written_bytes() - before)


def _written_bytes() -> int:
    """Of this process and of all that it waited for, and they for theirs: the kernel adds them up at each wait."""
    rows = (row.partition(": ") for row in Path("/proc/self/io").read_text().splitlines())
    return next(int(value) for name, _, value in rows if name == "write_bytes")


def _pss_bytes(root: psutil.Process) -> int:
    """The proportional set sizes of a process and all below it; one that has just ended counts nothing."""
    total = 0
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(row.split()[1]) * KIB for row in rollup.splitlines() if row.startswith("Pss:"))
    return total


def publish(stack: Stack, folder: Path, version: str, *, last_layer: int) -> Path:
    """Publish a release as a CI job does; its file."""
    model, contract = folder / f"{version}.onnx", folder / "contract.json"
    write_model(model, last_layer=last_layer)
    contract.write_text(json.dumps(CONTRACT))
    stack.cli(
        "publish", str(model), "--model", LINE, "--version", version, "--variant", "fp32",
        "--contract", str(contract),
    )  # fmt: skip
    return model


def roll_out(stack: Stack, device: StackDevice, version: str) -> tuple[Watched, dict[str, Any]]:
    """Roll a release out; the cycle in which the device took it, and the rollout's ledger."""
    once = smallfleet("agent", "once", "--config", str(device.config))
    before = device.current_model(LINE).resolve()
    with stack.rest() as rest:
        wish = {"model": LINE, "version": version, "variant": "fp32", "start": True, "wait_for_delta_s": 300}
        rollout = rest.post("rollouts", wish)["id"]
        deadline = time.monotonic() + 300
        while True:
            watched = watch(once)
            if device.current_model(LINE).resolve() != before:
                ledger: dict[str, Any] = rest.get(f"rollouts/{rollout}/ledger")
                return watched, ledger
            if time.monotonic() > deadline:
                raise RuntimeError(f"the device did not take {version}")
            time.sleep(0.5)


def measure(home: Path) -> list[Figure]:
    """Publish two releases, bring a device to the first, watch it come to the second."""
    with Stack(home / "stack", port=free_port()) as stack:
        device = stack.enroll("gate", models=(LINE,), device_class="measured", options="[bench]\nenabled = false\n")
        publish(stack, home, "1.0.0", last_layer=1)
        stack.cli("agent", "once", "--config", str(device.config))  # says what it holds, now that the line exists
        roll_out(stack, device, "1.0.0")
        model = publish(stack, home, "1.1.0", last_layer=2)
        stack.cli("agent", "once", "--config", str(device.config))
        watched, ledger = roll_out(stack, device, "1.1.0")
    size_bytes = model.stat().st_size
    received = {row["way"]: row["agent_bytes"] for row in ledger["by_way"]}
    if "delta" not in received:
        raise RuntimeError(f"the update came by another way: {ledger['by_way']}")
    return [
        Figure("model", size_bytes / 1e6, "MB"),
        Figure("the delta, on the wire", received["delta"] / 1e3, "kB"),
        Figure("written to disk, of the model's size", watched.written_bytes / size_bytes, "x", GOAL_WRITTEN),
        Figure("peak memory of all agent processes (PSS)", watched.peak_pss_bytes / KIB**2, "MiB"),
        Figure("poll to active, with poll, apply, check and report", watched.seconds, "s"),
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to work; a file system in memory writes nothing to disk")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smallfleet-update-", dir=args.folder) as home:
        print(as_table(measure(Path(home))))


if __name__ == "__main__":
    main()
