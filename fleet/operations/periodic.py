"""What is done again and again, by the worker: each job is idempotent, so several workers may do the same."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import close_old_connections, connections

from access.audit.chain import seal_records
from access.logins import forget_sessions
from fleet.devices.enrollment import forget_unanswered
from fleet.devices.recognition import recognise_artifacts
from fleet.rollouts.completion import finish_all_completed
from fleet.rollouts.patches import plan_patches, retire_patches
from fleet.webhooks.delivering import deliver_due, prune_deliveries
from fleet.webhooks.expiry import tell_expiring_targets
from registry.deltas.services import resume_builds
from registry.trust.services import renew_metadata

log = logging.getLogger(__name__)
GRAIN_S = 0.5


@dataclass(slots=True)
class PeriodicJob:
    """A function and how often it is called."""

    name: str
    run: Callable[[], object]
    every_s: float
    due_at: float = field(default=0.0)


def periodic_jobs() -> list[PeriodicJob]:
    """The jobs of this project. Those that only repair what a crash left behind run seldom."""
    return [
        PeriodicJob("forget_sessions", forget_sessions, every_s=3600),
        PeriodicJob("forget_unanswered", forget_unanswered, every_s=3600),
        PeriodicJob("recognise_artifacts", recognise_artifacts, every_s=60),
        PeriodicJob("plan_patches", plan_patches, every_s=settings.SMALLFLEET_JOBS_INTERVAL_S),
        PeriodicJob("retire_patches", retire_patches, every_s=3600),
        PeriodicJob("resume_builds", resume_builds, every_s=60),
        PeriodicJob("finish_all_completed", finish_all_completed, every_s=60),
        PeriodicJob("seal_records", seal_records, every_s=300),
        PeriodicJob("deliver_due", deliver_due, every_s=2),
        PeriodicJob("prune_deliveries", prune_deliveries, every_s=3600),
        PeriodicJob("tell_expiring_targets", tell_expiring_targets, every_s=3600),
        PeriodicJob("renew_metadata", renew_metadata, every_s=min(3600, settings.SMALLFLEET_TIMESTAMP_LIFE_S / 50)),
    ]


def run_due(jobs: Sequence[PeriodicJob], now: float) -> None:
    """Run the jobs that are due. One that fails is logged and tried again at its next time; the others go on."""
    for job in jobs:
        if now < job.due_at:
            continue
        job.due_at = now + job.every_s
        try:
            job.run()
        except Exception:
            log.exception("periodic_job_failed", extra={"job": job.name})


class Ticker(threading.Thread):
    """Runs periodic jobs until it is stopped."""

    def __init__(self, jobs: Sequence[PeriodicJob]) -> None:
        super().__init__(name="ticker", daemon=True)
        self._jobs = jobs
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.wait(GRAIN_S):
                close_old_connections()
                run_due(self._jobs, time.monotonic())
        finally:
            connections.close_all()

    def stop(self, timeout_s: float) -> None:
        """Let the job that runs end, and run no other."""
        self._stopping.set()
        self.join(timeout_s)
