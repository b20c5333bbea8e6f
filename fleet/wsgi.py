"""The WSGI entry point."""

import atexit
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
application = get_wsgi_application()

from fleet.devices import last_seen  # noqa: E402 - needs the apps

atexit.register(last_seen.flush)
