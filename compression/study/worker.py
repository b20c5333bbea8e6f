"""One worker: `python -m compression.study.worker SPEC --out DIR`. Takes points until none is left; started by `run`, never by hand.

It computes on one thread, so that as many workers as cores share a machine, and so that sums have one order. Where the study is kept comes through
the environment, because the address may hold a password and arguments are everybody's to see.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from client.files import sha256_of
from compression.errors import CompressionError
from compression.provenance import machine, versions
from compression.study.bench import Bench, bench_of
from compression.study.early import Curve
from compression.study.kept import STORAGE_VARIABLE, packed, point_file, unpacked
from compression.study.points import Measured, Net, Partial, PointFailed, PointHopeless, measure_point
from compression.study.spec import StudySpec, load_spec
from compression.study.storage import (
    FAILURE,
    PARTIAL,
    POINT,
    WORKER,
    draw,
    is_surplus,
    local_place,
    open_storage,
    open_study,
    place_of,
    points_of,
    requeue_lost,
    sampler_for,
    this_worker,
)

_LOOK_AGAIN_S = 0.5


class _Surplus(Exception):
    """Another trial of the same point counts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Work until no point is left."""
    parser = argparse.ArgumentParser(prog="python -m compression.study.worker", description=__doc__)
    parser.add_argument("spec")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    # Ctrl-C reaches every process of the terminal; the parent ends its workers, and their points are taken up again.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        spec = load_spec(args.spec)
        url = os.environ.get(STORAGE_VARIABLE)
        storage = open_storage(place_of(url) if url else local_place(args.out))
        work(spec, storage, bench_of(spec), args.out)
    except CompressionError as error:
        print(f"study worker: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def work(spec: StudySpec, storage: RDBStorage, bench: Bench, out: Path) -> None:
    """Take points until none is left; while others are under way elsewhere, wait in case one of them is lost."""
    base = spec.base()
    study = open_study(
        spec, storage, dataset_sha256=bench.samples.sha256(), base_sha256=sha256_of(base) if base else None
    )
    worker = this_worker()
    parent = os.getppid()

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        return _point(trial, spec, bench, out, worker)

    # An orphan finishes its point, so that nothing is lost, and goes.
    while os.getppid() == parent:
        requeue_lost(study, storage)
        if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            with warnings.catch_warnings(), _given_away():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.optimize(objective, n_trials=1, catch=(PointFailed, _Surplus))
        elif study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


@contextlib.contextmanager
def _given_away() -> Iterator[None]:
    """Drop what was found of a point that was given up for lost while this worker was only slow: it is another one's now."""
    try:
        yield
    except UpdateFinishedTrialError:
        return
    except ValueError as error:
        # What Optuna says of the same when it is the last to hear of it.
        if not str(error).startswith("Cannot tell a "):
            raise


def _point(trial: optuna.Trial, spec: StudySpec, bench: Bench, out: Path, worker: dict[str, Any]) -> tuple[float, ...]:
    """The values of the objectives of the trial's point; everything else about it becomes its attributes."""
    study = trial.study
    number = trial.user_attrs.get(POINT)
    if number is None or is_surplus(study, trial.number, number):
        raise _Surplus
    trial.set_user_attr(WORKER, worker)
    study.sampler = sampler_for(spec, number)
    values = draw(trial, spec)
    _note(trial, {"parameters": values, "machine": machine(), "versions": versions()})
    try:
        measured = measure_point(
            spec,
            bench,
            number,
            values,
            keep=point_file(out, number),
            finished=lambda: finished_curves(study),
            begun=_begun(trial),
            note=lambda partial: trial.set_user_attr(PARTIAL, _written(partial)),
        )
        objectives = _objectives(spec, measured)
    except PointHopeless as hopeless:
        _note(trial, {"hopeless": str(hopeless), "curve": asdict(hopeless.curve)})
        known = {budget.metric: hopeless.curve.costs.get(budget.metric) for budget in spec.budgets}
        _constrain(trial, spec, {metric: value for metric, value in known.items() if value is not None})
        raise optuna.TrialPruned(str(hopeless)) from hopeless
    except PointFailed as failed:
        trial.set_user_attr(FAILURE, str(failed))
        raise
    _constrain(trial, spec, measured.metrics)
    _note(trial, _attributes(measured))
    return objectives


def _constrain(trial: optuna.Trial, spec: StudySpec, metrics: Mapping[str, float | None]) -> None:
    """Tell the sampler by how much each budget is broken, as far as that is known by now."""
    for index, budget in enumerate(spec.budgets):
        if budget.metric in metrics:
            value = metrics[budget.metric]
            # What could not be measured has not been shown to be within the budget.
            trial.set_constraint(f"{index}", 1.0 if value is None else budget.excess(value))


def _objectives(spec: StudySpec, measured: Measured) -> tuple[float, ...]:
    values = []
    for objective in spec.objectives:
        value = measured.metrics[objective.metric]
        if value is None:
            raise PointFailed(
                f"{objective.metric} is an objective and is not known: {measured.reasons[objective.metric]}"
            )
        values.append(value)
    return tuple(values)


def _attributes(measured: Measured) -> dict[str, Any]:
    return {
        "metrics": dict(measured.metrics),
        "accuracy_ci95": list(measured.accuracy_ci95),
        "reasons": dict(measured.reasons),
        "sha256": measured.partial.sha256,
        "curve": asdict(measured.partial.curve),
        "nets": _written(measured.partial)["nets"],
    }


def _written(partial: Partial) -> dict[str, Any]:
    nets = [
        {
            "repeat": net.repeat,
            "fold": net.fold,
            "accuracy": net.accuracy,
            "seconds": net.seconds,
            "n": len(net.right),
            "right": packed(net.right),
        }
        for net in partial.nets
    ]
    return {"nets": nets, "curve": asdict(partial.curve), "sha256": partial.sha256}


def _begun(trial: optuna.Trial) -> Partial | None:
    """What an earlier worker, which is gone, had of this point."""
    said = trial.user_attrs.get(PARTIAL)
    if said is None:
        return None
    nets = tuple(
        Net(
            net["repeat"],
            net["fold"],
            net["accuracy"],
            net["seconds"],
            tuple(unpacked(net["right"], net["n"]).tolist()),
        )
        for net in said["nets"]
    )
    return Partial(nets, Curve(**said["curve"]), said["sha256"])


def _note(trial: optuna.Trial, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        trial.set_user_attr(name, value)


def finished_curves(study: optuna.Study) -> list[Curve]:
    """The curves of the points that were trained to their end."""
    return [
        Curve(**trial.user_attrs["curve"])
        for trial in points_of(study).values()
        if trial.state is TrialState.COMPLETE and "curve" in trial.user_attrs
    ]


if __name__ == "__main__":
    raise SystemExit(main())
