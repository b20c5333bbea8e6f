"""gunicorn: threads, because most requests wait for the database or a device's slow link."""

import os
from typing import Any

from fleet.operations import connections

worker_class = "gthread"
workers = int(os.environ.get("SMALLFLEET_WEB_WORKERS", "2"))
threads = int(os.environ.get("SMALLFLEET_WEB_THREADS", "8"))
# A worker is alive while its threads work: the timeout is for the worker's heartbeat, not for a request.
timeout = 60
graceful_timeout = 20
keepalive = 75
accesslog = None
# By default one socket in the home folder, which two servers of one person would take from each other.
control_socket_disable = True


def pre_request(worker: Any, req: Any) -> None:
    """Called by gunicorn before the application."""
    if connections.is_upload(req):
        connections.before_upload(req)


def post_request(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """Called by gunicorn after the answer was sent."""
    if resp is not None and connections.is_upload(req):
        connections.after_upload(req.unreader.sock, resp.status_code if resp.status else None)
