"""The process that stays: `smallfleet agent run` becomes `python -m agent.daemon CONFIG LOG_LEVEL`.

A program of its own, so that what only reads a command line is not in memory for years: `argparse` and what that imports
are three quarters of a mebibyte.
"""

import functools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from agent import cgroup, identity, logs, pulse
from agent import config as configuration
from agent.clock import Clock
from agent.config import Config
from agent.errors import ending, of_local_failure
from agent.identity import Credential, Identity
from agent.layout import Layout
from agent.loop import Agent
from agent.outbox import Outbox
from agent.pulse import Pulse
from agent.store import Store
from agent.vigil import vigil
from benchmarks.confine import own_group

# Hashing the largest model on a slow card; the rest of a step is children, whose limit comes on top.
UNSPOKEN_S = 300.0


class StopRequested(BaseException):
    """SIGTERM or SIGINT. Not an `Exception`: nothing but the command itself may take it for a failure of its step."""


@contextmanager
def opened(config: Config, layout: Layout, known: Identity | None) -> Iterator[Agent]:
    """An agent with its state directory locked, ended cleanly by SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    outbox = Outbox(layout.outbox)
    client = identity.make_client(config, credential="" if known is None else known.credential)
    credential = None if known is None else Credential(layout, client, known)
    with Store(layout, config.models, outbox) as store:
        agent = Agent(config, layout, store, outbox, client, Clock(), credential)
        try:
            if known is not None:
                agent.guard.establish()
            yield agent
        finally:
            client.close()


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Unwind from wherever the agent is. A stop may cut any step short: the next start takes it for a power cut."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    vigil.tell("STOPPING=1")
    raise StopRequested


def run(config: Config) -> int:
    """Poll and install until SIGTERM; the exit code.

    Raises:
        AgentError: the agent cannot start here.
    """
    layout = Layout(config.state_dir)
    try:
        with opened(config, layout, identity.read(layout)) as agent:
            cgroup.share_out(os.environ, memory_limit_mib=config.children.memory_limit_mib, group=own_group())
            vigil.start(UNSPOKEN_S + config.children.timeout_s)
            agent.run(functools.partial(_rest, config, agent))
    except StopRequested:
        pass
    except OSError as error:
        raise of_local_failure(error, config.state_dir) from error
    return 0


def _rest(config: Config, agent: Agent, seconds: float) -> None:
    """Leave word of the last poll, and sleep until the next thing is due."""
    pulse.write(config, Pulse(agent.polled, agent.clock.now(), seconds))
    vigil.sleep(seconds)


def main() -> int:
    """Run with the configuration file and the log level that the arguments name."""
    config_file, log_level = sys.argv[1:]
    logs.configure(log_level)
    return ending(lambda: run(configuration.load(Path(config_file))))


if __name__ == "__main__":
    sys.exit(main())
