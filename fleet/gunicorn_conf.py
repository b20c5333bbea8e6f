"""gunicorn: threads, because most requests wait for the database or a device's slow link."""

import os

worker_class = "gthread"
workers = int(os.environ.get("SMALLFLEET_WEB_WORKERS", "2"))
threads = int(os.environ.get("SMALLFLEET_WEB_THREADS", "8"))
# A worker is alive while its threads work: the timeout is for the worker's heartbeat, not for a request.
timeout = 60
graceful_timeout = 20
keepalive = 75
accesslog = None
