"""agent.toml and the environment, read into one frozen dataclass. A wrong value is exit code 2 and names its key.

The environment wins: `SMALLFLEET_AGENT_SERVER`, `..._STATE_DIR`, `..._NAME`, `..._DEVICE_CLASS`, `..._POLL_INTERVAL_S` and
`..._ALLOW_INSECURE` stand for the top-level keys of the same name. Everything else comes from the file alone. Keys that are
not known are wrong, so that a misspelt limit does not silently leave the default in force.
"""

import ipaddress
import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args
from urllib.parse import urlsplit

from agent.errors import WrongConfiguration
from agent.hours import Hours
from agent.toml_table import Table
from agent.wire import SHA256
from benchmarks.configurations import CONFIGURATION_NAMES, DEFAULT_PROVIDERS, ConfigurationName
from benchmarks.tiers import MAX_PROCESSES, TIER_NAMES, Tier

DEFAULT_PATH = Path("/etc/smallfleet/agent.toml")
ENVIRONMENT_PREFIX = "SMALLFLEET_AGENT_"
ENVIRONMENT_KEYS = ("server", "state_dir", "name", "device_class", "serial", "poll_interval_s", "allow_insecure")
GIB = 1 << 30
# A model line's name is used as a directory name, so this is also what keeps paths inside the state directory.
MODEL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")

MeteredDownloads = Literal["allow", "night", "never"]
SandboxRule = Literal["required", "if-available"]
SANDBOX_RULES: tuple[SandboxRule, ...] = get_args(SandboxRule)
METERED_DOWNLOADS: tuple[MeteredDownloads, ...] = get_args(MeteredDownloads)
NIGHT = Hours(22 * 3600.0, 6 * 3600.0)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the device's owner allows, whatever the server asks; `agent/policy.py` has the rules.

    `metered` is `None` where the agent finds out by itself whether the link is paid by the byte. MB are 10^6 bytes.
    """

    max_delta_wait_s: float = 3600.0
    retry_failed_s: float = 600.0
    metered: bool | None = None
    metered_interfaces: tuple[str, ...] = ()
    metered_downloads: MeteredDownloads = "allow"
    metered_mb_per_day: float | None = None
    mb_per_day: float | None = None
    night: Hours = NIGHT
    quiet_hours: tuple[Hours, ...] = ()
    free_disk_mb: float = 0.0
    battery_percent: float = 0.0
    max_temperature_c: float | None = None
    busy_hook: tuple[str, ...] = ()
    busy_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Download:
    """Limits of transfers. `timeout_s` is how long one read may stay without a byte."""

    rate_limit_bytes_per_s: int | None = None
    max_artifact_bytes: int = 2 * GIB
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Children:
    """Limits of the child processes that decode, check and run models, and of the hooks.

    `sandbox`: whether patches are decoded at all on a kernel that cannot filter system calls.
    """

    memory_limit_mib: int = 1024
    timeout_s: float = 900.0
    nice: int = 10
    sandbox: SandboxRule = "required"


@dataclass(frozen=True, slots=True)
class Bench:
    """The benchmark after an activation: one report for each configuration.

    `processes` is how often each run is repeated, by tier without; `providers` are execution providers in order of preference; `watts` are
    those of the device class under load, where somebody measured them.
    """

    enabled: bool = True
    tier: Tier = "quick"
    configurations: tuple[ConfigurationName, ...] = ("canonical",)
    processes: int | None = None
    providers: tuple[str, ...] = DEFAULT_PROVIDERS
    watts: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands of the device's owner around an activation, each ended after `timeout_s`; the server cannot set them.

    After a switch the health hook is asked `health_checks` times, the first time after `health_settle_s`.
    """

    pre_activate: tuple[str, ...] = ()
    post_activate: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    timeout_s: float = 60.0
    health_settle_s: float = 5.0
    health_checks: int = 1
    health_interval_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Shadow:
    """The run of candidate and current model on the same inputs before an activation; a limit that is `None` vetoes nothing.

    `max_latency_ms` and `max_memory_mib` bound the candidate by itself, so they hold for a first install too.
    """

    enabled: bool = False
    inputs: Path | None = None
    min_samples: int = 8
    max_samples: int = 64
    max_disagreement: float | None = None
    max_abs_error: float | None = None
    max_latency_ratio: float | None = None
    max_latency_ms: float | None = None
    max_memory_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """The authority that signed the server's certificate, and the certificate that this device shows, each as a PEM file."""

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    def context(self, *, at_home: bool = True) -> ssl.SSLContext:
        """A fresh context for connections. The own certificate is shown to the server when it asks, and `at_home` alone.

        Raises:
            OSError: a file is not there, is no PEM, or the key is not the certificate's.
        """
        made = ssl.create_default_context(cafile=self.ca_file)
        if self.client_cert is not None and at_home:
            made.load_cert_chain(self.client_cert, self.client_key)
        return made


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `models` are the model lines the device wants; nothing else is ever installed."""

    server: str
    state_dir: Path
    name: str
    device_class: str
    models: tuple[str, ...]
    poll_interval_s: float | None = None
    allow_insecure: bool = False
    runtime_dir: Path = Path("/run/smallfleet")
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    policy: Policy = Policy()
    download: Download = Download()
    children: Children = Children()
    bench: Bench = Bench()
    serial: str = ""
    tls: Tls = Tls()
    hooks: Hooks = Hooks()
    shadow: Shadow = Shadow()
    # The digest of the first trusted root, by model line.
    roots: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read the configuration file and the environment.

    Raises:
        WrongConfiguration: the file cannot be read, or a value is missing or wrong.
    """
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise WrongConfiguration(str(path), f"cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongConfiguration(str(path), f"cannot be read as TOML: {error}") from error
    return _config(Table("", document | _from_environment(os.environ if environment is None else environment)))


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key in ENVIRONMENT_KEYS:
        text = environment.get(ENVIRONMENT_PREFIX + key.upper())
        if text is not None:
            found[key] = _typed(key, text)
    return found


def _typed(key: str, text: str) -> object:
    if key == "poll_interval_s":
        try:
            return float(text)
        except ValueError:
            raise WrongConfiguration(key, f"must be seconds, the environment says {text!r}") from None
    if key == "allow_insecure":
        if text.lower() not in ("true", "false", "1", "0"):
            raise WrongConfiguration(key, f"must be true or false, the environment says {text!r}")
        return text.lower() in ("true", "1")
    return text


def _config(table: Table) -> Config:
    allow_insecure = table.boolean("allow_insecure", default=False)
    models = _models(table)
    config = Config(
        server=_server(table, allow_insecure=allow_insecure),
        state_dir=_absolute(table, "state_dir", default="/var/lib/smallfleet"),
        name=table.text("name", most=100),
        device_class=table.text("device_class", most=64),
        models=models,
        poll_interval_s=table.optional_number("poll_interval_s", least=0.1, most=86_400),
        allow_insecure=allow_insecure,
        runtime_dir=_absolute(table, "runtime_dir", default="/run/smallfleet"),
        attributes=MappingProxyType(table.table("attributes").text_values()),
        policy=_policy(table.table("policy")),
        download=_download(table.table("download")),
        children=_children(table.table("children")),
        bench=_bench(table.table("bench")),
        serial=table.text("serial", "-", most=100).removeprefix("-"),
        tls=_tls(table.table("tls")),
        hooks=_hooks(table.table("hooks")),
        shadow=_shadow(table.table("shadow")),
        roots=_roots(table.table("trust"), models),
    )
    table.finish()
    return config


def _roots(table: Table, models: tuple[str, ...]) -> Mapping[str, str]:
    digests = table.table("roots")
    roots = {model: digests.text(model) for model in models if digests.has(model)}
    for model, digest in roots.items():
        if not SHA256.fullmatch(digest):
            raise digests.wrong(model, f"must be the sha256 of a root file in lower-case hex, is {digest[:80]!r}")
    digests.finish()
    table.finish()
    return MappingProxyType(roots)


def _server(table: Table, *, allow_insecure: bool) -> str:
    server = table.text("server").rstrip("/")
    parts = urlsplit(server)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise table.wrong("server", f"must be an address like https://fleet.example.org, is {server!r}")
    if parts.scheme == "http" and not (allow_insecure or is_loopback(parts.hostname)):
        raise table.wrong(
            "server", "http:// would send the credential in clear: use https://, or allow_insecure = true"
        )
    return server


def is_loopback(host: str) -> bool:
    """Whether a host name can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _models(table: Table) -> tuple[str, ...]:
    models = table.texts("models")
    for model in models:
        if not MODEL_NAME.fullmatch(model):
            raise table.wrong("models", f"{model!r} is no name of a model line (a-z, 0-9, '.', '_', '-')")
    if not models or len(set(models)) != len(models):
        raise table.wrong("models", "must name at least one model line, each once")
    return models


def _absolute(table: Table, key: str, *, default: str) -> Path:
    path = Path(table.text(key, default))
    if not path.is_absolute():
        raise table.wrong(key, f"must be an absolute path, is {str(path)!r}")
    return path


def _policy(table: Table) -> Policy:
    policy = Policy(
        max_delta_wait_s=table.number("max_delta_wait_s", Policy().max_delta_wait_s, least=0, most=30 * 86_400),
        retry_failed_s=table.number("retry_failed_s", Policy().retry_failed_s, least=0, most=86_400),
        metered=_metered(table),
        metered_interfaces=table.texts("metered_interfaces"),
        metered_downloads=_metered_downloads(table),
        metered_mb_per_day=table.optional_number("metered_mb_per_day", least=0.1, most=1e9),
        mb_per_day=table.optional_number("mb_per_day", least=0.1, most=1e9),
        night=_night(table),
        quiet_hours=tuple(_hours(table, "quiet_hours", text) for text in table.texts("quiet_hours")),
        free_disk_mb=table.number("free_disk_mb", 0, least=0, most=1e9),
        battery_percent=table.number("battery_percent", 0, least=0, most=100),
        max_temperature_c=table.optional_number("max_temperature_c", least=-40, most=150),
        busy_hook=table.command("busy_hook"),
        busy_timeout_s=table.number("busy_timeout_s", Policy().busy_timeout_s, least=0.1, most=600),
    )
    table.finish()
    return policy


def _metered(table: Table) -> bool | None:
    if table.is_text("metered"):
        if table.text("metered") != "auto":
            raise table.wrong("metered", 'must be true, false or "auto"')
        return None
    return table.boolean("metered", default=False) if table.has("metered") else None


def _metered_downloads(table: Table) -> MeteredDownloads:
    wanted = table.text("metered_downloads", Policy().metered_downloads)
    chosen = next((name for name in METERED_DOWNLOADS if name == wanted), None)
    if chosen is None:
        raise table.wrong("metered_downloads", f"must be one of {', '.join(METERED_DOWNLOADS)}, is {wanted!r}")
    return chosen


def _night(table: Table) -> Hours:
    return _hours(table, "night", table.text("night", str(Policy().night)))


def _hours(table: Table, key: str, text: str) -> Hours:
    try:
        return Hours.parse(text)
    except ValueError as error:
        raise table.wrong(key, f"{error}, is {text!r}") from error


def _download(table: Table) -> Download:
    rate = table.integer("rate_limit_bytes_per_s", 0, least=1, most=1 << 40)
    download = Download(
        rate_limit_bytes_per_s=rate or None,
        max_artifact_bytes=table.integer("max_artifact_bytes", Download().max_artifact_bytes, least=1, most=2 * GIB),
        timeout_s=table.number("timeout_s", Download().timeout_s, least=0.1, most=600),
    )
    table.finish()
    return download


def _children(table: Table) -> Children:
    children = Children(
        memory_limit_mib=table.integer("memory_limit_mib", Children().memory_limit_mib, least=64, most=1 << 20),
        timeout_s=table.number("timeout_s", Children().timeout_s, least=1, most=86_400),
        nice=table.integer("nice", Children().nice, least=0, most=19),
        sandbox=_sandbox(table),
    )
    table.finish()
    return children


def _sandbox(table: Table) -> SandboxRule:
    wanted = table.text("sandbox", Children().sandbox)
    rule = next((rule for rule in SANDBOX_RULES if rule == wanted), None)
    if rule is None:
        raise table.wrong("sandbox", f"must be one of {', '.join(SANDBOX_RULES)}, is {wanted!r}")
    return rule


def _bench(table: Table) -> Bench:
    wanted = table.text("tier", Bench().tier)
    tier = next((name for name in TIER_NAMES if name == wanted), None)
    if tier is None:
        raise table.wrong("tier", f"must be one of {', '.join(TIER_NAMES)}, is {wanted!r}")
    bench = Bench(
        enabled=table.boolean("enabled", default=True),
        tier=tier,
        configurations=_configurations(table),
        processes=table.integer("processes", 0, least=1, most=MAX_PROCESSES) or None,
        providers=_providers(table),
        watts=table.optional_number("watts", least=0, most=10_000),
    )
    table.finish()
    return bench


def _configurations(table: Table) -> tuple[ConfigurationName, ...]:
    wanted = table.texts("configurations") or Bench().configurations
    known = tuple(name for name in CONFIGURATION_NAMES if name in wanted)
    if len(known) != len(wanted):
        raise table.wrong(
            "configurations", f"must be of {', '.join(CONFIGURATION_NAMES)}, each once, is {list(wanted)}"
        )
    return known


def _providers(table: Table) -> tuple[str, ...]:
    providers = table.texts("providers") or DEFAULT_PROVIDERS
    if len(set(providers)) != len(providers):
        raise table.wrong("providers", "must name each execution provider once")
    return providers


def _tls(table: Table) -> Tls:
    tls = Tls(_file(table, "ca_file"), _file(table, "client_cert"), _file(table, "client_key"))
    table.finish()
    if (tls.client_cert is None) != (tls.client_key is None):
        raise table.wrong("client_key", "must stand beside client_cert, and the other way round")
    return tls


def _file(table: Table, key: str) -> Path | None:
    path = Path(table.text(key, "-"))
    if str(path) == "-":
        return None
    if not path.is_file():
        raise table.wrong(key, f"{str(path)!r} is no file")
    return path


def _hooks(table: Table) -> Hooks:
    hooks = Hooks(
        pre_activate=table.command("pre_activate"),
        post_activate=table.command("post_activate"),
        health=table.command("health"),
        timeout_s=table.number("timeout_s", Hooks().timeout_s, least=0.1, most=3600),
        health_settle_s=table.number("health_settle_s", Hooks().health_settle_s, least=0, most=3600),
        health_checks=table.integer("health_checks", Hooks().health_checks, least=1, most=100),
        health_interval_s=table.number("health_interval_s", Hooks().health_interval_s, least=0, most=600),
    )
    table.finish()
    return hooks


def _shadow(table: Table) -> Shadow:
    inputs = table.text("inputs", "-")
    if inputs != "-" and not Path(inputs).is_absolute():
        raise table.wrong("inputs", f"must be the absolute path of a folder, is {inputs!r}")
    shadow = Shadow(
        enabled=table.boolean("enabled", default=False),
        inputs=None if inputs == "-" else Path(inputs),
        min_samples=table.integer("min_samples", Shadow().min_samples, least=1, most=1000),
        max_samples=table.integer("max_samples", Shadow().max_samples, least=1, most=1000),
        max_disagreement=table.optional_number("max_disagreement", least=0, most=1),
        max_abs_error=table.optional_number("max_abs_error", least=0, most=1e30),
        max_latency_ratio=table.optional_number("max_latency_ratio", least=0.01, most=1000),
        max_latency_ms=table.optional_number("max_latency_ms", least=0.001, most=3_600_000),
        max_memory_mib=table.optional_number("max_memory_mib", least=0.1, most=1 << 20),
    )
    if shadow.max_samples < shadow.min_samples:
        raise table.wrong("max_samples", f"must be at least min_samples, which is {shadow.min_samples}")
    table.finish()
    return shadow
