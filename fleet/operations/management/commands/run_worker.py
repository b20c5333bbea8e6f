"""`manage.py run_worker`: background jobs and periodic ones, in one process."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.crypto import get_random_string
from django_tasks_db.management.commands.db_worker import Worker

from fleet.operations.periodic import Ticker, periodic_jobs, run_due
from fleet.operations.tables import require_tables

IDLE_INTERVAL_S = 0.5
STOP_TIMEOUT_S = 20


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT; the job in hand is ended first, a second signal ends it at once."""

    help = "Run background jobs (building patches) and periodic ones. Start as many as there are cores to spare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--exit-when-idle", action="store_true", help="do what is to do now, periodic jobs once, and end"
        )

    def handle(self, *, exit_when_idle: bool, **options: Any) -> None:
        """Run."""
        require_tables()
        worker = Worker(
            queue_names=["*"],
            excluded_queue_names=[],
            interval=IDLE_INTERVAL_S,
            batch=exit_when_idle,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=get_random_string(32),
        )
        worker.configure_signals()
        if exit_when_idle:
            run_due(periodic_jobs(), time.monotonic())
            worker.run()
            return
        ticker = Ticker(periodic_jobs())
        ticker.start()
        try:
            worker.run()
        finally:
            ticker.stop(STOP_TIMEOUT_S)
