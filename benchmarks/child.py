"""The measuring process: one JSON request on stdin, one JSON answer on stdout, then the end.

The order matters and is part of what is measured: limits first, then the baseline of memory, then the runtime's import
(timed), then the model. What native code prints to stdout goes to stderr, so that the answer stays readable.

The model's bytes are trusted as little as the caller trusts them: this process holds no credential, and it may die.
"""

import json
import os
import sys
from typing import Any, BinaryIO

from benchmarks.confine import confine
from benchmarks.errors import BenchmarkError, MemoryExceeded, RuntimeMissing
from benchmarks.process import memory_message


def _perform(request: dict[str, Any]) -> dict[str, Any]:
    """Do the one task that the request names, importing only what it needs."""
    task = request["task"]
    if task == "benchmark":
        from benchmarks.measure import benchmark

        return benchmark(request)
    if task == "activations":
        from benchmarks.activations import peak_activation

        return peak_activation(request)
    if task == "conclude":
        from benchmarks.replication import conclude

        return conclude(request)
    if task == "compare":
        from benchmarks.comparing import compare_models

        return compare_models(request)
    from benchmarks import scoring

    tasks = {
        "check-samples": scoring.check_samples,
        "load-check": scoring.load_check,
        "predict": scoring.predict,
    }
    return tasks[task](request)


def answer_for(request: dict[str, Any]) -> dict[str, Any]:
    """The answer: the task's result, or the slug and message of the error that ended it."""
    try:
        return {"result": _perform(request)}
    except BenchmarkError as error:
        return _failure(error)
    except MemoryError:
        return _failure(MemoryExceeded(memory_message(request["limits"]["memory_bytes"])))
    except ModuleNotFoundError as error:
        return _failure(RuntimeMissing(f"{error.name} is not installed; install smallfleet[agent]"))


def _failure(error: BenchmarkError) -> dict[str, Any]:
    return {"error": {"slug": error.slug, "message": str(error)}}


def _take_stdout() -> BinaryIO:
    """Keep the real stdout for the answer and send everything else that is printed to stderr."""
    mine = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return mine


def main() -> None:
    """Answer one request."""
    answer_file = _take_stdout()
    request = json.load(sys.stdin)
    confine(**request["limits"])
    answer = answer_for(request)
    with answer_file:
        answer_file.write(json.dumps(answer, separators=(",", ":"), allow_nan=False).encode())


if __name__ == "__main__":
    main()
