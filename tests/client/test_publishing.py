"""`smallfleet publish` against a scripted server: what it sends, in which order, and what it says."""

import hashlib
import json
from pathlib import Path

import pytest

from client.cli import main
from tests.client.stand_in import Answer, StandIn, answer_json, problem

MODEL, CONTRACT, SAMPLES = b"onnx" * 100, b'{"schema": "smallfleet-contract/1"}', b"npz" * 10
DATASET = "d" * 64
VERSION = "/api/v1/models/digits/versions/1.0.0"
VARIANT = f"{VERSION}/variants/int8"


def address(content: bytes) -> str:
    return f"/api/v1/artifacts/sha256/{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def arguments(tmp_path: Path, server: StandIn) -> list[str]:
    for name, content in (("m.onnx", MODEL), ("c.json", CONTRACT), ("s.npz", SAMPLES)):
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / "m.onnx"), "--contract", str(tmp_path / "c.json"), "--samples", str(tmp_path / "s.npz")]
    names = ["--model", "digits", "--version", "1.0.0", "--variant", "int8"]
    evaluation = f"accuracy=0.982,n=1500,dataset={DATASET},low=0.97,high=0.99,by=ci"
    qualities = ["--evaluation", evaluation, "--tolerance", "atol=0.1,min_agreement=0.95"]
    return ["publish", *files, *names, *qualities, "--server", server.url, "--token", "sft_x"]


@pytest.fixture
def fresh(server: StandIn) -> StandIn:
    """A server with nothing on it, to which everything is new."""
    for content in (MODEL, CONTRACT, SAMPLES):
        server.script("PUT", address(content), answer_json({"static_cost": {"macs": 7}}, 201))
    server.script("POST", "/api/v1/models", answer_json({"name": "digits"}, 201))
    server.script("PUT", VERSION, answer_json({"state": "draft"}, 201))
    server.script("PUT", VARIANT, answer_json({"name": "int8"}, 201))
    server.script("POST", f"{VERSION}/publish", answer_json({"state": "published"}))
    return server


@pytest.fixture
def done(server: StandIn) -> StandIn:
    """A server that has it all."""
    for content in (MODEL, CONTRACT, SAMPLES):
        server.script("HEAD", address(content), Answer(200))
    server.script("GET", "/api/v1/models/digits", answer_json({"name": "digits"}))
    server.script("PUT", VERSION, answer_json({"state": "published"}))
    server.script("PUT", VARIANT, answer_json({"name": "int8"}))
    return server


def test_first_run_uploads_names_evaluates_and_publishes(
    fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--create-model", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {
        "model": "digits",
        "version": "1.0.0",
        "variant": "int8",
        "sha256": hashlib.sha256(MODEL).hexdigest(),
        "size_bytes": len(MODEL),
        "changed": True,
        "uploaded_bytes": len(MODEL) + len(CONTRACT) + len(SAMPLES),
        "state": "published",
        "static_cost": {"macs": 7},
    }
    bodies = {asked.path: asked.body for asked in fresh.asked}
    assert bodies[f"{address(MODEL)}?kind=model"] == MODEL
    assert bodies[f"{address(SAMPLES)}?kind=sample-set"] == SAMPLES
    assert json.loads(bodies[VERSION]) == {
        "contract_sha256": hashlib.sha256(CONTRACT).hexdigest(),
        "sample_set_sha256": hashlib.sha256(SAMPLES).hexdigest(),
    }
    assert json.loads(bodies[VARIANT]) == {
        "sha256": hashlib.sha256(MODEL).hexdigest(),
        "tolerances": {"atol": 0.1, "min_agreement": 0.95},
        "evaluations": [
            {
                "metric": "accuracy",
                "value": 0.982,
                "sample_count": 1500,
                "dataset_sha256": DATASET,
                "ci_low": 0.97,
                "ci_high": 0.99,
                "measured_by": "ci",
            }
        ],
    }
    assert fresh.asked[-1].path == f"{VERSION}/publish"


def test_second_run_uploads_nothing_and_says_so(
    done: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("already published: digits 1.0.0 int8")
    assert not [asked for asked in done.asked if asked.method == "POST" or "kind=" in asked.path]


def test_draft_is_not_published(fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--create-model", "--draft"]) == 0
    assert capsys.readouterr().out.startswith("draft: digits 1.0.0 int8")
    assert f"{VERSION}/publish" not in [asked.path for asked in fresh.asked]


def test_other_bytes_under_a_taken_name_are_refused_with_the_servers_words(
    done: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    done.script("PUT", VARIANT, problem(409, "variant-differs", detail="int8 has other bytes"))
    assert main(arguments) == 3
    captured = capsys.readouterr()
    assert captured.err == (
        "smallfleet: variant differs: int8 has other bytes (409, urn:smallfleet:problem:variant-differs)\n"
    )


def test_unknown_model_line_is_not_made_by_a_misspelt_name(
    fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "--create-model" in capsys.readouterr().err
    assert [asked.method for asked in fresh.asked] == ["GET"]


@pytest.mark.parametrize(("content", "said"), [(None, "no such file"), (b"", "empty")])
def test_missing_or_empty_file_is_a_local_problem_before_anything_is_sent(
    server: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    model = Path(arguments[1])
    model.unlink()
    if content is not None:
        model.write_bytes(content)
    assert main(arguments) == 5
    assert said in capsys.readouterr().err
    assert server.asked == []


@pytest.mark.parametrize(
    "option",
    [
        "--evaluation=accuracy=0.9",
        f"--evaluation=accuracy=high,n=3,dataset={DATASET}",
        f"--evaluation=accuracy=0.9,n=3,dataset={DATASET},colour=red",
        f"--evaluation=accuracy,n=3,dataset={DATASET}",
        "--tolerance=atol=small",
        "--tolerance=ptol=1",
    ],
)
def test_wrong_option_is_wrong_usage(option: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, option])
    assert ended.value.code == 2
    assert f"argument {option.partition('=')[0]}:" in capsys.readouterr().err
