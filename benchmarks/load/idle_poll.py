"""What an idle poll costs on the wire: `python -m benchmarks.load.idle_poll`.

Starts the real server, enrolls a real agent behind a counting relay, brings it to a model, and then counts the HTTP bytes of polls
that find nothing new.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.load.counting_proxy import CountingProxy
from client.demo.models import DemoModel
from client.processes import free_port
from client.stack import Stack

GOAL_BYTES = 300


def measure(home: Path, *, polls: int) -> dict[str, object]:
    """HTTP bytes of `polls` idle polls, as the socket saw them."""
    with Stack(home, port=free_port(), worker=False) as stack:
        stack.cli("publish", *DemoModel("1.0.0", "fp32").publish_arguments())
        device = stack.enroll("idle", models=("digits",), device_class="measured", options="[bench]\nenabled = false\n")
        poll = ("agent", "once", "--config", str(device.config))
        stack.cli(*poll)
        with stack.rest() as rest:
            rest.post("rollouts", {"model": "digits", "version": "1.0.0", "variant": "fp32", "start": True})
        for _ in range(3):  # install, report, hear the answer to what it said last
            stack.cli(*poll)
        port = int(stack.url.rpartition(":")[2])
        with CountingProxy(port) as proxy:
            device.config.write_text(device.config.read_text().replace(f":{port}", f":{proxy.port}"))
            stack.cli(*poll)
            proxy.reset()
            for _ in range(polls):
                stack.cli(*poll)
            up, down = proxy.up_bytes / polls, proxy.down_bytes / polls
    return {
        "polls": polls,
        "request_bytes": up,
        "response_bytes": down,
        "http_bytes": up + down,
        "goal_bytes": GOAL_BYTES,
    }


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smallfleet-idle-") as home:
        print(json.dumps(measure(Path(home), polls=args.polls), indent=2))


if __name__ == "__main__":
    main()
