"""Trust by the command line against the real server: publishers at once, each a process of its own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from client.demo.models import LINE, MODELS, DemoModel
from client.errors import Refused
from client.processes import smallfleet
from tests.flows.conftest import QUICK, Flow


def status(flow: Flow) -> Any:
    [line] = flow.cli_json("trust", "status", LINE)
    return line


def new_online_keys(flow: Flow) -> None:
    """What an operator does on the server after a theft."""
    for name in ("worker", "server"):
        flow.children.end(name)
    (flow.home / "server" / "keys").rename(flow.home / "server" / "stolen-keys")
    flow.start()


def second_publisher(flow: Flow, folder: Path) -> Path:
    """A key made with openssl by somebody who does not have our command, and added by the holder of the root key."""
    key, public = folder / "second.pem", folder / "second.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    flow.cli("trust", "add-publisher", LINE, "--public-key", str(public))
    return key


def test_publishers_at_once_all_end_up_in_one_signed_list(flow: Flow, tmp_path: Path) -> None:
    flow.trust(LINE)
    second = second_publisher(flow, tmp_path)
    keys = [flow.home / "trust" / LINE / "publisher.pem", second, second, flow.home / "trust" / LINE / "publisher.pem"]
    started = [
        subprocess.Popen(
            smallfleet("publish", *model.publish_arguments(), "--key", str(key), "--json"),
            env=flow.children.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for model, key in zip(MODELS, keys, strict=True)
    ]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 4, ended
    versions = sorted(json.loads(out)["list_version"] for out, _error in ended)
    assert versions == [2, 3, 4, 5]
    line = status(flow)
    assert [target["path"] for target in line["targets"]["live"]] == [f"{one.version}/{one.variant}" for one in MODELS]
    assert line["warnings"] == []
    with flow.rest() as rest:
        shown = rest.get(f"models/{LINE}/metadata")
    assert {target["path"] for target in shown["targets"]["live"]} == {f"{one.version}/{one.variant}" for one in MODELS}


def test_device_follows_every_change_of_keys_and_forgets_a_thief(flow: Flow) -> None:
    flow.publish("1.0.0", "fp32")
    device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=QUICK)
    flow.once(device)
    flow.finish(flow.roll_out("1.0.0", "fp32"), device)
    flow.cli("trust", "rotate", LINE, "--role", "publisher")
    flow.cli("trust", "rotate", LINE, "--role", "root")
    flow.publish("1.1.0", "fp32")

    [stolen] = status(flow)["root"]["publishers"]
    flow.cli("trust", "revoke", LINE, stolen, "--keep", "1.0.0/fp32")
    new_online_keys(flow)
    flow.cli("trust", "rotate", LINE, "--role", "online")
    with flow.rest() as rest, pytest.raises(Refused, match="not-signed"):
        rest.post("rollouts", {"model": LINE, "version": "1.1.0", "variant": "fp32", "start": True})

    flow.publish("1.1.0", "int8")
    flow.finish(flow.roll_out("1.1.0", "int8"), device)
    expected = DemoModel("1.1.0", "int8").file.read_bytes()
    assert device.current_model(LINE).read_bytes() == expected
    line = status(flow)
    assert line["root"]["version"] == 6
    assert [target["path"] for target in line["targets"]["live"]] == ["1.0.0/fp32", "1.1.0/int8"]
