"""PostgreSQL databases that a test has for itself: what it leaves is gone with it, and a second run on the same server finds nothing."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """The address of an empty database on the server of this address (`postgresql://…/any`), dropped at the end."""
    name = f"smallfleet_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
