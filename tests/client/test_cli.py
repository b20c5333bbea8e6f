"""The command line as a user and as a script sees it."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from client.cli import COMMANDS, main
from client.errors import EXIT_CODES
from tests.client.stand_in import Answer, StandIn, answer_json, problem

NAMES = [name for group in COMMANDS.values() for name in group]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, server: StandIn) -> None:
    monkeypatch.setenv("SMALLFLEET_SERVER", server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_from_the_environment")


def test_help_lists_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in NAMES:
        assert f"\n  {name} " in text
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in text


def test_help_imports_no_command_and_no_heavy_library() -> None:
    code = (
        "import sys; from client.cli import main; main(['--help']);"
        "heavy = {'httpx', 'numpy', 'tqdm', 'onnx', 'client.rest', 'agent', 'delta', 'benchmarks'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in NAMES if COMMANDS["On a device"].get(name) is None])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: smallfleet {name}" in capsys.readouterr().out


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("smallfleet 0.")


def test_no_command_prints_the_overview_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: smallfleet COMMAND" in capsys.readouterr().out


def test_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollout"]) == 2
    assert "did you mean 'rollouts'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "code"), [(problem(403, "permission-refused", detail="ask an admin"), 3), (Answer(500), 4)]
)
def test_failure_is_one_line_and_its_exit_code(
    server: StandIn, capsys: pytest.CaptureFixture[str], answer: Answer, code: int
) -> None:
    server.script("GET", "/api/v1/models", answer)
    assert main(["models", "list"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("smallfleet: ")
    assert captured.err.count("\n") == 1


def test_missing_server_or_token_is_wrong_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SMALLFLEET_TOKEN")
    assert main(["models", "list"]) == 2
    assert "SMALLFLEET_TOKEN" in capsys.readouterr().err
    monkeypatch.delenv("SMALLFLEET_SERVER")
    assert main(["models", "list"]) == 2
    assert "SMALLFLEET_SERVER" in capsys.readouterr().err


def test_token_may_come_from_a_file(server: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SMALLFLEET_TOKEN")
    monkeypatch.setenv("SMALLFLEET_TOKEN_FILE", str(tmp_path / "token"))
    assert main(["models", "list"]) == 5
    (tmp_path / "token").write_text("\n")
    assert main(["models", "list"]) == 2
    (tmp_path / "token").write_text("sft_from_a_file\n")
    server.script("GET", "/api/v1/models", answer_json({"count": 0, "results": []}))
    assert main(["models", "list"]) == 0
    assert server.asked[-1].headers["Authorization"] == "Bearer sft_from_a_file"


@pytest.mark.parametrize("address", ["http://models.example.org", "ftp://127.0.0.1", "models.example.org"])
def test_address_that_would_show_the_token_or_is_none_is_refused(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--server", address]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_json_is_exactly_one_document(server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "digits", "title": "Ziffern"}]
    server.script("GET", "/api/v1/models", answer_json({"count": 1, "results": rows}))
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_command_of_an_extra_that_is_not_installed_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What a missing package looks like to an import.
    monkeypatch.setitem(sys.modules, "numpy", None)
    for module in [name for name in sys.modules if name.partition(".")[0] == "delta"]:
        monkeypatch.delitem(sys.modules, module)
    assert main(["delta", "info", "patch"]) == 2
    assert "needs numpy: pip install 'smallfleet[agent]'" in capsys.readouterr().err


def test_ctrl_c_is_130_without_a_traceback(server: StandIn) -> None:
    code = (
        "import client.cli, signal, sys, os, client.commands.models as models;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell's background job ignores it from birth
        "models.run = lambda args: os.kill(os.getpid(), signal.SIGINT);"
        "sys.exit(client.cli.main(['models', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_reader_that_goes_away_is_no_error(server: StandIn) -> None:
    rows = [
        {"name": f"model-{number}", "title": "x" * 100, "latest_version": None, "version_count": 0}
        for number in range(5000)
    ]
    server.script("GET", "/api/v1/models", answer_json({"count": 5000, "results": rows}))
    with subprocess.Popen(
        [sys.executable, "-m", "client.cli", "models", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(timeout=30) == 0
        assert child.stderr.read() == b""


def test_rollout_is_created_started_and_rolled_back(server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    rollout = {"id": "7f", "state": "running"}
    server.script("POST", "/api/v1/rollouts", answer_json(rollout, 201))
    server.script("POST", "/api/v1/rollouts/7f/abort", answer_json(rollout | {"state": "aborted"}))
    create = ["rollouts", "create", "digits", "1.0.0", "int8", "--group", "gates", "--wait-for-delta-s", "9", "--start"]
    assert main(create) == 0
    assert main(["rollouts", "abort", "7f", "--roll-back"]) == 0
    assert [asked.json() for asked in server.asked] == [
        {
            "model": "digits",
            "version": "1.0.0",
            "variant": "int8",
            "start": True,
            "group": "gates",
            "wait_for_delta_s": 9,
        },
        {"roll_back": True},
    ]
    assert capsys.readouterr().out == "running: 7f\naborted: 7f\n"


def test_enrollment_token_stands_alone_on_its_line(server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    token = f"sfe_{'x' * 43}"
    server.script("POST", "/api/v1/enrollment-tokens", answer_json({"token": token, "roots": {}}, 201))
    arguments = ["enroll-token", "--name", "gates", "--uses", "3", "--link-class", "lte", "--attribute", "site=berlin"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{token}\n"
    body = server.asked[0].json()
    assert body.pop("expires_at")
    assert body == {"name": "gates", "uses": 3, "link_class": "lte", "attributes": {"site": "berlin"}, "models": []}


@pytest.mark.parametrize(
    "command",
    [["enroll-token", "--name", "x", "--expires-in-h"], ["tokens", "create", "x", "--scope", "read", "--expires-in-d"]],
)
@pytest.mark.parametrize("span", ["-1", "0", "nan", "1e30", "soon"])
def test_token_that_would_have_ended_already_is_not_asked_for(
    command: list[str], span: str, server: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, span])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err
    assert server.asked == []


def test_tokens_are_created_and_revoked(server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    server.script("POST", "/api/v1/tokens", answer_json({"token": "sft_new"}, 201))
    server.script("DELETE", "/api/v1/tokens/7", Answer(204, b""))
    assert main(["tokens", "create", "ci", "--scope", "publish"]) == 0
    assert main(["tokens", "revoke", "7"]) == 0
    assert capsys.readouterr().out == "sft_new\nrevoked: 7\n"


def test_serving_commands_become_the_program(tmp_path: Path) -> None:
    """`manage` replaces the process: what Django prints and its exit code are what the caller sees."""
    environment = {"SMALLFLEET_DEBUG": "1", "SMALLFLEET_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "manage", "diffsettings", "--default", "no_such_module"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 1
    assert "no_such_module" in done.stderr


@pytest.mark.parametrize("command", [["server"], ["worker"], ["manage", "check"]])
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "SMALLFLEET_SECRET_KEY is not set"),
        ({"SMALLFLEET_SECRET_KEY": "", "SMALLFLEET_DEBUG": "0"}, "SMALLFLEET_SECRET_KEY is not set"),
        ({"SMALLFLEET_SECRET_KEY_FILE": "/nowhere/key"}, "/nowhere/key"),
        ({"SMALLFLEET_SECRET_KEY": "short"}, "at least 32 characters"),
        ({"SMALLFLEET_SECRET_KEY": "k" * 50}, "at least 10 different ones"),
    ],
)
def test_serving_without_a_secret_key_is_one_line_and_code_2(
    command: list[str], environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", *command],
        capture_output=True,
        text=True,
        check=False,
        env={"SMALLFLEET_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **environment},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_secret_key_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(secrets.token_urlsafe(50))
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "manage", "check"],
        capture_output=True,
        text=True,
        check=False,
        env={
            "SMALLFLEET_HOME": str(tmp_path),
            "SMALLFLEET_SECRET_KEY_FILE": str(tmp_path / "key"),
            "PATH": "/usr/bin:/bin",
        },
    )
    assert done.returncode == 0, done.stderr
