"""The command line, as real processes."""

import io
import json
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from agent import errors
from tests.agent.device import MODEL, PROCESS_TIMEOUT_S, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, sha256

OLD, NEW = release(1), release(1, step=1e-4)


def test_enroll_keeps_the_credential_to_itself(device: Device, server: StandIn) -> None:
    device.layout.identity.unlink()
    ended = device.run("enroll", SMALLFLEET_ENROLLMENT_TOKEN=device.token)
    assert ended.returncode == 0, ended.stderr
    assert stat.S_IMODE(device.layout.identity.stat().st_mode) == 0o600
    credential = json.loads(device.layout.identity.read_bytes())["credential"]
    assert credential not in ended.stdout + ended.stderr
    [request] = server.requests("POST", "enroll")
    assert "authorization" not in request.headers
    assert device.run("once").returncode == 0
    assert device.run("enroll", SMALLFLEET_ENROLLMENT_TOKEN=device.token).returncode == 4


def test_enroll_with_a_wrong_token_leaves_nothing(device: Device, tmp_path: Path) -> None:
    device.layout.identity.unlink()
    token = tmp_path / "token"
    token.write_text(device.token.replace("e" * 43, "w" * 43) + "\n")
    ended = device.run("enroll", "--token-file", str(token))
    assert ended.returncode == 5
    assert "enrollment-refused" in ended.stderr
    assert not device.layout.identity.exists()
    assert device.run("once").returncode == 4


def test_enroll_that_cannot_keep_the_credential_uses_no_token_up(device: Device, server: StandIn) -> None:
    device.layout.identity.unlink()
    ended = device.run("enroll", fault="enospc@1+", SMALLFLEET_ENROLLMENT_TOKEN=device.token)
    assert ended.returncode == 9, ended.stderr
    assert not server.requests("POST", "enroll")
    assert device.run("enroll", SMALLFLEET_ENROLLMENT_TOKEN=device.token).returncode == 0


def test_status_says_what_is_here(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    found = json.loads(device.run("status", "--json").stdout)
    assert found["installations"][0]["current"] == sha256(OLD.model)
    assert found["running"] is False
    assert found["outbox"] == {"events": 0, "reports": 0}
    assert sha256(OLD.model) in device.run("status").stdout


def test_status_before_the_first_run_is_empty_and_makes_nothing(device: Device) -> None:
    device.layout.identity.unlink()
    found = json.loads(device.run("status", "--json").stdout)
    assert (found["device_id"], found["installations"][0]["current"]) == (None, None)
    assert list(device.layout.root.iterdir()) == []


@pytest.mark.parametrize("module", ["agent", "client.cli"])
@pytest.mark.parametrize("action", ["run", "once", "status"])
def test_state_directory_that_cannot_be_used_has_a_code_of_its_own(device: Device, module: str, action: str) -> None:
    """A folder in a file's place, since root may write where it is forbidden; by both commands that there are."""
    broken = device.layout.identity if action == "status" else device.layout.lock
    broken.unlink(missing_ok=True)
    broken.mkdir()
    prefix = ["agent"] if module == "client.cli" else []
    ended = subprocess.run(
        [sys.executable, "-m", module, *prefix, action, "--config", str(device.config_file)],
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 9, ended.stderr
    assert f"{broken}: Is a directory" in ended.stderr


def test_read_only_disk_is_told_with_the_state_directory(device: Device) -> None:
    ended = device.run("once", fault="erofs@1+")
    assert ended.returncode == 9
    assert f"{device.layout.root}: Read-only file system" in ended.stderr


def test_failure_that_is_not_of_the_state_directory_is_not_called_one(tmp_path: Path) -> None:
    elsewhere = errors.of_local_failure(FileNotFoundError(2, "No such file", "/usr/bin/python"), tmp_path)
    above = errors.of_local_failure(PermissionError(13, "Permission denied", str(tmp_path.parent)), tmp_path)
    assert (elsewhere.exit_code, above.exit_code) == (1, 9)


def wait_for(server: StandIn, polls: int) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT_S
    while len(server.requests("GET", "poll")) < polls:
        assert time.monotonic() < deadline, "the agent does not poll"
        time.sleep(0.05)


def test_run_polls_until_sigterm_and_refuses_a_second_agent(device: Device, server: StandIn) -> None:
    device.configure(head="poll_interval_s = 0.1")
    with subprocess.Popen(device.command("run"), stderr=subprocess.PIPE) as agent:
        wait_for(server, 2)
        assert json.loads(device.run("status", "--json").stdout)["running"] is True
        assert device.run("once").returncode == 3
        agent.send_signal(signal.SIGTERM)
        agent.communicate(timeout=PROCESS_TIMEOUT_S)
    assert agent.returncode == 0


def test_sigterm_in_a_transfer_keeps_and_tells_what_came(device: Device, server: StandIn) -> None:
    def stall(handler: Any, content: bytes) -> None:
        handler.send_range(content, most=2000)
        handler.close_connection = False
        time.sleep(2)

    server.entries = [entry(server, OLD, with_samples=False)]
    server.misbehave.append(lambda handler, content: handler.send_range(content))
    server.misbehave.append(stall)
    with subprocess.Popen(device.command("run"), stderr=subprocess.DEVNULL) as agent:
        part = device.layout.part(sha256(OLD.model))
        deadline = time.monotonic() + PROCESS_TIMEOUT_S
        while not (part.parent.is_dir() and any(part.parent.iterdir())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PROCESS_TIMEOUT_S) == 0
    assert part.read_bytes() == OLD.model[:2000]
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    raw = [one for one in server.details("transferred") if one["way"] == "raw"]
    assert [one["complete"] for one in raw] == [False, True]


def test_idle_process_imports_nothing_heavy(device: Device, server: StandIn) -> None:
    """After a whole cycle whose poll answers 304."""
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    script = (
        "import sys, json\nfrom agent.__main__ import main\n"
        f"sys.argv = ['agent', 'once', '--config', {str(device.config_file)!r}]\n"
        "code = main()\nprint(json.dumps([code, sorted(sys.modules)]))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    code, modules = json.loads(ended.stdout)
    assert code == 0
    heavy = {
        "numpy",
        "onnxruntime",
        "onnx",
        "psutil",
        "httpx",
        "django",
        "pcodec",
        "zstandard",
        "asyncio",
        "delta.decoder",
    }
    assert heavy & set(modules) == set()


def bundle(folder: Path, wanted: dict[str, Any], artifacts: dict[str, bytes]) -> Path:
    path = folder / "model.bundle"
    index = json.dumps({"schema": "smallfleet-bundle/1", "installation": wanted}).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in {"bundle.json": index, **artifacts}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def bundle_of(server: StandIn, wanted: dict[str, Any], folder: Path) -> Path:
    artifacts = {f"artifacts/{digest}": content for digest, content in server.artifacts.items()}
    return bundle(folder, wanted, {"trust.json": json.dumps(server.line(MODEL).news()).encode(), **artifacts})


def test_bundle_installs_without_a_link(device: Device, server: StandIn, tmp_path: Path) -> None:
    path = bundle_of(server, entry(server, OLD), tmp_path)
    device.layout.identity.unlink()
    root = sha256(server.line(MODEL).roots[0].encode())
    device.configure(f'[trust]\nroots = {{ {MODEL} = "{root}" }}\n')
    ended = device.run("install", str(path))
    assert ended.returncode == 0, ended.stderr
    assert device.served() == OLD.model
    assert server.seen == []
    device.enroll()
    device.cycle()
    assert server.kinds() == ["started", "applied", "smoke_passed", "activated"], "told when there is a link"


@pytest.mark.parametrize("defect", ["missing", "other-bytes", "other-length", "bad-patch-falls-back", "truncated"])
def test_defective_bundle(device: Device, server: StandIn, tmp_path: Path, defect: str) -> None:
    wanted = entry(server, OLD)
    digest = sha256(OLD.model)
    if defect == "missing":
        del server.artifacts[digest]
    elif defect == "other-bytes":
        server.artifacts[digest] = bytes(len(OLD.model))
    elif defect == "other-length":
        server.artifacts[digest] = OLD.model + b"x"
    elif defect == "bad-patch-falls-back":
        wanted["ways"].insert(0, {"way": "packed", "format": 1, **server.add(b"no patch")})
    path = bundle_of(server, wanted, tmp_path)
    if defect == "truncated":
        path.write_bytes(path.read_bytes()[: len(OLD.model) // 2])
    ended = device.run("install", str(path))
    if defect == "bad-patch-falls-back":
        assert (ended.returncode, device.served()) == (0, OLD.model)
    else:
        assert (ended.returncode, device.current()) == (7, None), ended.stderr


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "artifacts/../../escaped"])
def test_member_with_a_path_of_its_own_is_never_extracted(
    device: Device, server: StandIn, tmp_path: Path, name: str
) -> None:
    path = bundle(tmp_path, entry(server, OLD), {name: b"evil", f"artifacts/{sha256(OLD.model)}": OLD.model})
    before = {found for found in tmp_path.rglob("*") if device.layout.root not in found.parents}
    assert device.run("install", str(path)).returncode == 7, "the contract is missing"
    assert {found for found in tmp_path.rglob("*") if device.layout.root not in found.parents} == before
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(10_240)])
def test_file_that_is_no_bundle(device: Device, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bundle"
    path.write_bytes(content)
    ended = device.run("install", str(path))
    assert ended.returncode == 7
    assert "bundle" in ended.stderr


def all_errors(base: type[errors.AgentError] = errors.AgentError) -> list[type[errors.AgentError]]:
    return [base, *(one for direct in base.__subclasses__() for one in all_errors(direct))]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.slug)
def test_every_error_stands_in_the_tree_with_a_slug_and_a_code(kind: type[errors.AgentError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.slug
    assert kind.title
    assert 1 <= kind.exit_code <= 12


def test_every_slug_is_its_own() -> None:
    slugs = [kind.slug for kind in all_errors()]
    assert len(set(slugs)) == len(slugs)
