"""The benchmark report that virtual devices send: one real run of the target on this machine, marked as what it is."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.runner import run_benchmark
from client.errors import ConfigError
from client.rest import RestClient
from client.simulate.server import Variant

TIMEOUT_S = 300.0
# A rule that no simulated report holds, so that none of them ever gates anything.
SIMULATED = {"id": "simulated", "ok": False, "value": True, "limit": False, "severity": "invalid"}


def measure(rest: RestClient, target: Variant, *, device_class: str) -> dict[str, Any]:
    """Run the target's shortest benchmark here, once; the report is invalid by the rule `simulated`.

    Raises:
        ConfigError: the model does not run on this machine.
        ClientError: it cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="smallfleet-simulate-") as folder:
        model = Path(folder) / "model.onnx"
        rest.download(target.sha256, model)
        try:
            report = run_benchmark(model, tier="smoke", timeout_s=TIMEOUT_S, device_class=device_class)
        except BenchmarkError as error:
            raise ConfigError(f"the target cannot be measured here ({error}); --no-reports leaves that out") from error
    validity = report["validity"]
    return report | {"validity": validity | {"state": "invalid", "flags": [*validity["flags"], SIMULATED]}}
