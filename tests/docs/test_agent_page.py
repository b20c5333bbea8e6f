"""The agent's page shows a configuration that the agent reads, with every key, and the defaults that it has."""

import re
from dataclasses import fields, replace
from pathlib import Path

from agent import config

PAGE = Path(__file__).resolve().parents[2] / "docs/agent.md"


def example() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_example_is_read_and_shows_the_defaults(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    path = tmp_path / "agent.toml"
    path.write_text(example().replace("/etc/smallfleet/ca.pem", str(authority)))
    shown = config.load(path, environment={})
    optional = replace(shown.policy, metered_mb_per_day=None, mb_per_day=None, max_temperature_c=None)
    assert (optional, shown.children) == (config.Policy(), config.Children())
    assert replace(shown.download, rate_limit_bytes_per_s=None) == config.Download()
    assert replace(shown.bench, watts=None) == config.Bench()


def test_the_example_names_every_key() -> None:
    sections = (config.Policy, config.Download, config.Children, config.Bench, config.Hooks, config.Shadow)
    known = {field.name for section in sections for field in fields(section)}
    known |= {field.name for field in fields(config.Config)} - {
        "policy",
        "download",
        "children",
        "bench",
        "hooks",
        "shadow",
        "attributes",
    }
    named = set(re.findall(r"^(\w+) =", example(), re.MULTILINE)) - {"site"}
    assert named == known
