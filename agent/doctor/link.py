"""Checks of the way to the server: name, TCP, TLS, HTTP; and what only the server can tell: the time, and whether it knows this device."""

import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import agent
from agent import identity
from agent.clock import Clock
from agent.conditions import EARLIEST
from agent.config import Config
from agent.doctor.finding import Finding, Verdict, failed, ok, skipped, warning
from agent.errors import AgentError, NotEnrolled, RequestRefused
from agent.http import PORTS
from agent.layout import Layout
from agent.store import read_state

TIMEOUT_S = 10.0
EXPIRES_SOON_DAYS = 14
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# A clock that is further off than this makes hours of the day wrong; than a day, certificates too.
CLOCK_OFF_S = 60.0
CLOCK_WRONG_S = 86_400.0
# X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH.
OF_TIME, OF_NAME = frozenset({9, 10}), frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to one poll, and the difference between its clock and ours, within `give_or_take_s`."""

    status: int
    ahead_s: float | None
    give_or_take_s: float


def link(config: Config, layout: Layout, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Each stage of the way, as far as the one before it was gone; then credentials and clock."""
    parts = urlsplit(config.server)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    yield _proxy(environment)
    stages: dict[str, Callable[[], Finding]] = {
        "link-dns": lambda: _name(host, port),
        "link-tcp": lambda: _tcp(host, port),
        "link-tls": lambda: _tls(config, parts.scheme, host, port),
    }
    reached = True
    for check, stage in stages.items():
        finding = stage() if reached else skipped(check, "the stage before it failed")
        reached = reached and finding.verdict is not Verdict.FAILED
        yield finding
    answer: Answer | None = None
    if reached:
        finding, answer = _http(config, layout)
        yield finding
    else:
        yield skipped("link-http", "the stage before it failed")
    yield _credentials(config, layout, answer)
    yield clock(answer)


def _proxy(environment: Mapping[str, str]) -> Finding:
    named = [name for name in PROXIES if environment.get(name) or environment.get(name.upper())]
    if not named:
        return ok("link-proxy", "none is set in this environment")
    advice = "the agent connects to its server directly; let it through, or put a reverse proxy's address into `server`"
    return warning("link-proxy", f"{', '.join(named)} is set, and not used", advice)


def _name(host: str, port: int) -> Finding:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return failed(
            "link-dns", f"{host}: {error.strerror or error}", "look at /etc/resolv.conf, and whether the link is up"
        )
    addresses = sorted({str(address[0]) for *_kind, address in found})
    return ok("link-dns", f"{host} is {', '.join(addresses[:4])}")


def _tcp(host: str, port: int) -> Finding:
    started_at = time.monotonic()
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except OSError as error:
        return failed(
            "link-tcp", f"{host}:{port}: {error}", "is the server running, and does a firewall let this device out?"
        )
    return ok("link-tcp", f"{host}:{port} in {(time.monotonic() - started_at) * 1000:.0f} ms")


def _tls(config: Config, scheme: str, host: str, port: int) -> Finding:
    if scheme == "http":
        return skipped("link-tls", "the server is configured as http://")
    try:
        context = config.tls.context()
    except OSError as error:
        advice = "put certificates and key there, as PEM, and the key that belongs to the certificate"
        files = ", ".join(str(file) for file in astuple(config.tls) if file is not None)
        return failed("link-tls", f"{files}: {error}", advice)
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as connected,
            context.wrap_socket(connected, server_hostname=host) as secured,
        ):
            certificate, version = secured.getpeercert() or {}, secured.version()
    except ssl.SSLCertVerificationError as error:
        return failed(
            "link-tls", f"the certificate is not believed: {error.verify_message}", _advice(error.verify_code)
        )
    except OSError as error:
        return failed("link-tls", str(error), "does this port speak TLS?")
    expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    left_days = (expires_at - datetime.now(UTC)).days
    detail = f"{version}, the certificate is good until {expires_at:%Y-%m-%d} ({left_days} days)"
    if left_days < EXPIRES_SOON_DAYS:
        return warning("link-tls", detail, "renew the server's certificate before then, or no device will poll")
    return ok("link-tls", detail)


def _advice(verify_code: int) -> str:
    if verify_code in OF_TIME:
        return "set this device's clock if it is wrong (see `clock`), else renew the server's certificate"
    if verify_code in OF_NAME:
        return "use the name in `server` that the certificate was made for"
    return "put the authority that signed the server's certificate into tls.ca_file"


def _http(config: Config, layout: Layout) -> tuple[Finding, Answer | None]:
    """Poll once as the agent would, with the answer that it remembers: the server notes no more than that it was asked."""
    try:
        credential = identity.read(layout).credential
    except NotEnrolled:
        credential = ""
    state = read_state(layout)
    etag = state.heard.etag if state is not None and state.heard is not None else None
    client = identity.make_client(config, credential=credential, timeout_s=TIMEOUT_S)
    started = _wall_s()
    try:
        headers = {"If-None-Match": etag} if etag else {}
        with client.open("GET", "poll", headers, seconds=4 * TIMEOUT_S) as response:
            ended, status, date = _wall_s(), response.status, response.getheader("Date", "")
    except (AgentError, OSError) as error:
        refused = isinstance(error, RequestRefused)
        return failed(
            "link-http", str(error), "is `server` the address of a Smallfleet server?" if refused else "try again"
        ), None
    finally:
        client.close()
    answer = Answer(status, _ahead_s(str(date), (started + ended) / 2), (ended - started) / 2 + 1)
    detail = f"GET /api/v1/poll was answered with {status} in {(ended - started) * 1000:.0f} ms"
    if status in (200, 304, 401, 403, 409):
        return ok("link-http", detail), answer
    return failed("link-http", detail, "is `server` the address of a Smallfleet server, and is it well?"), answer


def _wall_s() -> float:
    return Clock().local().timestamp()


def _ahead_s(date: str, now: float) -> float | None:
    try:
        return now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _credentials(config: Config, layout: Layout, answer: Answer | None) -> Finding:
    check = "credentials"
    try:
        known = identity.read(layout)
    except NotEnrolled as error:
        return failed(check, str(error), "smallfleet agent enroll --token-file FILE")
    except PermissionError:
        return skipped(check, f"{layout.identity} is not readable for this user; run doctor as the agent's user")
    mode = stat.S_IMODE(layout.identity.stat().st_mode)
    if mode & 0o077:
        return failed(check, f"{layout.identity} can be read by others (mode {mode:o})", f"chmod 600 {layout.identity}")
    if answer is None:
        return skipped(check, f"enrolled as {known.device_id}; whether the server takes it cannot be asked")
    if answer.status == 401:
        return failed(
            check,
            f"the server does not take device {known.device_id}: it was revoked, or another server's",
            f"remove {layout.identity}, then: smallfleet agent enroll --token-file FILE",
        )
    if answer.status == 403:
        detail = f"device {known.device_id} waits for an operator's approval"
        return warning(check, detail, "nothing is to be done here; the agent goes on asking")
    if known.server != config.server:
        return warning(check, f"enrolled with {known.server}, and asks {config.server}", "make sure that is meant")
    return ok(check, f"enrolled as {known.device_id}")


def clock(answer: Answer | None) -> Finding:
    """The wall clock against the server's, or at least against the moment when this program came here."""
    now = Clock().local().astimezone(UTC)
    if now < EARLIEST:
        advice = "set the clock (timedatectl, an NTP server): until then rules about hours of the day do not hold"
        return failed("clock", f"{now:%Y-%m-%d %H:%M} UTC was never set", advice)
    ahead_s = None if answer is None else answer.ahead_s
    if answer is None or ahead_s is None:
        made_at = datetime.fromtimestamp(Path(agent.__file__).stat().st_mtime, UTC)
        if now < made_at:
            return warning("clock", f"{now:%Y-%m-%d %H:%M} UTC is before the agent was installed", "set the clock")
        return ok("clock", f"{now:%Y-%m-%d %H:%M} UTC is possible; no server to compare it with")
    far = abs(ahead_s)
    detail = (
        f"{far:.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the server, give or take {answer.give_or_take_s:.0f} s"
    )
    if far > CLOCK_WRONG_S:
        return failed(
            "clock", detail, "set the clock (timedatectl, an NTP server): certificates and hours depend on it"
        )
    if far > CLOCK_OFF_S + answer.give_or_take_s:
        return warning("clock", detail, "set the clock: rules about hours of the day depend on it")
    return ok("clock", detail)
