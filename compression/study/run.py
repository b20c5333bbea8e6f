"""Running a study: worker processes on this machine, a bar while they work, and what is said when they are gone."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from client.files import sha256_of
from compression.errors import StudyUnusable
from compression.progress import Progress, no_progress
from compression.study.bench import bench_of
from compression.study.kept import STORAGE_VARIABLE
from compression.study.spec import load_spec
from compression.study.storage import (
    Place,
    count_requeued,
    is_done,
    open_storage,
    open_study,
    points_of,
    requeue_lost,
    revive,
)

_LOOK_AGAIN_S = 1.0
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did.

    Attributes:
        done: points that came to an end in this run.
        requeued: how often a point was taken up again because its worker was gone.
    """

    done: int
    requeued: int
    seconds: float


def run_study(name_or_file: str, place: Place, out: Path, *, workers: int, progress: Progress = no_progress) -> Ran:
    """Run the study to its end, or go on with it where it stands.

    Raises:
        RecipeInvalid, DataUnusable: as the spec or its data are.
        StudyUnusable: the storage cannot be opened or holds another study of that name, or every worker ended early.
    """
    spec = load_spec(name_or_file)
    bench = bench_of(spec)
    base = spec.base()
    storage = open_storage(place)
    study = open_study(
        spec, storage, dataset_sha256=bench.samples.sha256(), base_sha256=sha256_of(base) if base else None
    )
    requeued = count_requeued(study)
    requeue_lost(study, storage)
    revive(study)
    started = time.monotonic()
    before = _done(study)
    wanted = workers if before < len(points_of(study)) else 0
    # A worker that is ended cannot clear up behind itself.
    with tempfile.TemporaryDirectory(prefix="smallfleet-study-") as scratch:
        children = [_start(name_or_file, place, out, scratch) for _ in range(wanted)]
        try:
            with progress(f"study {spec.name}", len(points_of(study)) - before) as advance:
                seen = before
                while any(child.poll() is None for child in children):
                    time.sleep(_LOOK_AGAIN_S)
                    now = _done(study)
                    advance(now - seen)
                    seen = now
        finally:
            _end(children)
    left = len(points_of(study)) - _done(study)
    if left:
        codes = ", ".join(str(child.returncode) for child in children)
        raise StudyUnusable(
            f"{left} points are left and every worker has ended (exit codes {codes}); run again to go on"
        )
    return Ran(_done(study) - before, count_requeued(study) - requeued, time.monotonic() - started)


def _done(study: optuna.Study) -> int:
    return sum(is_done(trial) and not _may_come_again(trial) for trial in points_of(study).values())


def _may_come_again(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state in {TrialState.WAITING, TrialState.RUNNING}


def _start(name_or_file: str, place: Place, out: Path, scratch: str) -> "subprocess.Popen[bytes]":
    # The libraries' own pools would take the other workers' cores.
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-P", "-m", "compression.study.worker", name_or_file, "--out", str(out)]
    environment = {**os.environ, **pools, STORAGE_VARIABLE: place.url, "TMPDIR": scratch}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)


def _end(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End what still runs, after an interruption; its points are taken up again by the next run."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
