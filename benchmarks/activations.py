"""The peak of activations as the runtime's own allocator counted it. Child side, in a process of its own after the timed ones.

ONNX Runtime records its allocator's state with every kernel of a profile since 1.31. Profiling costs up to a third of the time (measured on
ShuffleNet), so no timed run is profiled. Fusion lowers the figure below what liveness in graph order says (`artifact.static`), padded
layouts and workspaces raise it: SqueezeNet 4.97 MB here and 6.31 MB by liveness, ResNet50 16.65 and 9.63.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import session
from benchmarks.configurations import Configuration
from benchmarks.measure import workload_of

_FIGURE = "mem_in_use_peak"
_NO_FIGURE = "this version of the runtime does not record memory in its profile"
# The first run allocates as it goes; the second one by the pattern that the first one left.
_RUNS = 2


def peak_activation(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the model under the runtime's profiler; the highest count of bytes in use, or why there is none."""
    configuration = Configuration(**request["configuration"])
    model = session.open_model(
        request["model"],
        intra_op=configuration.intra_op,
        spinning=configuration.spinning,
        providers=request["providers"],
        profile=Path(request["profile"]),
    )
    feeds = workload_of(session, model, request).feeds[0]
    for _ in range(_RUNS):
        model.run(feeds)
    return highest_peak(Path(model.session.end_profiling()).read_text())


def highest_peak(profile: str) -> dict[str, Any]:
    """The highest `mem_in_use_peak` of a profile, which is a JSON list of events with `args`."""
    try:
        events = json.loads(profile)
    except ValueError as error:
        return {"peak_bytes": None, "reason": f"the profile cannot be read: {error}"}
    peaks = [int(event["args"][_FIGURE]) for event in events if _FIGURE in event.get("args", {})]
    return {"peak_bytes": max(peaks), "reason": None} if peaks else {"peak_bytes": None, "reason": _NO_FIGURE}
