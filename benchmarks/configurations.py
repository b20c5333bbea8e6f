"""How the runtime is set up for a benchmark. Parent side too, so nothing heavy is imported.

No setting of threads is best everywhere (measured on two virtual CPUs, SqueezeNet: one pinned thread 4.7 ms, the runtime's own choice
2.7 ms, two threads set by hand without affinity 6.2 to 8.9 ms). So a report names its configuration, and two are compared over a fleet.
"""

import os
from dataclasses import dataclass
from typing import Literal, get_args

ConfigurationName = Literal["canonical", "device-default"]
CONFIGURATION_NAMES: tuple[ConfigurationName, ...] = get_args(ConfigurationName)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is asked of the runtime; the report says what it then had.

    Attributes:
        name: one of `CONFIGURATION_NAMES`, or `custom`.
        intra_op: threads inside an operator; 0 leaves number and affinity to the runtime.
        pinned: bind the process to as many CPUs as it has threads.
        spinning: whether idle threads of the runtime spin; None leaves it to the runtime.
    """

    name: str
    intra_op: int
    pinned: bool
    spinning: bool | None

    @property
    def most_threads(self) -> int:
        """A bound for what may run at once."""
        return self.intra_op or os.cpu_count() or 1


CANONICAL = Configuration("canonical", intra_op=1, pinned=True, spinning=False)
DEVICE_DEFAULT = Configuration("device-default", intra_op=0, pinned=False, spinning=None)

CONFIGURATIONS: dict[ConfigurationName, Configuration] = {"canonical": CANONICAL, "device-default": DEVICE_DEFAULT}

DEFAULT_PROVIDERS = ("CPUExecutionProvider",)
