"""Telling serving code that its model changed: a command of the local configuration, which the server cannot set."""

import logging

from agent import children
from agent.config import Config
from agent.layout import LinePaths
from agent.wire import Target

log = logging.getLogger(__name__)


def call_post_activate(config: Config, model: str, paths: LinePaths, target: Target) -> None:
    """Run the hook, if there is one. Its failure is logged and undoes nothing; a hook that hangs is ended in time."""
    if not config.post_activate:
        return
    variables = {
        "SMALLFLEET_MODEL": model,
        "SMALLFLEET_CURRENT": str(paths.current),
        "SMALLFLEET_SHA256": target.sha256,
        "SMALLFLEET_VERSION": target.version,
        "SMALLFLEET_VARIANT": target.variant,
    }
    try:
        ended = children.run(config.post_activate, timeout_s=config.children.timeout_s, extra=variables)
    except OSError as error:
        log.warning("hook_failed", extra={"model": model, "why": str(error)})
        return
    if ended.returncode != 0:
        why = "timeout" if ended.returncode is None else f"exit {ended.returncode}: {ended.stderr_end[-200:]}"
        log.warning("hook_failed", extra={"model": model, "why": why})
