"""Settings, from the environment. Every variable `NAME` may come from a file named by `NAME_FILE`.

With nothing set (and `SMALLFLEET_DEBUG=1`, or a secret key) this runs on one machine: SQLite, a folder, jobs in the database.
`docs/settings.md` lists the variables; a test holds the two together.
"""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.FileAwareEnv()

# Never beside this file: an installed package is replaced with everything below it.
HOME = Path(env.str("SMALLFLEET_HOME", default="var/server")).absolute()

HOME.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("SMALLFLEET_DEBUG", default=False)
SECRET_KEY = env.str("SMALLFLEET_SECRET_KEY", default="")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured(
            "SMALLFLEET_SECRET_KEY is not set (or SMALLFLEET_SECRET_KEY_FILE); only SMALLFLEET_DEBUG=1 runs without one"
        )
    SECRET_KEY = "insecure-for-development-only"  # noqa: S105 - refused above unless DEBUG

ALLOWED_HOSTS = env.list("SMALLFLEET_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("SMALLFLEET_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_tasks",
    "django_tasks_db",
    "rest_framework",
    "drf_spectacular",
    "access",
    "registry",
    "fleet.devices",
    "fleet.rollouts",
    "fleet.ledger",
    "fleet.measurements",
    "fleet.dashboards",
    "fleet.operations",
]

MIDDLEWARE = [
    # First, so that it sees every header that the others add.
    "access.middleware.LeanDeviceApiMiddleware",
    "access.middleware.BodilessHeadMiddleware",
    "access.middleware.NulRefusedMiddleware",
    "access.middleware.NotMigratedMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "fleet.urls"
WSGI_APPLICATION = "fleet.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    """The database of `SMALLFLEET_DATABASE_URL`; on SQLite with the options that let several processes write."""
    database: dict[str, Any] = env.db_url("SMALLFLEET_DATABASE_URL", default=f"sqlite:///{HOME / 'smallfleet.sqlite3'}")
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            # IMMEDIATE takes the write lock at BEGIN, so that waiting for it honours the timeout instead of failing half-way.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    database["CONN_MAX_AGE"] = 60
    database["CONN_HEALTH_CHECKS"] = True
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Jobs are rows of the same database, so a job is made in the transaction of what it is for.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
# Straight from the installed packages: nothing to collect before the first start. A proxy or CDN may cache them by their hour.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "fleet.dashboards.finders.PlotlyFinder",
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "access.authentication.TokenAuthentication",
        "fleet.devices.authentication.DeviceAuthentication",
        "access.authentication.ApiSessionAuthentication",
    ],
    # Closed unless a view says otherwise.
    "DEFAULT_PERMISSION_CLASSES": ["access.permissions.Nobody"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["access.api.parsers.CappedJsonParser"],
    "DEFAULT_PAGINATION_CLASS": "access.api.pagination.ApiPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "access.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Smallfleet",
    "DESCRIPTION": "Ships neural-network updates to fleets of devices over links that cost money. The rules are in docs/wire.md.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "ENUM_NAME_OVERRIDES": {
        "AttemptStateEnum": "fleet.rollouts.models.Attempt.State",
        "PatchStateEnum": "registry.models.Patch.State",
        "RolloutStateEnum": "fleet.rollouts.models.Rollout.State",
        "VersionStateEnum": "registry.models.Version.State",
    },
}

# JSON bodies. Artifacts are read as streams and have caps of their own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Artifacts: a folder, or s3://bucket/prefix -----------------------------------------------------------------------------------------
SMALLFLEET_STORE = env.str("SMALLFLEET_STORE", default=str(HOME / "store"))
SMALLFLEET_S3_ENDPOINT_URL = env.str("SMALLFLEET_S3_ENDPOINT_URL", default="")
SMALLFLEET_S3_REGION = env.str("SMALLFLEET_S3_REGION", default="us-east-1")
SMALLFLEET_S3_ACCESS_KEY_ID = env.str("SMALLFLEET_S3_ACCESS_KEY_ID", default="")
SMALLFLEET_S3_SECRET_ACCESS_KEY = env.str("SMALLFLEET_S3_SECRET_ACCESS_KEY", default="")
# Where uploads wait for their check when the store is S3; a folder store uses a folder of its own filesystem.
SMALLFLEET_STAGING = env.str("SMALLFLEET_STAGING", default=str(HOME / "staging"))
SMALLFLEET_MAX_MODEL_BYTES = env.int("SMALLFLEET_MAX_MODEL_BYTES", default=2 * 1024**3)
SMALLFLEET_MAX_SAMPLE_SET_BYTES = env.int("SMALLFLEET_MAX_SAMPLE_SET_BYTES", default=64 * 1024**2)
SMALLFLEET_MAX_CONTRACT_BYTES = 64_000
SMALLFLEET_INSPECTION_MEMORY_BYTES = env.int("SMALLFLEET_INSPECTION_MEMORY_BYTES", default=0)  # 0: by the file's size
SMALLFLEET_INSPECTION_TIMEOUT_S = env.int("SMALLFLEET_INSPECTION_TIMEOUT_S", default=300)

# --- Fleet ------------------------------------------------------------------------------------------------------------------------------
SMALLFLEET_POLL_AFTER_S = env.int("SMALLFLEET_POLL_AFTER_S", default=900)
SMALLFLEET_CURRENCY = env.str("SMALLFLEET_CURRENCY", default="EUR")
SMALLFLEET_DEFAULT_PRICE_PER_MB = env.str("SMALLFLEET_DEFAULT_PRICE_PER_MB", default="0")
# How often the worker looks which deltas the fleet needs; a rollout that starts does so at once.
SMALLFLEET_JOBS_INTERVAL_S = env.int("SMALLFLEET_JOBS_INTERVAL_S", default=15)
# What deltas may take in the store, and of the workers' seconds in any 24 hours: half a day of one worker. Packed files are outside of it.
SMALLFLEET_PATCH_BUDGET_MB = env.int("SMALLFLEET_PATCH_BUDGET_MB", default=10_000)
SMALLFLEET_PATCH_BUDGET_S = env.int("SMALLFLEET_PATCH_BUDGET_S", default=43_200)
SMALLFLEET_LAST_SEEN_FLUSH_S = env.int("SMALLFLEET_LAST_SEEN_FLUSH_S", default=60)

# --- Security behind TLS ----------------------------------------------------------------------------------------------------------------
SMALLFLEET_BEHIND_TLS = env.bool("SMALLFLEET_BEHIND_TLS", default=False)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "access.problems.csrf_failure"
if SMALLFLEET_BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "fleet.operations.logs.JsonFormatter"},
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain" if DEBUG else "json"}},
    "root": {"handlers": ["stderr"], "level": env.str("SMALLFLEET_LOG_LEVEL", default="INFO")},
    "loggers": {"django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}
