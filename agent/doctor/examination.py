"""All checks in their order, and how they are shown."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent import config as configuration
from agent.clock import Clock
from agent.conditions import Observer
from agent.config import Config
from agent.connection import Counted
from agent.doctor import confinement, files, link, runtime, trust
from agent.doctor.finding import Finding, Verdict, failed, ok, skipped, warning
from agent.errors import WrongConfiguration
from agent.gate import Gate
from agent.layout import Layout
from agent.policy import Activity
from agent.spending import Spending

EXIT_CODE = 11


def examine(config_file: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check everything, one after the other; without a configuration there is nothing more to check."""
    try:
        config = configuration.load(config_file)
    except WrongConfiguration as error:
        advice = "correct it" if config_file.exists() else "write it, or name another with --config"
        yield failed("configuration", str(error), f"{advice}; docs/agent.md describes every key")
        return
    layout = Layout(config.state_dir)
    sections: dict[str, Iterator[Finding]] = {
        "configuration": files.configuration(config_file, config),
        "hooks": files.hooks(config),
        "state-directory": files.state_directory(config, layout),
        "disk": files.space(config, layout),
        "trust": trust.trust(config, layout),
        "link": link.link(config, layout, environment),
        "runtime": runtime.runtime(config),
        "sandbox": confinement.confinement(config.children),
        "rules": rules(config, layout),
    }
    for name, findings in sections.items():
        try:
            yield from findings
        except PermissionError as error:
            yield skipped(name, f"{error.filename} is closed to this user; run doctor as the agent's user, or as root")


def rules(config: Config, layout: Layout) -> Iterator[Finding]:
    """Which of the owner's rules hold something back now; the busy hook is not asked."""
    policy, clock = replace(config.policy, busy_hook=()), Clock()
    spending = Spending(layout.day, clock, Counted)
    gate = Gate(policy, Observer(policy, layout.root, clock, spending), spending)
    refused = [refusal for activity in Activity if (refusal := gate.refusal(activity)) is not None]
    if not refused:
        yield ok("rules", "no rule of [policy] holds anything back")
        return
    held = "; ".join(f"{one.detail} ({one.rule})" for one in refused)
    yield warning("rules", held, "nothing, if that is meant: it is done when the rule allows")


def is_healthy(findings: list[Finding]) -> bool:
    """Whether no check failed."""
    return all(finding.verdict is not Verdict.FAILED for finding in findings)


def as_document(findings: list[Finding]) -> dict[str, Any]:
    """For programs."""
    return {"healthy": is_healthy(findings), "checks": [asdict(finding) for finding in findings]}


def described(findings: list[Finding]) -> str:
    """For a person: a line per check, and below it what to do."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:8} {finding.check:22} {finding.detail}")
        if finding.advice:
            lines.append(f"{'':31} -> {finding.advice}")
    return "\n".join(lines) + "\n"
