"""Every route, asked everything that the OpenAPI document allows and much that it does not, by three who may do different things.

`python tests/contract/test_schemathesis.py 200` asks for longer, 200 times a route, and prints the whole report.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.openapi_server import IDENTITIES, Served, served

SEED = "20261123"
# An admin gets past permissions everywhere, so the systematic phase ("coverage", about 40 requests a route) is worth its time there.
EXAMPLES = {"admin": 2, "viewer": 4, "device": 4}
PHASES = {"admin": "examples,coverage,fuzzing", "viewer": "examples,fuzzing", "device": "examples,fuzzing"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("asked")) as running:
        yield running


def ask(server: Served, identity: str, examples: int, phases: str) -> subprocess.CompletedProcess[str]:
    command = server.asks(identity, "--seed", SEED, "--max-examples", str(examples), "--phases", phases)
    environment = server.environment()
    return subprocess.run(command, env=environment, cwd=server.log.parent, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_every_answer_is_in_the_document_and_none_is_a_defect(server: Served, identity: str) -> None:
    asked = ask(server, identity, EXAMPLES[identity], PHASES[identity])
    assert asked.returncode == 0, asked.stdout[-6000:] + asked.stderr[-1000:]
    tested = re.search(r"Tested: (\d+)", asked.stdout)
    assert tested is not None
    assert int(tested[1]) > 80
    assert "Traceback" not in server.log.read_text()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, served(Path(home)) as running:
        for somebody in IDENTITIES:
            ended = ask(running, somebody, int(sys.argv[1]), PHASES["admin"])
            sys.stdout.write(f"===== {somebody}\n{ended.stdout}{ended.stderr}\n")
