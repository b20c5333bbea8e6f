"""Bundles against a scripted server: what goes in, and what the agent's own reader finds there."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from agent.bundle import Bundle as AgentBundle
from agent.config import Config
from agent.layout import Layout
from client.cli import main
from client.trust.documents import expiry_of
from client.trust.live import LocalFile, SignedFacts
from tests.client.stand_in import Answer, StandIn, answer_json
from tests.client.trusted import Trusted, make_trusted

RAW, PACKED, DELTA, CONTRACT, SAMPLES = (name.encode() * 50 for name in ("raw", "pack", "delta", "contract", "samples"))
BASE = "b" * 64
NEWS = "/api/v1/models/digits/metadata/news"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def cell(content: bytes, base: str | None, state: str = "ready") -> dict[str, Any]:
    return {
        "base": {"sha256": base, "size_bytes": 1} if base else None,
        "target": {"sha256": sha256(RAW), "size_bytes": len(RAW)},
        "format": 1,
        "state": state,
        "sha256": sha256(content) if state == "ready" else None,
        "size_bytes": len(content),
    }


@pytest.fixture(autouse=True)
def trusted(server: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Trusted:
    """The server's side: a version with one variant, which is signed."""
    monkeypatch.setenv("SMALLFLEET_SERVER", server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_x")
    variant = {"name": "fp32", "sha256": sha256(RAW), "size_bytes": len(RAW), "tolerances": {"atol": 0.1}}
    version = {
        "model": "digits",
        "version": "1.1.0",
        "contract": {"sha256": sha256(CONTRACT), "size_bytes": len(CONTRACT)},
        "sample_set": {"sha256": sha256(SAMPLES), "size_bytes": len(SAMPLES)},
        "variants": [variant],
    }
    server.script("GET", "/api/v1/models/digits/versions/1.1.0", answer_json(version))
    for content in (RAW, PACKED, DELTA, CONTRACT, SAMPLES):
        server.script("GET", f"/api/v1/artifacts/sha256/{sha256(content)}", Answer(200, content))
    made = make_trusted(tmp_path_factory.mktemp("trust"))
    contract, samples = (LocalFile(sha256(content), len(content)) for content in (CONTRACT, SAMPLES))
    facts = SignedFacts("digits", "1.1.0", "fp32", LocalFile(sha256(RAW), len(RAW)), contract, samples, {"atol": 0.1})
    made.sign({facts.path: facts.as_target()})
    server.script("GET", NEWS, answer_json(made.all_news()))
    return made


def offer(server: StandIn, *cells: dict[str, Any]) -> None:
    server.script("GET", "/api/v1/models/digits/deltas", answer_json({"count": len(cells), "results": list(cells)}))


def bundle(out: Path, *options: str) -> int:
    return main(["bundle", "digits", "1.1.0", "fp32", "--out", str(out), *options])


def members(file: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(file, "r:") as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            assert content
            found[member.name] = content.read()
    return found


def test_bundle_holds_the_metadata_the_packed_way_the_contract_and_the_samples(
    server: StandIn, trusted: Trusted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(server, cell(PACKED, None), cell(DELTA, BASE))
    assert bundle(tmp_path / "b.tar") == 0
    found = members(tmp_path / "b.tar")
    index = json.loads(found.pop("bundle.json"))
    assert index["schema"] == "smallfleet-bundle/1"
    assert [way["way"] for way in index["installation"]["ways"]] == ["packed"]
    news = json.loads(found.pop("trust.json"))
    assert news["roots"] == [trusted.root.content.decode()]
    assert news["targets"] == trusted.targets.content.decode()
    assert found == {f"artifacts/{sha256(content)}": content for content in (PACKED, CONTRACT, SAMPLES)}
    _, end = expiry_of(news["timestamp"].encode())
    assert f"devices take it until {end:%Y-%m-%d %H:%M} UTC" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_bundle_without_a_packed_way_holds_the_plain_file(server: StandIn, tmp_path: Path) -> None:
    offer(server, cell(PACKED, None, "building"))
    assert bundle(tmp_path / "b.tar") == 0
    assert f"artifacts/{sha256(RAW)}" in members(tmp_path / "b.tar")


def test_bundle_with_a_base_holds_the_delta_and_alone_if_wanted(server: StandIn, tmp_path: Path) -> None:
    offer(server, cell(PACKED, None), cell(DELTA, BASE), cell(RAW, "c" * 64))
    assert bundle(tmp_path / "both.tar", "--base", BASE) == 0
    assert bundle(tmp_path / "one.tar", "--base", BASE, "--only-delta") == 0
    both, one = (json.loads(members(tmp_path / name)["bundle.json"]) for name in ("both.tar", "one.tar"))
    assert [way["way"] for way in both["installation"]["ways"]] == ["packed", "delta"]
    assert one["installation"]["ways"] == [
        {"way": "delta", "format": 1, "sha256": sha256(DELTA), "size_bytes": len(DELTA), "base": BASE}
    ]


@pytest.mark.parametrize(("state", "said"), [("building", "is building"), (None, "no delta")])
def test_bundle_of_a_delta_that_is_not_there_says_why_and_writes_nothing(
    server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str | None, said: str
) -> None:
    offer(server, *([cell(DELTA, BASE, state)] if state else []))
    assert bundle(tmp_path / "b.tar", "--base", BASE) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bundle_of_an_unknown_variant_names_those_there_are(
    server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "digits", "1.1.0", "int4", "--out", str(tmp_path / "b.tar")]) == 2
    assert "it has: fp32" in capsys.readouterr().err


def test_variant_that_is_not_live_makes_no_bundle(
    server: StandIn, trusted: Trusted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(server, cell(PACKED, None))
    trusted.sign({})
    server.script("GET", NEWS, answer_json(trusted.all_news()))
    assert bundle(tmp_path / "b.tar") == 2
    assert "is not in the signed list" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_damaged_download_leaves_no_bundle(server: StandIn, tmp_path: Path) -> None:
    offer(server, cell(PACKED, None))
    server.script("GET", f"/api/v1/artifacts/sha256/{sha256(SAMPLES)}", Answer(200, b"other"))
    assert bundle(tmp_path / "b.tar") == 4
    assert not list(tmp_path.iterdir())


def test_same_content_gives_the_same_bundle(server: StandIn, tmp_path: Path) -> None:
    offer(server, cell(PACKED, None))
    assert (bundle(tmp_path / "a.tar"), bundle(tmp_path / "b.tar")) == (0, 0)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_agent_reads_what_was_written(server: StandIn, tmp_path: Path) -> None:
    offer(server, cell(PACKED, None), cell(DELTA, BASE))
    assert bundle(tmp_path / "b.tar", "--base", BASE) == 0
    config = Config("http://127.0.0.1", tmp_path / "state", "gate", "pi5", ("digits",))
    with AgentBundle(tmp_path / "b.tar", Layout(tmp_path / "state")) as opened:
        entry = opened.entry(config)
    assert entry.model == "digits"
    assert entry.target
    assert entry.target.sha256 == sha256(RAW)


def test_only_delta_needs_a_base_and_out_a_folder(tmp_path: Path) -> None:
    assert bundle(tmp_path / "b.tar", "--only-delta") == 2
    assert bundle(tmp_path / "none" / "b.tar") == 5
