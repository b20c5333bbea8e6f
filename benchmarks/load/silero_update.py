"""A real model's real update: `python -m benchmarks.load.silero_update`.

Takes two releases of silero-vad out of their wheels, publishes them with the command line, brings a real agent to the first and then to
the second, and prints what
that cost on the wire by which way, beside the agent's own benchmark report.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.samples import write_samples
from client.processes import free_port
from client.stack import Stack, StackDevice

LINE = "silero-vad"
MEMBER = "silero_vad/data/silero_vad.onnx"
WINDOW_SAMPLES, SAMPLE_RATE_HZ = 512, 16_000
SAMPLES, SEED = 8, 7
CONTRACT = {
    "schema": "smallfleet-contract/1",
    "inputs": [
        {"name": "input", "dtype": "float32", "shape": ["batch", "samples"]},
        {"name": "state", "dtype": "float32", "shape": [2, "batch", 128]},
        {"name": "sr", "dtype": "int64", "shape": []},
    ],
    "outputs": [
        {"name": "output", "dtype": "float32", "shape": ["batch", 1]},
        {"name": "stateN", "dtype": "float32", "shape": ["p", "q", "r"]},
    ],
    "preprocessing": {"window": "512 samples after 64 of context at 16 kHz", "scale": "-1 to 1"},
    "labels": ["speech"],
}


def fetch(version: str, cache: Path) -> Path:
    """The model file of a release, out of its wheel; fetched once into `cache`."""
    model = cache / f"silero-vad-{version}.onnx"
    if not model.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            str(cache),
            f"silero-vad=={version}",
        ]
        subprocess.run(command, check=True)
        wheel = next(cache.glob(f"silero_vad-{version}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            model.write_bytes(archive.read(MEMBER))
    return model


def golden_samples(model: Path, out: Path) -> None:
    """A sample set for the model: noise of rising loudness, and what the model answers on this machine."""
    random = np.random.default_rng(SEED)
    loudness = np.linspace(0.01, 0.5, SAMPLES, dtype=np.float32)[:, None, None]
    inputs: dict[str, Any] = {
        "input": random.standard_normal((SAMPLES, 1, WINDOW_SAMPLES), dtype=np.float32) * loudness,
        "state": np.zeros((SAMPLES, 2, 1, 128), np.float32),
        "sr": np.full(SAMPLES, SAMPLE_RATE_HZ, np.int64),
    }
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = [
        session.run(names, {name: np.asarray(array[i]) for name, array in inputs.items()}) for i in range(SAMPLES)
    ]
    write_samples(
        out, inputs, {name: np.stack([answer[k] for answer in answers]) for k, name in enumerate(names)}, None
    )


def publish(stack: Stack, version: str, model: Path, folder: Path) -> None:
    """Publish a release as a CI job does."""
    samples, contract = folder / f"{version}.npz", folder / "contract.json"
    golden_samples(model, samples)
    contract.write_text(json.dumps(CONTRACT))
    stack.cli(
        "publish", str(model), "--model", LINE, "--version", version, "--variant", "fp32",
        "--contract", str(contract), "--samples", str(samples), "--tolerance", "atol=0.001,rtol=0.001",
    )  # fmt: skip


def roll_out(stack: Stack, version: str, device: StackDevice, *, timeout_s: float = 300.0) -> dict[str, Any]:
    """Roll a release out and let the device poll until it is there; the rollout's ledger."""
    with stack.rest() as rest:
        wish = {"model": LINE, "version": version, "variant": "fp32", "start": True, "wait_for_delta_s": 300}
        rollout = rest.post("rollouts", wish)["id"]
        deadline = time.monotonic() + timeout_s
        while (state := rest.get(f"rollouts/{rollout}"))["state"] != "finished":
            if time.monotonic() > deadline or state["progress"]["failed"]:
                raise RuntimeError(f"the rollout did not finish: {state}")
            stack.cli("agent", "once", "--config", str(device.config))
        ledger: dict[str, Any] = rest.get(f"rollouts/{rollout}/ledger")
    return ledger


def measure(home: Path, cache: Path, releases: tuple[str, str]) -> dict[str, Any]:
    """Publish both releases, update a device from one to the other; bytes by way and the newest report."""
    models = {version: fetch(version, cache) for version in releases}
    with Stack(home, port=free_port()) as stack:
        device = stack.enroll("porch", models=(LINE,), device_class="measured", options='[bench]\ntier = "rapid"\n')
        updates = []
        for version, model in models.items():
            publish(stack, version, model, home)
            stack.cli("agent", "once", "--config", str(device.config))  # says what it holds, now that the line exists
            ledger = roll_out(stack, version, device)
            updates.append(
                {
                    "version": version,
                    "file_bytes": model.stat().st_size,
                    "agent_bytes": ledger["agent_bytes"],
                    "by_way": ledger["by_way"],
                }
            )
        with stack.rest() as rest:
            newest = next(iter(rest.pages("reports", model=LINE)))
    return {"updates": updates, "report": newest["report"]}


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", nargs=2, default=("5.1.2", "6.0.0"), metavar="VERSION")
    parser.add_argument("--cache", type=Path, default=Path(".cache/models"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smallfleet-silero-") as home:
        print(json.dumps(measure(Path(home), args.cache, tuple(args.releases)), indent=2))


if __name__ == "__main__":
    main()
