"""What trust costs on a device's link: `python -m benchmarks.load.metadata_bytes`.

A real server and worker, 25 live targets that have all that can be signed of a variant, and a device that asks for news with the agent's own
HTTP client, whose counter has request and answer with their heads. Measured:

- an update: one more variant was published, so the device needs targets, snapshot and timestamp; its look for a newer root is in the same answer;
- a renewal: the worker has signed a new timestamp;
- beside them, a first look, which has the root too, and a look that finds nothing.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from agent.http import Client
from agent.trust import news
from agent.trust.verified import Versions
from benchmarks.load.goals import Figure, as_table
from client.processes import free_port
from client.publishing import Publication, Signing, publish
from client.rest import RestClient
from client.stack import Stack

LINE = "digits"
LIVE_TARGETS = 25
VARIANTS_PER_VERSION = 2
GOAL_UPDATE_BYTES, GOAL_RENEWAL_BYTES = 5_000, 1_000
TIMESTAMP_LIFE_S = 140
"""The worker renews after a seventh of it."""
NOTHING = Versions()


def ask_news(client: Client, have: Versions) -> tuple[Versions, int]:
    """What the device has after asking once, as the agent asks, and the bytes that this took: request and answer, heads and bodies."""
    before = client.counted()
    content = news.fetch(client, LINE, have)
    spent = client.counted() - before
    return have if content is None else replace(have, **_told(content)), spent.sent + spent.received


def _told(content: bytes) -> dict[str, int]:
    """By role the newest version in the news."""
    document: dict[str, Any] = json.loads(content)
    files = [*document.pop("roots"), *document.values()]
    signed = [json.loads(text)["signed"] for text in files]
    return {one["_type"]: one["version"] for one in signed}


def publications(folder: Path) -> Iterator[Publication]:
    """Variants of one version after the other, every fact of them set."""
    for number in range(LIVE_TARGETS + 1):
        version = f"1.{number // VARIANTS_PER_VERSION}.0"
        contract, samples = folder / f"{version}.json", folder / f"{version}.npz"
        _write_contract(contract, note=version)
        arrays: dict[str, Any] = {
            "input:image": np.zeros((5, 4), np.float32),
            "golden:logits": np.full((5, 3), number, np.float32),
        }
        np.savez(samples, **arrays)
        model = folder / f"{number}.onnx"
        _write_model(model, seed=number)
        yield Publication(
            file=model,
            model=LINE,
            version=version,
            variant=("fp32", "int8")[number % VARIANTS_PER_VERSION],
            contract=contract,
            sample_set=samples,
            tolerances={"atol": 0.001, "rtol": 0.01, "min_agreement": 0.98},
            limits={"p50_latency_ns": 5_000_000 + number, "peak_memory_bytes": 64_000_000 + number},
            device_classes=["pi4", "pi5"],
        )


def _write_contract(file: Path, *, note: str) -> None:
    ports = {"inputs": [("image", 4)], "outputs": [("logits", 3)]}
    described = {
        side: [{"name": name, "dtype": "float32", "shape": ["N", width]} for name, width in named]
        for side, named in ports.items()
    }
    file.write_text(json.dumps({"schema": "smallfleet-contract/1", "note": note, **described}))


def _write_model(file: Path, *, seed: int) -> None:
    weights = np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["image", "weights"], ["logits"])],
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


def measured(stack: Stack, rest: RestClient, signing: Signing, folder: Path) -> list[Figure]:
    """Publish, ask, publish once more, ask, and ask again when the worker has renewed."""
    *first, last = publications(folder)
    for publication in first:
        publish(rest, publication, signing)
    client = enrolled(stack, rest)
    try:
        have, first_bytes = ask_news(client, NOTHING)
        signing.line.change_targets(lambda live: dict(list(live.items())[1:]), signing.key)  # 24, and the next makes 25
        have, _ = ask_news(client, have)
        publish(rest, last, signing)
        have, update_bytes = ask_news(client, have)
        _, idle_bytes = ask_news(client, have)
        renewal_bytes = renewal(client, have)
    finally:
        client.close()
    live = rest.get(f"models/{LINE}/metadata")["targets"]["live"]
    if len(live) != LIVE_TARGETS:
        raise RuntimeError(f"{len(live)} targets are live, not {LIVE_TARGETS}")
    return [
        Figure(
            "update: targets, snapshot, timestamp, and the look for a newer root", update_bytes, "B", GOAL_UPDATE_BYTES
        ),
        Figure("renewal of the timestamp", renewal_bytes, "B", GOAL_RENEWAL_BYTES),
        Figure("first look: the root too", first_bytes, "B"),
        Figure("a look that finds nothing", idle_bytes, "B"),
    ]


def renewal(client: Client, have: Versions) -> int:
    """Wait for a timestamp that the worker renewed; the bytes of the look that found it, and it alone.

    Raises:
        RuntimeError: none came, or something else came with it.
    """
    deadline = time.monotonic() + TIMESTAMP_LIFE_S / 2
    while time.monotonic() < deadline:
        now, spent_bytes = ask_news(client, have)
        if now != have:
            if replace(now, timestamp=have.timestamp) != have:
                raise RuntimeError(f"more than the timestamp is new: {have}, then {now}")
            return spent_bytes
        time.sleep(1)
    raise RuntimeError("the worker renewed no timestamp")


def enrolled(stack: Stack, rest: RestClient) -> Client:
    """A device of the line, by the agent's client."""
    token = rest.post("enrollment-tokens", {"name": "meter", "models": [LINE]})["token"]
    client = Client(stack.url)
    answer = client.call("POST", "enroll", document={"token": token, "name": "meter"}).json()
    if not isinstance(answer, dict):
        raise TypeError("the server enrolled no device")
    client.credential = str(answer["credential"])
    return client


def main() -> None:
    """Print the figures beside their goals."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {"SMALLFLEET_TIMESTAMP_LIFE_S": str(TIMESTAMP_LIFE_S)}
        with Stack(home / "stack", port=free_port(), environment=environment) as stack, stack.rest() as rest:
            stack.trust(LINE)
            print(as_table(measured(stack, rest, stack.signing(rest, LINE), home)))


if __name__ == "__main__":
    main()
