"""`smallfleet study` as a person and as CI call it."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from optuna.trial import TrialState

from client.cli import main
from client.files import sha256_of
from compression.errors import StudyUnusable
from compression.study.bench import bench_of
from compression.study.document import document_schema, require_measured
from compression.study.kept import packed, point_file
from compression.study.spec import GOALS, load_spec
from compression.study.storage import POINT, local_place, open_storage, open_study
from registry.documents import check_recipe, check_study
from tests.client.stand_in import StandIn, answer_json, problem

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "client/demo_data/digits-1.1.0-int8.onnx"
SPEC = """
schema = "smallfleet-study/1"
name = "found"
[benchmark]
data = "digits"
held_out = 0.1
latency = "none"
[[objective]]
metric = "accuracy"
[[objective]]
metric = "size_bytes"
[[budget]]
metric = "size_bytes"
at_most = {limit}
[space]
family = "convnet"
[space.net]
first = [2, 4]
[search]
sampler = "grid"
"""
DRAFT = "/api/v1/models/digits/versions/1.2.0"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with one complete point, whose file is a real net, and one that failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMALLFLEET_STUDY_STORAGE", raising=False)
    path = tmp_path / "found.toml"
    path.write_text(SPEC.format(limit=1_000_000))
    spec, out = load_spec(str(path)), tmp_path / "studies" / "found"
    bench = bench_of(spec)
    opened = open_study(spec, open_storage(local_place(out)), dataset_sha256=bench.samples.sha256(), base_sha256=None)
    kept = point_file(out, 0)
    kept.parent.mkdir(parents=True)
    shutil.copy(MODEL, kept)
    metrics: dict[str, Any] = dict.fromkeys(GOALS, None)
    metrics |= {"accuracy": 0.5, "size_bytes": kept.stat().st_size, "training_s": 1.5}
    net = {"repeat": 0, "fold": 0, "accuracy": 0.5, "n": 4, "right": packed([True, False, True, False])}
    facts = {"metrics": metrics, "accuracy_ci95": [0.1, 0.9], "nets": [net], "sha256": sha256_of(kept)}
    for values, attributes in (([0.5, 1000.0], facts), (None, {"failure": "no such net"})):
        with pytest.warns(UserWarning, match="Heartbeat"):
            trial = opened.ask()
        for name, value in (attributes | {"parameters": {"first": 2 + 2 * trial.user_attrs[POINT]}}).items():
            trial.set_user_attr(name, value)
        opened.tell(trial, values, state=None if values else TrialState.FAIL)
    return path


def test_report_prints_and_writes_what_there_is(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "report", str(study)]) == 0
    text = capsys.readouterr().out
    assert "1 complete, 0 pruned, 1 failed of 2 points" in text
    assert "failed: point 1 (first 4): no such net" in text
    document = json.loads(Path("studies/found/study.json").read_text())
    jsonschema.validate(document, document_schema())
    assert check_study(document, name="found") == document
    assert Path("studies/found/pareto-size_bytes.svg").read_text().startswith("<?xml")
    assert main(["study", "report", str(study), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_report_of_one_point_says_what_a_test_of_saturation_needs(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "report", str(study)]) == 0
    text = capsys.readouterr().out
    assert "  first: not tested: needs two levels\n" in text
    assert "  size_bytes: not tested: needs two points on the front\n" in text


@pytest.mark.parametrize(
    ("states", "says"),
    [
        (["complete", "failed"], None),
        (["failed", "pruned"], "none of 2 points was measured; point 0: no such net"),
        ([], None),
    ],
)
def test_run_that_measured_nothing_is_no_success(states: list[str], says: str | None) -> None:
    document = {"points": [{"state": state, "failure": "no such net"} for state in states]}
    with contextlib.nullcontext() if says is None else pytest.raises(StudyUnusable, match=says):
        require_measured(document)


def test_publish_makes_a_draft_of_the_knee_and_stores_the_document(
    study: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = ROOT / "client/demo_data/digits.contract.json"
    for file in (MODEL, contract):
        server.script("PUT", f"/api/v1/artifacts/sha256/{sha256_of(file)}", answer_json({}, 201))
    server.script("GET", "/api/v1/models/digits", answer_json({"name": "digits"}))
    server.script("PUT", DRAFT, answer_json({"state": "draft"}, 201))
    server.script("PUT", f"{DRAFT}/variants/point-0", answer_json({"name": "point-0"}, 201))
    server.script("PUT", "/api/v1/models/digits/studies/found", answer_json({"name": "found"}, 201))
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_x")
    arguments = ["--model", "digits", "--version", "1.2.0", "--contract", str(contract), "--server", server.url]
    assert main(["study", "publish", str(study), *arguments]) == 0
    said = capsys.readouterr().out
    assert "draft: digits 1.2.0 point-0 (accuracy 0.9" in said
    sent = {asked.path: asked for asked in server.asked if asked.method == "PUT"}
    (evaluation,) = sent[f"{DRAFT}/variants/point-0"].json()["evaluations"]
    assert (evaluation["metric"], evaluation["sample_count"]) == ("accuracy", 180)
    assert evaluation["value"] > 0.9
    recipe = check_recipe(sent[f"{DRAFT}/variants/point-0"].json()["recipe"])
    (trained,) = recipe["steps"]
    assert (trained["do"], trained["options"]["first"], trained["facts"]["study"]) == ("train", 2, "found")
    stored = sent["/api/v1/models/digits/studies/found"].json()
    assert check_study(stored, name="found") == stored
    assert not [asked for asked in server.asked if asked.path.endswith("/publish")]
    # Another file under the point's name is not the point.
    point_file(Path("studies/found"), 0).write_bytes(b"else")
    assert main(["study", "publish", str(study), *arguments]) == 5
    assert "expected the file with sha256" in capsys.readouterr().err
    point_file(Path("studies/found"), 0).unlink()
    assert main(["study", "publish", str(study), *arguments]) == 5
    assert "no such file" in capsys.readouterr().err


def test_publish_says_what_cannot_be_published(
    study: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_x")
    arguments = ["--model", "digits", "--version", "1.2.0", "--contract", "c.json", "--server", server.url]
    for chosen, said in (("1", "point 1 is not complete: failed"), ("7", "point 7 is not complete: there is none")):
        assert main(["study", "publish", str(study), "--point", chosen, *arguments]) == 5
        assert said in capsys.readouterr().err
    study.write_text(SPEC.format(limit=10))
    assert main(["study", "publish", str(study), *arguments]) == 5
    assert "has no point within its budgets" in capsys.readouterr().err
    server.script("PUT", "/api/v1/models/digits", problem(403, "permission-denied"))
    assert not server.asked


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "none.toml"], 2, "neither a file nor a ready study"),
        (["report", "smallest-digits"], 5, "there is no study here yet"),
        (["resume", "smallest-digits"], 5, "there is no study here yet"),
        (["run", "smallest-digits", "--storage", "postgresql://a:b@c/d"], 2, "SMALLFLEET_STUDY_STORAGE"),
        (["run", "smallest-digits", "--storage", "mysql://a/b"], 2, "expected postgresql"),
    ],
)
def test_command_that_cannot_be_done_says_why(
    arguments: list[str],
    code: int,
    said: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_workers_are_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["study", "run", "smallest-digits", "--workers", "0"])
    assert "expected 1 to 256" in capsys.readouterr().err


def test_ready_studies_and_keys_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["smallest-digits", "squeezenet-3x3-share", "squeezenet-squeeze-ratio"]
    assert main(["study", "keys"]) == 0
    assert "| `pct_3x3` | 0 to 1 | 0.5 |" in capsys.readouterr().out
