"""`smallfleet publish` against a scripted server: what it sends, in which order, and what it says."""

import hashlib
import json
from pathlib import Path

import pytest

from client.cli import main
from client.commands.publish import MAX_RECIPE_FILE_BYTES
from client.errors import LocalFileError
from client.files import read_object
from client.trust.documents import read_targets
from client.trust.live import LocalFile, SignedFacts
from tests.client.stand_in import Answer, StandIn, answer_json, problem
from tests.client.trusted import Trusted, make_trusted

MODEL, CONTRACT, SAMPLES = b"onnx" * 100, b'{"schema": "smallfleet-contract/1"}', b"npz" * 10
DATASET = "d" * 64
VERSION = "/api/v1/models/digits/versions/1.0.0"
VARIANT = f"{VERSION}/variants/int8"
METADATA = "/api/v1/models/digits/metadata"


def local(content: bytes) -> LocalFile:
    return LocalFile(hashlib.sha256(content).hexdigest(), len(content))


TOLERANCES = {"atol": 0.1, "min_agreement": 0.95}
FACTS = SignedFacts("digits", "1.0.0", "int8", local(MODEL), local(CONTRACT), local(SAMPLES), TOLERANCES)
TARGET = FACTS.as_target()


def address(content: bytes) -> str:
    return f"/api/v1/artifacts/sha256/{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def trusted(tmp_path: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> Trusted:
    """Trust as `smallfleet trust init` leaves it, on this machine and on the server."""
    made = make_trusted(tmp_path / "trust")
    monkeypatch.setenv("SMALLFLEET_TRUST_DIR", str(tmp_path / "trust"))
    server.script("GET", f"{METADATA}/news", answer_json(made.news()))
    server.script("PUT", f"{METADATA}/2.targets.json", answer_json({"version": 2}, 201))
    return made


@pytest.fixture
def arguments(tmp_path: Path, server: StandIn, trusted: Trusted) -> list[str]:
    for name, content in (("m.onnx", MODEL), ("c.json", CONTRACT), ("s.npz", SAMPLES)):
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / "m.onnx"), "--contract", str(tmp_path / "c.json"), "--samples", str(tmp_path / "s.npz")]
    names = ["--model", "digits", "--version", "1.0.0", "--variant", "int8"]
    evaluation = f"accuracy=0.982,n=1500,dataset={DATASET},low=0.97,high=0.99,by=ci"
    qualities = ["--evaluation", evaluation, "--tolerance", "atol=0.1,min_agreement=0.95"]
    (tmp_path / "token").write_text("sft_x\n")
    return ["publish", *files, *names, *qualities, "--server", server.url, "--token-file", str(tmp_path / "token")]


@pytest.fixture
def fresh(server: StandIn) -> StandIn:
    """A server with nothing on it, to which everything is new."""
    for content in (MODEL, CONTRACT, SAMPLES):
        server.script("PUT", address(content), answer_json({"static_cost": {"macs": 7}}, 201))
    server.script("GET", "/api/v1/models/digits", answer_json({"name": "digits"}))
    server.script("PUT", VERSION, answer_json({"state": "draft"}, 201))
    server.script("PUT", VARIANT, answer_json({"name": "int8"}, 201))
    server.script("POST", f"{VERSION}/publish", answer_json({"state": "published"}))
    return server


@pytest.fixture
def done(server: StandIn, trusted: Trusted) -> StandIn:
    """A server that has it all, signed."""
    trusted.sign({TARGET.path: TARGET})
    server.script("GET", f"{METADATA}/news", answer_json(trusted.news()))
    for content in (MODEL, CONTRACT, SAMPLES):
        server.script("HEAD", address(content), Answer(200))
    server.script("GET", "/api/v1/models/digits", answer_json({"name": "digits"}))
    server.script("PUT", VERSION, answer_json({"state": "published"}))
    server.script("PUT", VARIANT, answer_json({"name": "int8"}))
    return server


def test_first_run_uploads_names_evaluates_signs_and_publishes(
    fresh: StandIn, trusted: Trusted, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json"]) == 0
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
        "list_version": 2,
        "archived": [],
        "signed_before": {},
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
    assert [asked.path for asked in fresh.asked[-2:]] == [f"{METADATA}/2.targets.json", f"{VERSION}/publish"]
    signed = read_targets(bodies[f"{METADATA}/2.targets.json"], "digits", [trusted.root])
    assert dict(signed.targets) == {TARGET.path: TARGET}


def test_recipe_is_sent_with_the_variant(fresh: StandIn, arguments: list[str], tmp_path: Path) -> None:
    recipe = {"schema": "smallfleet-recipe/1", "steps": [{"do": "prune"}]}
    (tmp_path / "pruned.recipe.json").write_text(json.dumps(recipe, indent=2))
    assert main([*arguments, "--recipe", str(tmp_path / "pruned.recipe.json")]) == 0
    assert json.loads({asked.path: asked.body for asked in fresh.asked}[VARIANT])["recipe"] == recipe


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        ("prune = 1", "no JSON"),
        ("[1]", "expected a JSON object, found list"),
        ('{"note": "' + "x" * 200_000 + '"}', "at most 128,000 are taken"),
    ],
)
def test_recipe_that_cannot_be_read_is_no_object(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(LocalFileError, match=words):
        read_object(tmp_path / "r.json", limit_bytes=MAX_RECIPE_FILE_BYTES)


def test_recipe_that_is_not_there_is_named_before_anything_is_sent(
    fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--recipe", "nowhere.recipe.json"]) == 5
    assert "nowhere.recipe.json: no such file" in capsys.readouterr().err
    assert fresh.asked == []


def test_second_run_uploads_nothing_and_says_so(
    done: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("already published: digits 1.0.0 int8")
    assert not [asked for asked in done.asked if asked.method == "POST" or "kind=" in asked.path]


def test_draft_is_not_published(fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--draft"]) == 0
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


@pytest.mark.parametrize("draft", [[], ["--draft"]])
def test_unknown_model_line_is_not_made_by_a_misspelt_name(
    draft: list[str], fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("/api/v1/models/digits", f"{METADATA}/news"):
        fresh.script("GET", path, problem(404, "not-found"))
    assert main([*arguments, *draft]) == 2
    said = capsys.readouterr().err
    assert "`smallfleet trust init digits" in said
    assert "--create-model" in said
    assert [asked.method for asked in fresh.asked] == ["GET"]


def test_line_without_trust_is_told_to_get_it_before_anything_is_sent(
    fresh: StandIn, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.script("GET", f"{METADATA}/news", problem(404, "no-trust"))
    assert main(arguments) == 2
    assert "run `smallfleet trust init digits` once" in capsys.readouterr().err
    assert [asked.method for asked in fresh.asked] == ["GET"]


def test_what_is_signed_are_the_files_here_whatever_the_server_answers(
    fresh: StandIn, trusted: Trusted, arguments: list[str]
) -> None:
    lie = {"sha256": "f" * 64, "size_bytes": 1, "state": "draft", "contract": {"sha256": "f" * 64, "size_bytes": 1}}
    for path in (VERSION, VARIANT, *map(address, (MODEL, CONTRACT, SAMPLES))):
        fresh.script("PUT", path, answer_json(lie, 201))
    assert main(arguments) == 0
    [sent] = [asked.body for asked in fresh.asked if asked.path.endswith("targets.json")]
    assert dict(read_targets(sent, "digits", [trusted.root]).targets) == {TARGET.path: TARGET}


def test_options_are_signed_with_it(fresh: StandIn, trusted: Trusted, arguments: list[str]) -> None:
    limits = ["--limit", "p50_latency_ms=12.5", "--limit", "peak_memory_mib=64"]
    assert main([*arguments, *limits, "--device-class", "pi5", "--device-class", "pi4", "--allow-downgrade"]) == 0
    [sent] = [asked.body for asked in fresh.asked if asked.path.endswith("targets.json")]
    custom = read_targets(sent, "digits", [trusted.root]).targets["1.0.0/int8"].custom
    assert custom["limits"] == {"p50_latency_ns": 12_500_000, "peak_memory_bytes": 64 * 2**20}
    assert (custom["device_classes"], custom["downgrade"]) == (["pi4", "pi5"], True)
    assert custom["tolerances"] == {"atol": "0.1", "min_agreement": "0.95"}


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
        "--limit=p50_latency_ms=0",
        "--limit=p50_latency_ms=nan",
        "--limit=p90_latency_ms=3",
    ],
)
def test_wrong_option_is_wrong_usage(option: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, option])
    assert ended.value.code == 2
    assert f"argument {option.partition('=')[0]}:" in capsys.readouterr().err
