"""The decoder in its child, shut in: it restores whatever the codec can say, and can do nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import children, sandbox
from agent.config import Children
from agent.doctor.confinement import confinement
from agent.doctor.finding import Verdict
from benchmarks import landlock
from benchmarks.sandbox import Sandbox
from delta.errors import PatchMalformed
from tests.agent.device import Device

GOLDEN = sorted((Path(__file__).parents[1] / "formats").glob("delta_v*/*.patch"))
# Takes the filter away as a kernel without one would: seccomp(2) and Landlock do not exist for what is started from here.
WITHOUT_FILTER = """
import os, sys
from benchmarks import seccomp
numbers = seccomp.NUMBERS
everything = {f"n{number}": (number, number) for number in range(seccomp.NEWEST_NUMBER + 1) if number not in (277, 317, 444)}
numbers.clear()
numbers.update(everything, seccomp=(317, 277), landlock=(444, 444))
seccomp.install(seccomp.Profile(allowed=tuple(numbers), checks={}, unknown=("seccomp", "landlock")))
os.execv(sys.argv[1], sys.argv[1:])
"""


def decoder(base: Path | None, patch: Path, out: Path, size_bytes: int, *, required: bool = True) -> list[str]:
    return children.python_module(
        "agent.apply_child",
        *(() if base is None else ("--base", str(base))),
        *("--patch", str(patch), "--out", str(out), "--output-bytes", str(size_bytes)),
        *("--memory-limit-mib", "1024", "--timeout-s", "60", "--nice", "0"),
        *(("--require-sandbox",) if required else ()),
    )


def answer_of(command: list[str]) -> dict[str, Any]:
    ended = children.run(command, timeout_s=60)
    assert ended.returncode in (0, 3), ended.stderr_end
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


@pytest.mark.parametrize("patch", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shut_in_it_restores_all_that_the_codec_can_say(tmp_path: Path, patch: Path) -> None:
    """The golden patches use every predictor, correction, formula, stream and level (`tests/formats` holds them to it)."""
    base, target = patch.with_suffix(".base"), patch.with_suffix(".target").read_bytes()
    answer = answer_of(decoder(base if base.exists() else None, patch, tmp_path / "out", len(target)))
    assert answer["error"] is None, answer
    assert answer["peak_memory_bytes"] > 1 << 20
    assert (tmp_path / "out").read_bytes() == target


def test_shut_in_it_tells_a_damaged_patch_from_a_wrong_base(tmp_path: Path) -> None:
    patch = next(path for path in GOLDEN if path.stem == "fine-tuned")
    size_bytes = patch.with_suffix(".target").stat().st_size
    (tmp_path / "patch").write_bytes(patch.read_bytes()[:-9])
    (tmp_path / "base").write_bytes(bytes(patch.with_suffix(".base").stat().st_size))
    damaged = answer_of(decoder(patch.with_suffix(".base"), tmp_path / "patch", tmp_path / "out", size_bytes))
    wrong = answer_of(decoder(tmp_path / "base", patch, tmp_path / "out2", size_bytes))
    assert (damaged["error"], wrong["error"]) == (PatchMalformed.slug, "wrong-base")


def test_what_breaks_the_decoder_cannot_leave_it(tmp_path: Path) -> None:
    """A hostile patch that took the decoder over: its own code runs at the moment when the patch is read."""
    (tmp_path / "identity.json").write_text("credential")
    (tmp_path / "patch").write_bytes(b"patch")
    script = f"""
import json, os, socket, sys
from pathlib import Path
from agent import apply_child
from delta import decoder
def taken_over(base, patch, sink, *, limits):
    out = {{}}
    for name, attempt in {{
        "identity": lambda: Path({str(tmp_path / "identity.json")!r}).read_text(),
        "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
        "write": lambda: Path({str(tmp_path / "planted")!r}).write_text("x"),
        "exec": lambda: os.execv("/bin/sh", ["sh"]),
        "fork": os.fork,
        "remove its own output": lambda: os.unlink({str(tmp_path / "out")!r}),
    }}.items():
        try:
            attempt()
            out[name] = "done"
        except PermissionError:
            out[name] = "refused"
    raise decoder.MemoryExhausted(json.dumps(out))
decoder.restore = taken_over
sys.argv = ["child", *sys.argv[1:]]
sys.exit(apply_child.main())
"""
    arguments = decoder(None, tmp_path / "patch", tmp_path / "out", 10)[4:]
    answer = answer_of([sys.executable, "-P", "-c", script, *arguments])
    tried = json.loads(answer["detail"])
    assert set(tried) == {"identity", "connect", "write", "exec", "fork", "remove its own output"}
    assert set(tried.values()) == {"refused"}
    assert not (tmp_path / "planted").exists()


def without_filter(command: list[str]) -> list[str]:
    return [sys.executable, "-P", "-c", WITHOUT_FILTER, *command]


def test_where_the_kernel_has_no_filter_nothing_is_decoded_unless_the_owner_said_so(tmp_path: Path) -> None:
    patch = next(path for path in GOLDEN if path.stem == "packed")
    target = patch.with_suffix(".target").read_bytes()
    refused = answer_of(without_filter(decoder(None, patch, tmp_path / "refused", len(target))))
    assert refused["error"] == "no-sandbox"
    assert (tmp_path / "refused").read_bytes() == b""
    allowed = answer_of(without_filter(decoder(None, patch, tmp_path / "allowed", len(target), required=False)))
    assert allowed["error"] is None
    assert (tmp_path / "allowed").read_bytes() == target


def test_doctor_proves_that_children_are_shut_in() -> None:
    assert sandbox.prove() == (Sandbox(seccomp=True, landlock=landlock.version()), [])
    (finding,) = confinement(Children())
    assert (finding.check, finding.verdict) == ("sandbox", Verdict.OK)
    assert "system calls are filtered" in finding.detail


@pytest.mark.parametrize(("rule", "verdict"), [("required", Verdict.FAILED), ("if-available", Verdict.WARNING)])
def test_doctor_says_what_a_child_could_do_where_nothing_holds_it(
    rule: Any, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "python_module", lambda module: without_filter([sys.executable, "-P", "-m", module]))
    (finding,) = confinement(Children(sandbox=rule))
    assert finding.verdict is verdict
    assert "NOT filtered" in finding.detail
    assert "a child could open a file, open a connection" in finding.detail
    assert "CONFIG_SECCOMP_FILTER" in finding.advice


def test_a_wrong_rule_is_refused_by_name(device: Device, tmp_path: Path) -> None:
    ended = subprocess.run(
        device.command("status"), capture_output=True, text=True, check=False, timeout=60, env={**os.environ}
    )
    assert ended.returncode == 0, ended.stderr
    config = tmp_path / "agent.toml"
    config.write_text(device.config_file.read_text() + '\n[children]\nsandbox = "off"\n')
    command = [str(config) if part == str(device.config_file) else part for part in device.command("status")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "children.sandbox" in ended.stderr
