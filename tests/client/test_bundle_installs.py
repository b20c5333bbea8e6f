"""A bundle written from the real server is installed by the real agent, which has no link and no credential."""

import hashlib
import json
from pathlib import Path

from client.demo.models import LINE, MODELS
from client.processes import free_port
from client.stack import Stack

CONFIG = """
server = "https://unreachable.example"
state_dir = "{state}"
name = "island"
device_class = "pi5"
models = ["digits"]
[trust]
roots = {{ digits = "{pin}" }}
[bench]
enabled = false
"""


def test_device_without_a_link_installs_and_updates_from_bundles(tmp_path: Path) -> None:
    config, state = tmp_path / "agent.toml", tmp_path / "state"
    old, new = MODELS[0], MODELS[2]
    with Stack(tmp_path / "stack", port=free_port(), worker=False) as stack:
        stack.trust(LINE)
        pin = hashlib.sha256((tmp_path / "stack/trust" / LINE / "1.root.json").read_bytes()).hexdigest()
        config.write_text(CONFIG.format(state=state, pin=pin))
        for model in (old, new):
            stack.cli("publish", *model.publish_arguments())
        base = hashlib.sha256(old.file.read_bytes()).hexdigest()
        first, second = str(tmp_path / "first.tar"), str(tmp_path / "second.tar")
        written = stack.cli_json("bundle", LINE, old.version, old.variant, "--out", first)
        assert [way["way"] for way in written["installation"]["ways"]] == ["raw"]
        stack.cli("bundle", LINE, new.version, new.variant, "--out", second)
        for bundle, model in ((first, old), (second, new)):
            stack.cli("agent", "install", "--config", str(config), bundle)
            current = state / "models" / LINE / "current" / "model.onnx"
            assert current.read_bytes() == model.file.read_bytes()
        status = json.loads(stack.cli("agent", "status", "--config", str(config), "--json"))
    assert base in json.dumps(status)
