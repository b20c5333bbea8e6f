"""The server's settings with the benchmark's addresses."""

from fleet.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.load.open_polls.urls"
