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
# The longest address has a filter of every kind; who sends a larger head sends no request of ours.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# Python's sendfile waits without end for a reader that has stopped (its timeout is the socket's own, and that is none).
sendfile = False
accesslog = None
# By default one socket in the home folder, which two servers of one person would take from each other.
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    """Called by gunicorn in each new worker."""
    connections.end_stalls(worker.sockets)
    worker.log.error_log.addFilter(connections.without_stalls)


def pre_request(worker: Any, req: Any) -> None:
    """Called by gunicorn before the application."""
    if connections.is_upload(req):
        connections.before_upload(req)


def post_request(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """Called by gunicorn after the answer was sent."""
    if resp is not None and connections.is_upload(req):
        connections.after_upload(req.unreader.sock, resp.status_code if resp.status else None)
