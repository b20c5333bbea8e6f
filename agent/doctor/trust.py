"""Checks of what the device trusts: a root for every line, and metadata that is not over."""

from collections.abc import Iterator
from datetime import timedelta

from agent import identity
from agent.clock import Clock
from agent.config import Config
from agent.doctor.finding import Finding, failed, ok, warning
from agent.layout import Layout
from agent.trust import keeping
from agent.trust.keeping import Kept
from agent.trust.verified import not_before

SOON = timedelta(days=2)


def trust(config: Config, layout: Layout) -> Iterator[Finding]:
    """One finding for each model line."""
    pins, clock = identity.pins_of(config, layout), Clock()
    for model in config.models:
        kept = keeping.read(layout, model)
        if kept is not None:
            yield _judged(model, kept, clock)
        elif layout.metadata(model).exists():
            advice = f"run `smallfleet agent trust {model} DIGEST` with the digest of a root that you know"
            yield failed(f"trust-{model}", f"{layout.metadata(model)} cannot be read", advice)
        elif model in pins:
            yield warning(
                f"trust-{model}",
                f"the root with the digest {pins[model]} has not been fetched yet",
                "let the agent reach its server, or install a bundle",
            )
        else:
            advice = f"enroll with a token that has its pin, set trust.roots.{model}, or run `smallfleet agent trust {model} DIGEST`"
            yield failed(f"trust-{model}", "no root is trusted for this line, so the agent does not start", advice)


def _judged(model: str, kept: Kept, clock: Clock) -> Finding:
    check, says = f"trust-{model}", kept.says
    if says is None:
        advice = "look for `metadata_refused` in the agent's log; the publisher or the server has to mend it"
        return warning(check, "a root is trusted, and nothing that follows from it is verified", advice)
    at, ends = not_before(kept.floor, clock.utc(), clock.now()), says.expires_at.isoformat().replace("+00:00", "Z")
    if says.is_expired(at):
        advice = "nothing new is installed until newer metadata comes: see to the link, this machine's clock, and `smallfleet trust status`"
        return failed(check, f"signed metadata ended {ends}", advice)
    if says.expires_at - at < SOON:
        return warning(check, f"signed metadata ends {ends}", "somebody should run `smallfleet trust renew`")
    return ok(check, f"{len(says.targets)} signed targets, good until {ends}")
