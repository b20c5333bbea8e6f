"""The agent's page shows a configuration that the agent reads, with every key, and the defaults that it has."""

import re
from dataclasses import fields, replace
from pathlib import Path

from agent import config, policy

PAGE = Path(__file__).resolve().parents[2] / "docs/agent.md"


def example() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_example_is_read_and_shows_the_defaults(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    path = tmp_path / "agent.toml"
    # One file stands for the three of [tls], which only have to be there.
    path.write_text(re.sub(r"/etc/smallfleet/(ca\.pem|device\.pem|device\.key)", str(authority), example()))
    shown = config.load(path, environment={})
    optional = replace(shown.policy, metered_mb_per_day=None, mb_per_day=None, max_temperature_c=None)
    assert (optional, shown.children) == (config.Policy(), config.Children())
    assert replace(shown.download, rate_limit_bytes_per_s=None) == config.Download()
    assert replace(shown.bench, watts=None, processes=None) == config.Bench()


def test_the_example_names_every_key() -> None:
    sections = (config.Policy, config.Download, config.Children, config.Bench, config.Hooks, config.Shadow, config.Tls)
    known = {field.name for section in sections for field in fields(section)}
    known |= {field.name for field in fields(config.Config)} - {
        "policy",
        "download",
        "children",
        "bench",
        "hooks",
        "shadow",
        "tls",
        "roots",  # shown where trust is explained
        "attributes",
    }
    named = set(re.findall(r"^(\w+) =", example(), re.MULTILINE)) - {"site"}
    assert named == known


def test_the_table_of_rules_is_the_agents() -> None:
    """In the order in which they are judged; `pre-activate` is a hook's answer, not a rule of `[policy]`."""
    section = PAGE.read_text().partition("## The owner's rules")[2].partition("## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", section, re.MULTILINE)
    shown = [(slug, set(activities.split(", "))) for slug, activities in rows]
    assert shown[:-1] == [(rule.slug, {activity.value for activity in rule.holds}) for rule in policy.RULES]
    assert shown[-1] == ("pre-activate", {"activate"})
