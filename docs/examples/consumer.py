"""Serving code for a model that Smallfleet installs: an example to start from. It needs ONNX Runtime and numpy, nothing of Smallfleet.

    python consumer.py serve   --current /var/lib/smallfleet/models/digits/current --run-dir /run/gate
    python consumer.py is-well --run-dir /run/gate          # the agent's health hook

`serve` follows the link, loads a new model beside the old one, offers recent inputs for shadow runs and writes down how it is.
`is-well` reads that and answers with its exit code. The page docs/serving.md says what both rely on.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

RECENT_INPUTS = 32
STATUS_FILE, RECENT_FOLDER = "status.json", "recent"

Feeds = dict[str, np.ndarray[Any, Any]]


@dataclass
class Status:
    """What `is-well` wants to know: which model answers, how often it did, and what went wrong last."""

    sha256: str = ""
    inferences: int = 0
    problem: str = ""


class Model:
    """One release. All its files are opened below one folder, so they belong together whatever happens to the link."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        self.sha256: str = manifest["sha256"]
        self.contract = json.loads((folder / "contract.json").read_text())
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def answer(self, feeds: Feeds) -> list[Any]:
        outputs: list[Any] = self._session.run(None, feeds)
        return outputs


def main() -> int:
    """Serve, or say how the one that serves is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    serving = actions.add_parser("serve", help="answer inputs with the current model")
    serving.add_argument("--current", type=Path, required=True, help="the link: <state_dir>/models/<line>/current")
    serving.add_argument("--pause-s", type=float, default=0.05, help="between two inputs")
    asking = actions.add_parser("is-well", help="exit code 0 when the model that the hook names answers well")
    asking.add_argument("--wait-s", type=float, default=10.0, help="how long the new model may take to answer")
    for action in (serving, asking):
        action.add_argument("--run-dir", type=Path, required=True, help="a folder of the application's own")
    args = parser.parse_args()
    if args.action == "serve":
        serve(args.current, args.run_dir, args.pause_s)
        return 0
    return is_well(args.run_dir, args.wait_s)


def serve(current: Path, run_dir: Path, pause_s: float) -> None:
    """Answer inputs until the process is ended."""
    (run_dir / RECENT_FOLDER).mkdir(parents=True, exist_ok=True)
    model, status, seen = None, Status(), ""
    for number in range(sys.maxsize):
        # One readlink per input: no hook and no inotify is needed. The link is replaced whole, so this is the old folder or the new one.
        folder = os.path.realpath(current)
        if folder != seen:
            seen = folder
            model, status = load(Path(folder), model)
        if model is not None:
            feeds = next_input(model, number)
            try:
                outputs = model.answer(feeds)
            except Exception as error:  # noqa: BLE001 - the runtime's errors have no common base; whatever it is, it is not well
                status.problem = f"an inference failed: {error}"
            else:
                status.inferences += 1
                status.problem = (
                    "" if all(np.isfinite(output).all() for output in outputs) else "answers are not finite"
                )
                offer(run_dir / RECENT_FOLDER, number, feeds)
        write_whole(run_dir / STATUS_FILE, json.dumps(asdict(status)).encode())
        time.sleep(pause_s)


def load(folder: Path, old: Model | None) -> tuple[Model | None, Status]:
    """The model of a folder. One that does not load leaves the old one answering, which `is-well` then reports."""
    if not folder.is_dir():
        return None, Status(problem="there is no model")
    try:
        model = Model(folder)
    except Exception as error:  # noqa: BLE001 - as above
        return old, Status("" if old is None else old.sha256, problem=f"{folder.name} does not load: {error}")
    return model, Status(model.sha256)


def next_input(model: Model, number: int) -> Feeds:
    """The next camera frame; here noise in the shape that the contract asks for."""
    generator, feeds = np.random.default_rng(number), {}
    for port in model.contract["inputs"]:
        shape = [size if isinstance(size, int) else 1 for size in port["shape"]]
        feeds[port["name"]] = generator.standard_normal(shape).astype(port["dtype"])
    return feeds


def offer(folder: Path, number: int, feeds: Feeds) -> None:
    """Leave an input for the agent's shadow runs, over the oldest one: arrays under the names of the inputs, as they were fed."""
    being_written = folder / ".being-written.npz"
    with being_written.open("wb") as file:
        np.savez(file, **feeds)
    being_written.replace(folder / f"{number % RECENT_INPUTS}.npz")


def write_whole(path: Path, content: bytes) -> None:
    """Whoever reads the file meanwhile finds the old content or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def is_well(run_dir: Path, wait_s: float) -> int:
    """Wait until the model that the agent asks about answers; what is printed ends up in the agent's log and on the server."""
    wanted = os.environ["SMALLFLEET_SHA256"]
    status = Status(problem="the application does not run")
    for status in statuses(run_dir / STATUS_FILE, wait_s):
        if status.sha256 == wanted and status.inferences > 0 and not status.problem:
            return 0
    print(status.problem or f"{status.sha256 or 'no model'} answers, not {wanted}", file=sys.stderr)
    return 1


def statuses(path: Path, wait_s: float) -> Iterator[Status]:
    """What the application writes down from now on."""
    asked_at, deadline = time.time(), time.monotonic() + wait_s
    while time.monotonic() < deadline:
        # What was written before the question says nothing about a process that has died since.
        if path.exists() and path.stat().st_mtime > asked_at:
            yield Status(**json.loads(path.read_bytes()))
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
