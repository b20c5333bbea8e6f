"""The project's settings for tests: a development secret, temporary folders, fast password hashing."""

import os
import tempfile

os.environ.setdefault("SMALLFLEET_DEBUG", "1")
os.environ.setdefault("SMALLFLEET_HOME", tempfile.mkdtemp(prefix="smallfleet-tests-"))

from fleet.settings import *  # noqa: F403

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SMALLFLEET_POLL_AFTER_S = 60

# A file, because threads share it: SQLite's in-memory database locks whole tables and does not wait for them.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "test.sqlite3")}  # noqa: F405
