"""Settings, from the environment. Every variable `NAME` may come from a file named by `NAME_FILE`.

With nothing set (and `SMALLFLEET_DEBUG=1`, or a secret key) this runs on one machine: SQLite, a folder, jobs in the database.
`docs/settings.md` lists the variables; a test holds the two together.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

env = environ.FileAwareEnv()

# Never beside this file: an installed package is replaced with everything below it.
HOME = Path(env.str("SMALLFLEET_HOME", default="var/server")).absolute()

HOME.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("SMALLFLEET_DEBUG", default=False)
DEVELOPMENT_SECRET_KEY = "insecure-for-development-only"  # noqa: S105 - refused below unless DEBUG
SECRET_KEY = env.str("SMALLFLEET_SECRET_KEY", default="")


def _refuse_weak_key(key: str) -> None:
    """Whoever guesses the key can forge every session: no start with one that can be guessed."""
    if not key:
        words = "is not set (or SMALLFLEET_SECRET_KEY_FILE); only SMALLFLEET_DEBUG=1 runs without one"
    elif key.startswith(DEVELOPMENT_SECRET_KEY):
        words = "is the one for development: choose 50 random characters"
    elif len(key) < 32 or len(set(key)) < 10:
        words = "needs at least 32 characters, at least 10 different ones: choose 50 random characters"
    else:
        return
    raise ImproperlyConfigured(f"SMALLFLEET_SECRET_KEY {words}")


if not DEBUG:
    _refuse_weak_key(SECRET_KEY)
SECRET_KEY = SECRET_KEY or DEVELOPMENT_SECRET_KEY

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
    "axes",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "access",
    "registry",
    "fleet.devices",
    "fleet.rollouts",
    "fleet.ledger",
    "fleet.measurements",
    "fleet.webhooks",
    "fleet.dashboards",
    "fleet.operations",
]

MIDDLEWARE = [
    # First, so that it sees every header that the others add.
    "access.middleware.LeanDeviceApiMiddleware",
    "access.middleware.OriginMiddleware",
    "access.middleware.BodilessHeadMiddleware",
    "access.middleware.NulRefusedMiddleware",
    "access.middleware.NotMigratedMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "access.middleware.PageHeadersMiddleware",
    "access.middleware.PagePolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last: answers for a login that was stopped.
    "axes.middleware.AxesMiddleware",
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

SMALLFLEET_CACHE_URL = env.str("SMALLFLEET_CACHE_URL", default="")


def _cache() -> dict[str, Any]:
    """Redis, which all web processes share, or the memory of each; of that enough for a bucket for each of many devices."""
    if SMALLFLEET_CACHE_URL:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": SMALLFLEET_CACHE_URL}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}


CACHES = {"default": _cache()}

# Jobs are rows of the same database, so a job is made in the transaction of what it is for.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# The first asks nobody for a password: it stops those who failed too often.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# So many failed logins by one name, or from one address, within this time; then neither logs in until it is over.
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_FAILURE_LIMIT = env.int("SMALLFLEET_LOGIN_FAILURES", default=10)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("SMALLFLEET_LOGIN_LOCKED_MIN", default=15))
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# A success resets nothing: else whoever has one account could try others' passwords without end.
AXES_RESET_ON_SUCCESS = False
AXES_CLIENT_IP_CALLABLE = "access.logins.address_of"
AXES_LOCKOUT_CALLABLE = "access.logins.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# A session ends so long after its login, used or not.
SESSION_COOKIE_AGE = 3600 * env.int("SMALLFLEET_SESSION_HOURS", default=12)

# --- Logging in with an identity provider (OpenID Connect); off without an issuer ---------------------------------------------------
SMALLFLEET_OIDC_ISSUER = env.str("SMALLFLEET_OIDC_ISSUER", default="")
SMALLFLEET_OIDC_CLIENT_ID = env.str("SMALLFLEET_OIDC_CLIENT_ID", default="")
SMALLFLEET_OIDC_CLIENT_SECRET = env.str("SMALLFLEET_OIDC_CLIENT_SECRET", default="")
SMALLFLEET_OIDC_SCOPES = env.str("SMALLFLEET_OIDC_SCOPES", default="openid profile")
SMALLFLEET_OIDC_NAME_CLAIM = env.str("SMALLFLEET_OIDC_NAME_CLAIM", default="preferred_username")
SMALLFLEET_OIDC_GRANTS_CLAIM = env.str("SMALLFLEET_OIDC_GRANTS_CLAIM", default="groups")
# By value of the claim, grants with blanks between them.
SMALLFLEET_OIDC_GRANTS: dict[str, str] = env.json("SMALLFLEET_OIDC_GRANTS", default={})

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
    # `?format=` belongs to the routes, some of which have a parameter of that name.
    "URL_FORMAT_OVERRIDE": None,
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
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "fleet.operations.openapi.add_common_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "AttemptStateEnum": "fleet.rollouts.models.Attempt.State",
        "PatchStateEnum": "registry.models.Patch.State",
        "RolloutStateEnum": "fleet.rollouts.models.Rollout.State",
        "VersionStateEnum": "registry.models.Version.State",
    },
}

# JSON bodies and forms. Artifacts are read as streams and have caps of their own; a form has no files, which Django would write to the disk.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500  # of a form, and of a query string
DATA_UPLOAD_MAX_NUMBER_FILES = 0

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
# Whether models are checked and patches built at all on a kernel that cannot filter the system calls of the children that do it.
SMALLFLEET_SANDBOX_REQUIRED = env.bool("SMALLFLEET_SANDBOX_REQUIRED", default=True)

# --- Trust: the server's online keys, as PEM (PKCS#8, ed25519); those that are not set are made at first use, as files -----------------
SMALLFLEET_KEYS = env.str("SMALLFLEET_KEYS", default=str(HOME / "keys"))
SMALLFLEET_SNAPSHOT_KEY = env.str("SMALLFLEET_SNAPSHOT_KEY", default="")
SMALLFLEET_TIMESTAMP_KEY = env.str("SMALLFLEET_TIMESTAMP_KEY", default="")
# How long a device takes this server's word for what is the newest; renewed whenever a seventh of it is over.
SMALLFLEET_TIMESTAMP_LIFE_S = env.int("SMALLFLEET_TIMESTAMP_LIFE_S", default=7 * 86_400)

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

# --- How devices come in, and what they prove themselves with ---------------------------------------------------------------------------
SMALLFLEET_ENROLLMENT_TOKEN_MAX_DAYS = env.int("SMALLFLEET_ENROLLMENT_TOKEN_MAX_DAYS", default=30)
SMALLFLEET_ENROLL_WITHOUT_TOKEN = env.bool("SMALLFLEET_ENROLL_WITHOUT_TOKEN", default=False)
SMALLFLEET_MAX_PENDING_DEVICES = env.int("SMALLFLEET_MAX_PENDING_DEVICES", default=100)
SMALLFLEET_PENDING_DEVICE_DAYS = env.int("SMALLFLEET_PENDING_DEVICE_DAYS", default=7)
# 0: a credential is rotated only when an operator asks.
SMALLFLEET_CREDENTIAL_DAYS = env.int("SMALLFLEET_CREDENTIAL_DAYS", default=90)
SMALLFLEET_CLIENT_CERTIFICATE_HEADER = env.str("SMALLFLEET_CLIENT_CERTIFICATE_HEADER", default="")
# How often one asker may ask, as `120/minute` (all at once or spread over it); empty is no limit.
SMALLFLEET_RATES = {
    # By client address: enrollments, and requests with a device's credential that was refused.
    "enroll": env.str("SMALLFLEET_RATE_ENROLL", default="30/minute"),
    "refused": env.str("SMALLFLEET_RATE_REFUSED", default="60/minute"),
    # By device.
    "poll": env.str("SMALLFLEET_RATE_POLL", default="120/minute"),
    "messages": env.str("SMALLFLEET_RATE_MESSAGES", default="120/minute"),
    "artifacts": env.str("SMALLFLEET_RATE_ARTIFACTS", default="240/minute"),
}

# --- Webhooks ---------------------------------------------------------------------------------------------------------------------------
# Networks outside of the public internet that webhooks may be sent to all the same.
SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = env.list("SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS", default=[])
SMALLFLEET_WEBHOOK_ALLOW_HTTP = env.bool("SMALLFLEET_WEBHOOK_ALLOW_HTTP", default=False)

# Networks (or addresses) of the proxies in front, whose X-Forwarded-For and X-Request-ID are believed.
SMALLFLEET_TRUSTED_PROXIES = env.list("SMALLFLEET_TRUSTED_PROXIES", default=[])

# --- Security in browsers ---------------------------------------------------------------------------------------------------------------
# Everything a page needs comes from this server's own files: nothing inline, no other host, no eval.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        # By their digests: an empty style element, which Plotly fills through the CSSOM, and the one of the maps in its bundle.
        "style-src": [
            SELF,
            "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
            "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='",
        ],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "access.problems.csrf_failure"
# What pages say once is kept in the session: no cookie of its own.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- Security behind TLS ----------------------------------------------------------------------------------------------------------------
SMALLFLEET_BEHIND_TLS = env.bool("SMALLFLEET_BEHIND_TLS", default=False)
if SMALLFLEET_BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # Browsers take a cookie of such a name only over TLS, for this host alone and for all paths: no neighbour can plant one.
    SESSION_COOKIE_NAME = "__Host-session"
    CSRF_COOKIE_NAME = "__Host-csrf"

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
