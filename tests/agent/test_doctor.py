"""`doctor` finds what is wrong, says what to do, and changes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from agent import disk
from agent.config import Config
from agent.doctor import examination, files, importing, link, runtime
from agent.doctor.finding import Finding, Verdict, ok
from agent.doctor.link import Answer
from tests.agent.device import Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, stand_in
from tests.agent.test_tls import certificate

__all__ = ["certificate"]
OLD = release(1)
SPEAKS_SSH = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connected, _ = listener.accept()
    connected.sendall(b"SSH-2.0-x\\r\\n\\r\\n")
    connected.close()
"""


def doctor(device: Device, **environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code and findings of the real command."""
    ended = subprocess.run(
        device.command("doctor", "--json"),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    assert document["healthy"] == (ended.returncode == 0)
    return ended.returncode, {one["check"]: one for one in document["checks"]}


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def by_check(found: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


def links(device: Device, **environment: str) -> dict[str, Finding]:
    return by_check(link.link(device.config, device.layout, environment))


def test_healthy_device_passes_beside_a_running_agent_and_nothing_changes(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    server.seen.clear()
    with device.agent():
        before = snapshot(device.layout.root)
        code, found = doctor(device)
        assert snapshot(device.layout.root) == before
    assert code == 0, found
    assert {one["verdict"] for one in found.values()} <= {"ok", "skipped"}
    assert {check for check, one in found.items() if one["verdict"] == "skipped"} == {"hooks", "link-tls"}
    assert "an agent runs on it" in found["state-directory"]["detail"]
    assert [(seen.method, seen.path) for seen in server.seen] == [("GET", "/api/v1/poll")], "an idle poll, no more"
    assert {"package-numpy", "package-onnxruntime", "package-delta.decoder", "runtime", "rules"} <= set(found)


def test_text_has_a_line_per_check_and_what_to_do(device: Device, server: StandIn) -> None:
    server.problems["poll"] = (401, "unauthenticated")
    device.configure("[policy]\nfree_disk_mb = 1e9\n")
    ended = device.run("doctor")
    assert ended.returncode == examination.EXIT_CODE
    assert "failed   credentials" in ended.stdout
    assert f"-> remove {device.layout.identity}, then:" in ended.stdout
    assert "free-disk" in ended.stdout, "a rule that holds something back is named"


def test_without_a_link_the_rest_is_still_checked(device: Device) -> None:
    device.config_file.write_text(device.config_file.read_text().replace(f":{device.server.port}", ":9"))
    found = links(device)
    assert found["link-tcp"].verdict is Verdict.FAILED
    assert {found[check].verdict for check in ("link-tls", "link-http", "credentials")} == {Verdict.SKIPPED}
    assert found["clock"].verdict is Verdict.OK


def test_name_that_nobody_knows_ends_the_way_there(device: Device) -> None:
    text = device.config_file.read_text().replace("http://127.0.0.1", "https://fleet.invalid")
    device.config_file.write_text(text)
    found = links(device)
    assert found["link-dns"].verdict is Verdict.FAILED
    assert found["link-tcp"].verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("status", "http", "credentials"),
    [(401, Verdict.OK, Verdict.FAILED), (404, Verdict.FAILED, Verdict.OK), (503, Verdict.FAILED, Verdict.OK)],
)
def test_what_the_server_answers(
    device: Device, server: StandIn, status: int, http: Verdict, credentials: Verdict
) -> None:
    server.problems["poll"] = (status, "some-problem")
    found = links(device)
    assert (found["link-http"].verdict, found["credentials"].verdict) == (http, credentials)


def test_device_that_the_server_revoked_is_told_how_to_enroll_anew(device: Device, server: StandIn) -> None:
    server.problems["poll"] = (401, "unauthenticated")
    advice = links(device)["credentials"].advice
    assert advice == f"remove {device.layout.identity}, then: smallfleet agent enroll --token-file FILE"


def test_server_that_is_no_http(device: Device) -> None:
    listener = subprocess.Popen([sys.executable, "-c", SPEAKS_SSH], stdout=subprocess.PIPE, text=True)
    with listener:
        assert listener.stdout is not None
        port = listener.stdout.readline().strip()
        device.config_file.write_text(device.config_file.read_text().replace(f":{device.server.port}", f":{port}"))
        found = links(device)
        listener.kill()
    assert found["link-http"].verdict is Verdict.FAILED
    assert found["credentials"].verdict is Verdict.SKIPPED


def test_device_that_is_not_enrolled(device: Device) -> None:
    device.layout.identity.unlink()
    found = links(device)
    assert found["link-http"].verdict is Verdict.OK, "the server is there"
    assert (found["credentials"].verdict, "enroll" in found["credentials"].advice) == (Verdict.FAILED, True)


def test_credential_that_others_can_read(device: Device) -> None:
    device.layout.identity.chmod(0o644)
    assert links(device)["credentials"].advice == f"chmod 600 {device.layout.identity}"


def test_proxy_is_named_since_it_is_not_used(device: Device) -> None:
    found = links(device, HTTPS_PROXY="http://proxy:3128")
    assert found["link-proxy"].verdict is Verdict.WARNING
    assert "https_proxy" in found["link-proxy"].detail


def test_certificate_that_is_believed_and_ends_soon(certificate: Path, device: Device) -> None:
    with stand_in(certificate) as secure:
        device.server = secure
        device.configure(f'[tls]\nca_file = "{certificate}"\n')
        found = links(device)
        device.configure()
        stranger = links(device)
    assert found["link-tls"].verdict is Verdict.WARNING
    assert "(1 days)" in found["link-tls"].detail
    assert found["link-http"].verdict is Verdict.OK
    assert stranger["link-tls"].verdict is Verdict.FAILED
    assert "tls.ca_file" in stranger["link-tls"].advice
    assert stranger["link-http"].verdict is Verdict.SKIPPED


def test_authority_that_is_no_certificate(device: Device, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("nothing yet")
    device.configure(f'[tls]\nca_file = "{authority}"\n')
    device.config_file.write_text(device.config_file.read_text().replace("http://", "https://"))
    finding = links(device)["link-tls"]
    assert (finding.verdict, str(authority) in finding.detail) == (Verdict.FAILED, True)


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [(0, "ok"), (-59, "ok"), (62, "warning"), (-7200, "warning"), (90_000, "failed"), (-3e8, "failed"), (None, "ok")],
)
def test_clock_against_the_servers(ahead_s: float | None, verdict: str) -> None:
    assert link.clock(Answer(200, ahead_s, 1.0)).verdict == verdict


def test_clock_that_was_never_set_is_found(device: Device, server: StandIn) -> None:
    code, found = doctor(device, SMALLFLEET_CLOCK=f"wall@{-60 * 365 * 86_400}")
    assert (code, found["clock"]["verdict"]) == (examination.EXIT_CODE, "failed")
    assert "was never set" in found["clock"]["detail"]


def test_what_is_closed_to_this_user_is_skipped_and_the_rest_checked(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests run as root, to whom nothing is closed: the kernel's answer is made up here."""

    def closed(config: Config, _layout: Any) -> Iterator[Finding]:
        if config.models:
            raise PermissionError(13, "Permission denied", "/var/lib/smallfleet/state.json")
        yield ok("state-directory", "open")

    monkeypatch.setattr(files, "state_directory", closed)
    found = by_check(examination.examine(device.config_file, {}))
    assert found["state-directory"].verdict is Verdict.SKIPPED
    assert "/var/lib/smallfleet/state.json" in found["state-directory"].detail
    assert found["disk-write"].verdict is Verdict.OK


def hooks(device: Device, program: Path) -> Finding:
    device.configure(f'[policy]\nbusy_hook = ["{program}"]\n')
    [finding] = files.hooks(device.config)
    return finding


def test_hooks(device: Device, tmp_path: Path) -> None:
    program = tmp_path / "hook"
    assert "is no file" in hooks(device, program).detail
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert hooks(device, program) == Finding("policy.busy_hook", Verdict.OK, f"{program} can be run")
    program.chmod(0o644)
    assert hooks(device, program).advice == f"chmod +x {program}"
    for mode in (0o775, 0o757):
        program.chmod(mode)
        assert hooks(device, program).verdict is Verdict.FAILED, "who writes the hook is the agent"
        assert hooks(device, program).advice == f"chmod go-w {program}"
    program.chmod(0o755)
    tmp_path.chmod(0o777)
    assert str(tmp_path) in hooks(device, program).detail
    assert hooks(device, program).advice == f"chmod o-w {tmp_path}"
    tmp_path.chmod(0o1777)
    assert hooks(device, program).verdict is Verdict.OK


def test_configuration_that_anybody_may_write(device: Device) -> None:
    [before] = files.configuration(device.config_file, device.config)
    device.config_file.chmod(0o666)
    [after] = files.configuration(device.config_file, device.config)
    assert (before.verdict, after.verdict) == (Verdict.OK, Verdict.FAILED)


def test_wrong_configuration_is_the_finding(device: Device) -> None:
    device.configure('[bench]\ntier = "never"\n')
    code, found = doctor(device)
    assert (code, list(found)) == (examination.EXIT_CODE, ["configuration"])
    assert "bench.tier" in found["configuration"]["detail"]
    assert found["configuration"]["advice"].startswith("correct it")
    device.config_file.unlink()
    _, found = doctor(device)
    assert found["configuration"]["advice"].startswith("write it")


def test_state_that_cannot_be_read(device: Device) -> None:
    device.layout.state.write_text("{")
    found = by_check(files.state_directory(device.config, device.layout))
    assert found["state"].verdict is Verdict.FAILED
    device.layout.state.rename(device.layout.state.with_suffix(".json.damaged"))
    assert by_check(files.state_directory(device.config, device.layout))["state"].verdict is Verdict.WARNING


def test_state_directory_that_is_not_there(device: Device) -> None:
    device.layout.identity.unlink()
    device.layout.root.rmdir()
    [finding] = files.state_directory(device.config, device.layout)
    assert finding.verdict is Verdict.FAILED
    [finding] = files.space(device.config, device.layout)
    assert finding.verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("fault", "space", "write"),
    [("", "ok", "ok"), ("room@4096", "failed", "ok"), ("enospc@write", "ok", "failed"), ("erofs@1+", "ok", "failed")],
)
def test_disk(device: Device, fault: str, space: str, write: str) -> None:
    disk.inject(fault)
    found = by_check(files.space(device.config, device.layout))
    assert (found["disk-space"].verdict, found["disk-write"].verdict) == (space, write)
    assert {path.name for path in device.layout.root.iterdir()} == {"identity.json"}


def runtimes(config: Config) -> dict[str, Finding]:
    return by_check(runtime.runtime(config))


def test_package_that_cannot_be_imported_is_named(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "psutil.py").write_text("raise OSError('libc is too old')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = runtimes(device.config)
    assert "libc is too old" in found["package-psutil"].detail
    assert found["package-numpy"].verdict is Verdict.OK


def test_memory_limit_under_which_no_model_runs(device: Device) -> None:
    # The least that may be configured, 64 MiB, is enough on some machines.
    starved = replace(device.config.children, memory_limit_mib=8)
    found = runtimes(replace(device.config, children=starved))
    assert (found["runtime"].verdict, found["package-onnxruntime"].verdict) == (Verdict.FAILED, Verdict.OK)


def test_every_package_of_the_children_is_asked_for() -> None:
    assert set(importing.MODULES) >= {"numpy", "onnxruntime", "delta.decoder"}
    assert onnx.load(str(runtime.TINY_MODEL)).graph.node[0].op_type == "Relu"


def test_busy_hook_is_not_asked(device: Device, tmp_path: Path) -> None:
    program = tmp_path / "hook"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 1\n")
    program.chmod(0o755)
    device.configure(f'[policy]\nbusy_hook = ["{program}"]\nquiet_hours = ["00:00-12:00", "12:00-00:00"]\n')
    [found] = examination.rules(device.config, device.layout)
    assert "quiet-hours" in found.detail
    assert not (tmp_path / "asked").exists()
