"""A study with worker processes: killed in the middle and gone on with, on SQLite and on PostgreSQL."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from compression.errors import RecipeInvalid, StudyUnusable
from compression.study.kept import STORAGE_VARIABLE, point_file
from compression.study.run import run_study
from compression.study.spec import load_spec
from compression.study.storage import (
    MAX_RETRIES,
    POINT,
    WORKER,
    Place,
    find_study,
    is_surplus,
    local_place,
    open_storage,
    open_study,
    place_of,
    points_of,
    requeue_lost,
    revive,
    this_worker,
)
from tests.factories.databases import own_database

SPEC = """
schema = "smallfleet-study/1"
name = "killed"
[benchmark]
data = "digits"
latency = "none"
[[objective]]
metric = "accuracy"
[[objective]]
metric = "size_bytes"
[space]
family = "convnet"
[space.net]
first = [2, 4, 8, 12]
second = 0
third = 0
[training]
epochs = {epochs}
[search]
sampler = "grid"
"""
CLI = [sys.executable, "-c", "import sys; from client.cli import main; sys.exit(main())", "study"]
PATIENCE_S = 240


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC.format(epochs=3))
    return path


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in points_of(study).values()]


def wait_until_some_are_done(study: optuna.Study, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None
        under_way = [t for t in points_of(study).values() if t.state is TrialState.RUNNING and WORKER in t.user_attrs]
        if TrialState.COMPLETE in states(study) and under_way:
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing came to its end: {states(study)}")


def test_study_killed_in_the_middle_goes_on_and_does_nothing_twice(
    spec: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    loaded = load_spec(str(spec))
    storage = open_storage(local_place(out))
    from compression.study.bench import bench_of

    digest = bench_of(loaded).samples.sha256()
    study = open_study(loaded, storage, dataset_sha256=digest, base_sha256=None)
    # Whole process groups die at once, as they do when a machine is switched off.
    with subprocess.Popen([*CLI, "run", str(spec), "--out", str(out)], start_new_session=True) as process:
        wait_until_some_are_done(study, process)
        os.killpg(process.pid, signal.SIGKILL)
    before = {number: trial for number, trial in points_of(study).items() if trial.state is TrialState.COMPLETE}
    assert 0 < len(before) < 4
    lost = states(study).count(TrialState.RUNNING)
    assert lost > 0
    ran = run_study(str(spec), local_place(out), out, workers=1)
    assert (ran.done, ran.requeued) == (4 - len(before), lost)
    assert states(study) == [TrialState.COMPLETE] * 4
    for number, trial in before.items():
        assert points_of(study)[number].number == trial.number
    complete = [trial.user_attrs[POINT] for trial in study.get_trials(states=(TrialState.COMPLETE,))]
    assert sorted(complete) == [0, 1, 2, 3]
    assert all(point_file(out, number).is_file() for number in range(4))
    # A study at its end has nothing left to do, and starts no worker for it.
    assert run_study(str(spec), local_place(out), out, workers=2).done == 0
    assert "Traceback" not in capfd.readouterr().err


def test_interrupted_study_leaves_nothing_behind_but_its_points(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    @contextlib.contextmanager
    def interrupting(label: str, total: int) -> Iterator[Callable[[int], object]]:
        def advance(done: int) -> None:
            if any(temporary.glob("*/*")):
                raise KeyboardInterrupt

        yield advance

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_study(str(spec), local_place(out), out, workers=1, progress=interrupting)
    assert list(temporary.iterdir()) == []


@pytest.mark.postgres
def test_two_machines_on_postgresql_share_the_points_of_one_study(spec: Path, tmp_path: Path) -> None:
    spec.write_text(SPEC.format(epochs=1).replace("8, 12", "8"))
    with own_database(os.environ["SMALLFLEET_TEST_POSTGRES"]) as url:
        environment = {**os.environ, STORAGE_VARIABLE: url}
        # Both begin at once with an empty database: who makes the tables and the study is chance.
        machines = [
            subprocess.Popen(
                [*CLI, "run", str(spec), "--out", str(tmp_path / name), "--workers", "1", "--json"],
                env=environment,
                stdout=subprocess.PIPE,
            )
            for name in ("a", "b")
        ]
        documents = [json.loads(machine.communicate(timeout=PATIENCE_S)[0]) for machine in machines]
        assert [machine.returncode for machine in machines] == [0, 0]
        storage = open_storage(place_of(url))
        study = find_study("killed", storage)
        done = [trial.user_attrs[POINT] for trial in study.get_trials(states=(TrialState.COMPLETE,))]
        storage.engine.dispose()
    assert sorted(done) == [0, 1, 2]
    assert documents[0] == documents[1]
    assert [point["state"] for point in documents[0]["points"]] == ["complete"] * 3
    kept = [point_file(tmp_path / name, number).is_file() for number in range(3) for name in ("a", "b")]
    assert sum(kept) == 3


def opened(spec: Path, tmp_path: Path) -> "tuple[optuna.Study, optuna.storages.RDBStorage]":
    storage = open_storage(local_place(tmp_path))
    return open_study(load_spec(str(spec)), storage, dataset_sha256="0" * 64, base_sha256=None), storage


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_point_whose_worker_is_gone_is_queued_again_but_not_for_ever(spec: Path, tmp_path: Path) -> None:
    study, storage = opened(spec, tmp_path)
    for attempt in range(MAX_RETRIES + 1):
        trial = study.ask()
        while trial.user_attrs[POINT] != 0:
            study.tell(trial, [0.5, 1.0])
            trial = study.ask()
        trial.set_user_attr(WORKER, {**this_worker(), "pid": 2**22 + 1})
        assert requeue_lost(study, storage) == [0]
        expected = TrialState.WAITING if attempt < MAX_RETRIES else TrialState.FAIL
        assert points_of(study)[0].state is expected
    assert requeue_lost(study, storage) == []
    # A new run is a new chance.
    revive(study)
    assert points_of(study)[0].state is TrialState.WAITING
    revive(study)
    assert len([trial for trial in study.get_trials() if trial.state is TrialState.WAITING]) == 1


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
@pytest.mark.parametrize(
    ("change", "is_lost"),
    [
        ({}, False),
        ({"host": "elsewhere", "pid": 2**22 + 1}, False),
        ({"started": 1.0}, True),
        ({"pid": 2**22 + 1}, True),
    ],
    ids=["alive", "on another machine", "its id was given to another process", "gone"],
)
def test_worker_is_told_from_a_later_process_and_from_other_machines(
    spec: Path, tmp_path: Path, change: dict[str, object], *, is_lost: bool
) -> None:
    study, storage = opened(spec, tmp_path)
    study.ask().set_user_attr(WORKER, {**this_worker(), **change})
    assert requeue_lost(study, storage) == ([0] if is_lost else [])


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_point_that_was_queued_twice_is_run_once(spec: Path, tmp_path: Path) -> None:
    study, _ = opened(spec, tmp_path)
    study.enqueue_trial({"first": 2}, user_attrs={POINT: 0})
    trials = [study.ask() for _ in range(5)]
    assert [is_surplus(study, trial.number, trial.user_attrs[POINT]) for trial in trials] == [False] * 4 + [True]
    study.tell(trials[0], state=TrialState.FAIL)
    assert not is_surplus(study, trials[4].number, 0)
    assert points_of(study)[0].number == trials[4].number


@pytest.mark.parametrize("url", ["mysql://there/x", "nonsense"])
def test_storage_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(RecipeInvalid, match="--storage: expected postgresql"):
        place_of(url)


def test_storage_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(StudyUnusable, match="cannot be opened") as refused:
        open_storage(place_of("postgresql://somebody:hush@127.0.0.1:1/none"))
    assert "hush" not in str(refused.value)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(StudyUnusable, match="cannot be opened"):
        open_storage(local_place(tmp_path))


def test_psycopg_is_the_driver_of_postgresql() -> None:
    assert place_of("postgresql://a@b/c") == Place("postgresql+psycopg://a@b/c")
    assert place_of("postgres://a@b/c") == Place("postgresql+psycopg://a@b/c")
