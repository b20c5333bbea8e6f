"""Where a study's points are kept and shared out: an Optuna study in SQLite on one machine, in PostgreSQL for any number of them.

Every point has a number from the start: its trial is put into the queue before any worker runs, so there are as many points as asked for however
many workers there are, and a grid is gone through once. A trial in the queue is taken by one conditional UPDATE (Optuna's).

A worker that is gone leaves a running trial behind. On its own machine that is seen at once, because the trial has the process's id and start time;
anywhere else when it has given no sign of life for `GRACE_S`. The point is then queued again with the same values, at most `MAX_RETRIES` times. Two
processes may queue the same point; the trial with the lower number counts, whoever takes the other lets it go.

Optuna would draw from one stream of random numbers in each worker; here every point's draw is seeded by the spec and its number, so that a study by
one worker has the same points however often it was interrupted.
"""

import contextlib
import datetime as dt
import socket
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
import psutil
import sqlalchemy.exc
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from compression.errors import RecipeInvalid, StudyUnusable
from compression.study.space import Choices, Range, Value
from compression.study.spec import StudySpec

HEARTBEAT_S = 10
GRACE_S = 60
UNSIGNED_S = 10
MAX_RETRIES = 2
SQLITE_WAIT_S = 60
_OPENING_TRIES = 5

POINT = "point"
WORKER = "worker"
FAILURE = "failure"
PARTIAL = "partial"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study is kept: an SQLAlchemy URL, which may hold a password and is shown nowhere."""

    url: str

    @property
    def is_local(self) -> bool:
        """Whether it is a file on this machine."""
        return self.url.startswith("sqlite:")

    def file(self) -> Path | None:
        """That file."""
        return Path(self.url.removeprefix("sqlite:///")) if self.is_local else None


def local_place(folder: Path) -> Place:
    """`study.db` in that folder."""
    return Place(f"sqlite:///{(folder / 'study.db').absolute()}")


def place_of(url: str) -> Place:
    """The place that a URL names; PostgreSQL is spoken to through psycopg 3 unless the URL names a driver.

    Raises:
        RecipeInvalid: it is neither `postgresql://` nor `sqlite:///`.
    """
    scheme = urlsplit(url).scheme
    if scheme in {"postgresql", "postgres"}:
        return Place(f"postgresql+psycopg:{url.partition(':')[2]}")
    if scheme in {"sqlite", "postgresql+psycopg"}:
        return Place(url)
    raise RecipeInvalid(f"--storage: expected postgresql://... or sqlite:///..., got {scheme or 'no scheme'}")


def open_storage(place: Place) -> RDBStorage:
    """The storage, its tables made if there are none.

    Raises:
        StudyUnusable: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if (file := place.file()) is not None:
        _prepare_file(file)
    for attempt in range(1, _OPENING_TRIES + 1):
        try:
            with _quiet():
                return RDBStorage(
                    place.url,
                    engine_kwargs={"connect_args": {"timeout": SQLITE_WAIT_S}}
                    if place.is_local
                    else {"pool_pre_ping": True},
                    heartbeat_interval=HEARTBEAT_S,
                    grace_period=GRACE_S,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
                )
        except (sqlalchemy.exc.DBAPIError, optuna.exceptions.StorageInternalError) as error:
            # Another machine may be making the same tables at this moment.
            if attempt == _OPENING_TRIES:
                raise StudyUnusable(f"the study's storage cannot be opened: {_without_url(error)}") from error
            time.sleep(0.2 * attempt)
        except (sqlalchemy.exc.ArgumentError, ImportError) as error:
            raise StudyUnusable(f"the study's storage cannot be opened: {_without_url(error)}") from error
    raise AssertionError("the last try returns or raises")


def _prepare_file(path: Path) -> None:
    """Readers and one writer at a time without waiting for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=SQLITE_WAIT_S)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise StudyUnusable(f"the study's storage cannot be opened: {path}: {error}") from error


def _without_url(error: Exception) -> str:
    # SQLAlchemy's own text may show parts of the URL; the driver's first line says what is wrong.
    origin = getattr(error, "orig", None) or error.__cause__ or error
    origin = getattr(origin, "orig", None) or origin
    return str(origin).splitlines()[0] if str(origin) else type(origin).__name__


def open_study(spec: StudySpec, storage: RDBStorage, *, dataset_sha256: str, base_sha256: str | None) -> optuna.Study:
    """The spec's study in that storage, made if there is none; every point that is missing is put into the queue.

    Raises:
        StudyUnusable: there is a study of that name with another spec, data or base.
    """
    decided = {"fingerprint": spec.fingerprint(), "dataset_sha256": dataset_sha256, "base_sha256": base_sha256}
    try:
        study = optuna.create_study(
            study_name=spec.name,
            storage=storage,
            directions=["maximize" if objective.goal == "max" else "minimize" for objective in spec.objectives],
        )
    except DuplicatedStudyError:
        study = find_study(spec.name, storage)
    for name, value in decided.items():
        # Whoever comes second finds what the first has written, or writes the same.
        before = study.user_attrs.get(name, value)
        if before != value:
            what = {"fingerprint": "spec", "dataset_sha256": "data", "base_sha256": "base"}[name]
            raise StudyUnusable(
                f"study {spec.name!r} was begun with another {what} ({before}, not {value}): give this one another name"
            )
        study.set_user_attr(name, value)
    study.set_user_attr("spec", spec.document)
    _queue(study, spec)
    return study


def find_study(name: str, storage: RDBStorage) -> optuna.Study:
    """The study of that name.

    Raises:
        StudyUnusable: there is none.
    """
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        raise StudyUnusable(f"there is no study {name!r} in this storage: run it first") from error


def _queue(study: optuna.Study, spec: StudySpec) -> None:
    there = set(points_of(study))
    grid = spec.space.grid() if spec.search.sampler == "grid" else None
    wishes: Iterator[dict[str, Value]] = iter(grid) if grid is not None else iter({} for _ in range(spec.point_count()))
    for number, values in enumerate(wishes):
        if number not in there:
            with _quiet():
                study.enqueue_trial(values, user_attrs={POINT: number})


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """All trials that stand for a point, in the order in which they were queued."""
    return [trial for trial in study.get_trials(deepcopy=False) if POINT in trial.user_attrs]


def points_of(study: optuna.Study) -> dict[int, FrozenTrial]:
    """The trial that counts for each point's number: the first finished or failed with a reason, else one under way, else the last lost one."""
    ranks = {TrialState.COMPLETE: 0, TrialState.PRUNED: 0, TrialState.RUNNING: 1, TrialState.WAITING: 2}
    found: dict[int, FrozenTrial] = {}
    for trial in trials_of(study):
        number = int(trial.user_attrs[POINT])
        before = found.get(number)
        if before is None or _rank(trial, ranks) < _rank(before, ranks):
            found[number] = trial
    return dict(sorted(found.items()))


def _rank(trial: FrozenTrial, ranks: Mapping[TrialState, int]) -> tuple[int, int]:
    if trial.state is TrialState.FAIL:
        return (0, trial.number) if FAILURE in trial.user_attrs else (3, -trial.number)
    return ranks[trial.state], trial.number


def is_done(trial: FrozenTrial) -> bool:
    """Whether a point's trial has come to its end, good or bad."""
    return trial.state.is_finished()


def is_surplus(study: optuna.Study, trial_number: int, point: int) -> bool:
    """Whether another trial of the same point counts, so that this one need not be run."""
    return any(
        other.user_attrs[POINT] == point
        and (
            other.state in FINISHED
            or FAILURE in other.user_attrs
            or (other.number < trial_number and not is_done(other))
        )
        for other in trials_of(study)
        if other.number != trial_number
    )


def this_worker() -> dict[str, Any]:
    """What tells this process from every other one, also from a later one with the same id."""
    own = psutil.Process()
    return {"host": socket.gethostname(), "pid": own.pid, "started": own.create_time()}


def requeue_lost(study: optuna.Study, storage: RDBStorage) -> list[int]:
    """Queue again the points whose worker is gone; their numbers."""
    with _quiet():
        optuna.storages.fail_stale_trials(study)
    retry = storage.get_heartbeat_stale_trial_callback()
    lost = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_lost(trial):
            continue
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        if retry is not None:
            with _quiet():
                retry(study, trial)
        lost.append(int(trial.user_attrs.get(POINT, -1)))
    return lost


def _is_lost(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        # Killed between taking the trial and signing it, perhaps before its first heartbeat, so that Optuna would never call it stale.
        # Should it only be slow, the point is run twice, and the first to end counts.
        begun = trial.datetime_start
        now = dt.datetime.now()  # noqa: DTZ005 - Optuna writes the local time, naive
        return begun is not None and (now - begun).total_seconds() > UNSIGNED_S
    if worker["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(worker["pid"])
        # A dead one whose parent has not taken note of it still has its id.
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - worker["started"]) > 1
    except psutil.NoSuchProcess:
        return True


def revive(study: optuna.Study) -> None:
    """Queue again the points that were lost too often, or whose worker ended by an error of its own: a new run is a new chance."""
    for number, trial in points_of(study).items():
        if trial.state is TrialState.FAIL and FAILURE not in trial.user_attrs:
            with _quiet():
                begun = {PARTIAL: trial.user_attrs[PARTIAL]} if PARTIAL in trial.user_attrs else {}
                study.enqueue_trial(trial.params, user_attrs={POINT: number, **begun})


def count_requeued(study: optuna.Study) -> int:
    """How often a point was queued again because its worker was gone."""
    with _quiet():
        numbers = [RetryHeartbeatStaleTrialCallback.retried_trial_number(trial) for trial in trials_of(study)]
    return sum(number is not None for number in numbers)


def sampler_for(spec: StudySpec, number: int) -> BaseSampler:
    """The sampler that draws the point of that number."""
    seed = (spec.seed * 1_000_003 + number) % 2**32
    with _quiet():
        if spec.search.sampler == "tpe":
            # Points under way count as bad ones, so that two workers do not draw the same.
            return TPESampler(seed=seed, multivariate=True, constant_liar=True)
        if spec.search.sampler == "nsga2":
            return NSGAIISampler(seed=seed, population_size=min(20, max(2, spec.point_count() // 4)))
        return RandomSampler(seed=seed)


def distribution_of(parameter: Choices | Range) -> BaseDistribution:
    """How Optuna writes a parameter."""
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.values)
    if parameter.whole:
        step = int(parameter.step) if parameter.step is not None else 1
        return IntDistribution(int(parameter.low), _last(parameter), log=parameter.log, step=step)
    high = _last(parameter) if parameter.step is not None else parameter.high
    return FloatDistribution(parameter.low, high, log=parameter.log, step=parameter.step)


def _last(parameter: Range) -> Any:
    """The highest value that the steps reach."""
    levels = parameter.levels()
    return int(parameter.high) if levels is None else levels[-1]


def draw(trial: optuna.Trial, spec: StudySpec) -> dict[str, Value]:
    """The point's values: those that it was queued with, or else drawn now."""
    values: dict[str, Value] = {}
    for name, parameter in spec.space.parameters.items():
        drawn = distribution_of(parameter)
        if isinstance(drawn, CategoricalDistribution):
            chosen = trial.suggest_categorical(name, _choices(parameter))
            if chosen is None:
                raise AssertionError(f"{name} has no choice None")
            values[name] = chosen
        elif isinstance(drawn, IntDistribution):
            values[name] = trial.suggest_int(name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)
        elif isinstance(drawn, FloatDistribution):
            # The grain of steps of a tenth is no binary fraction: 0.30000000000000004 is written 0.3.
            value = trial.suggest_float(name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)
            values[name] = round(value, 12) if drawn.step is not None else value
    return values


def _choices(parameter: Choices | Range) -> Sequence[Value]:
    return parameter.values if isinstance(parameter, Choices) else ()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna marks much of what is used here as experimental; its version is pinned and tests hold it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
