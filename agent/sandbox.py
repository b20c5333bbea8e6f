"""What shuts the agent's children in, and the proof of it: `python -m agent.sandbox` is a child that shuts itself in and tries to get out.

The locks themselves are in `benchmarks.sandbox`, which the server's children use too. `doctor` runs the proof.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from agent import children, wire
from agent.errors import WireInvalid
from benchmarks.confine import confine
from benchmarks.sandbox import Sandbox, keep_descriptors

PROOF_TIMEOUT_S = 60.0


def prove() -> tuple[Sandbox, list[str]] | str:
    """What held a child like the decoder's, and what it could do all the same; a text where there is no answer."""
    ended = children.run(children.python_module("agent.sandbox"), timeout_s=PROOF_TIMEOUT_S)
    if ended.returncode != 0:
        why = "no answer in time" if ended.returncode is None else f"exit {ended.returncode}: {ended.stderr_end[-200:]}"
        return f"the child that tries it ended badly: {why}"
    try:
        answer: Any = wire.parse_json(ended.stdout, "the child's answer")
        return Sandbox(**answer["sandbox"]), list(answer["escapes"])
    except (WireInvalid, KeyError, TypeError) as error:
        return f"the child that tries it gave no readable answer: {error}"


def _attempts() -> dict[str, Callable[[], object]]:
    """What a decoder must not be able to do, each tried for real. Nothing outside of this process changes if one works."""
    return {
        "open a file": lambda: os.close(os.open("/", os.O_RDONLY)),
        "open a connection": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "open a local connection": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
        "make a process": _fork,
        "send a signal": lambda: os.kill(os.getppid(), 0),
    }


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def main() -> int:
    """Shut this process in, try everything, print what held and what did not."""
    confine(parent_pid=os.getppid(), nice=0, cpu_s=5, file_bytes=1 << 16)
    sandbox = keep_descriptors(required=False)
    escapes = []
    for name, attempt in _attempts().items():
        try:
            attempt()
        except PermissionError:
            continue
        escapes.append(name)
    sys.stdout.write(json.dumps({"sandbox": asdict(sandbox), "escapes": escapes}) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
