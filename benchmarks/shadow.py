"""A shadow run: a candidate model beside the one in service, on the same inputs, before it may take its place. Parent side.

It is not a benchmark: it takes seconds, gives way to other work, and tells two models on one machine apart, no machines.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import ChildCrashed, MemoryExceeded
from benchmarks.process import Limits, ask_child

# Both models at once, one after the other, the candidate by itself: each in a child with a time limit of its own.
MAX_CHILDREN = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a shadow run found; None is "not to be had".

    `why_not` says why nothing was compared (`no-current`, `current-unloadable`, `other-ports`, `current-failed`), or why only times
    were not (`one-after-the-other`). `refused` is what the candidate said to an input that the current model takes. `disagreement` is
    the share of samples whose highest score is elsewhere. `latency_ns` and `memory_bytes` are the candidate's; `latency_basis` says
    whether wall time could be used (`wall`) or something else held the CPU (`cpu`). `skipped` counts offered files that hold no
    inputs of these models.
    """

    source: str
    samples: int
    skipped: int
    why_not: str | None
    refused: str | None
    disagreement: float | None
    max_abs_error: float | None
    mean_abs_error: float | None
    newly_not_finite: int
    latency_ns: float | None
    latency_ratio: float | None
    latency_basis: str
    memory_bytes: int | None


def compare_models(
    candidate: Path,
    current: Path | None,
    *,
    samples: Path | None,
    recent: Path | None,
    min_samples: int,
    max_samples: int,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
) -> Comparison:
    """Compare two models in one limited child; one after the other in it, where the limit has no room for two.

    Where even that takes the child down, the candidate runs by itself on its sample set: so what the candidate does to the child is told
    apart from what the current model, or an offered input, does to it.

    Args:
        candidate: the new model's file.
        current: the file of the model in service, None where there is none.
        samples: the candidate's sample set, if it has one.
        recent: a folder of recent inputs, see `recent_inputs`; preferred to the sample set where it has `min_samples` of them.
        min_samples: see there.
        max_samples: how many inputs are looked at, at most.
        timeout_s: wall seconds for each child.
        memory_limit_bytes: bound on a child's private memory.
        nice: added to the child's niceness.

    Raises:
        BenchmarkError: of the candidate by itself; ChildTimedOut of any child.
    """
    request = {
        "candidate": str(candidate.absolute()),
        "current": None if current is None else str(current.absolute()),
        "samples": None if samples is None else str(samples.absolute()),
        "recent": None if recent is None else str(recent),
        "min_samples": min_samples,
        "max_samples": max_samples,
    }
    limits = Limits(timeout_s, memory_limit_bytes, nice)
    two_models = () if current is None else ({"together": True}, {"together": False})
    for how in two_models:
        with contextlib.suppress(MemoryExceeded, ChildCrashed):
            return Comparison(**ask_child("compare", request | how, limits=limits))
    answer = ask_child(
        "compare", request | {"current": None, "recent": None if two_models else request["recent"]}, limits=limits
    )
    return Comparison(**answer | {"why_not": "current-failed" if two_models else "no-current"})
