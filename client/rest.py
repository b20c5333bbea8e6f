"""The REST API as methods: problems become exceptions, transfers are streamed, what may be repeated is repeated.

Repeated on a lost connection and on 429, 502, 503 and 504 is only what the server takes as harmless twice: GET, HEAD, PUT, DELETE, and the
POSTs that the caller marks. The token goes to the configured server alone: API calls follow no redirect, and a download's redirect
to another origin is followed without it.
"""

import email.utils
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from client.about import version
from client.addresses import is_loopback
from client.errors import ConfigError, LocalFileError, Refused, ServerError
from client.files import sha256_of
from client.progress import Progress, no_progress

Json = dict[str, Any]

TRIES = 4
BACKOFF_S = 0.5
# A server that asks for a longer pause than this is reported as unavailable instead.
LONGEST_PAUSE_S = 60.0
TRANSIENT = frozenset({429, 502, 503, 504})
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
# The answer to an upload comes after the model has been checked.
UPLOAD_TIMEOUT = httpx.Timeout(660.0, connect=10.0)
PAGE = 100
CHUNK_BYTES = 256 * 1024


class RestClient:
    """One server, one token. Use as a context manager, or call `close`.

    Every method raises `Refused` for a 4xx answer and `ServerError` for none, a 5xx or an answer that is not ours.
    """

    def __init__(
        self, server: str, *, token: str | None = None, sleep: Callable[[float], None] = time.sleep, tries: int = TRIES
    ) -> None:
        self.server = server.rstrip("/")
        headers = {"User-Agent": f"smallfleet/{version()}", "Accept": "application/json, application/problem+json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._http = httpx.Client(
                base_url=f"{self.server}/api/v1/",
                headers=headers,
                timeout=TIMEOUT,
                # HTTP_PROXY is about other machines.
                trust_env=not is_loopback(self.server),
            )
        except httpx.InvalidURL as error:
            raise ConfigError(f"{server!r} is no address of a server: {error}") from error
        self._sleep = sleep
        self._tries = tries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **query: str | int | None) -> Json:
        """The JSON at `path`, relative to `/api/v1/`, and an empty object for 204; query values of None are left out."""
        return self._json(self._request("GET", path, params=_present(query)))

    def post(self, path: str, body: Json | None = None, *, idempotent: bool = False) -> Json:
        """POST `body`; `idempotent` says that the server takes the same request twice as once."""
        return self._json(self._request("POST", path, json=body or {}, repeatable=idempotent))

    def put(self, path: str, body: Json) -> tuple[Json, bool]:
        """PUT `body`; the answer, and whether something was created."""
        response = self._request("PUT", path, json=body)
        return self._json(response), response.status_code == httpx.codes.CREATED

    def put_bytes(self, path: str, content: bytes) -> None:
        """PUT a small document as it is: its bytes are signed."""
        self._request("PUT", path, content=content, headers={"Content-Type": "application/json"})

    def patch(self, path: str, body: Json) -> Json:
        """PATCH with `body`; never repeated."""
        return self._json(self._request("PATCH", path, json=body, repeatable=False))

    def delete(self, path: str) -> None:
        """DELETE `path`."""
        self._request("DELETE", path)

    def pages(self, path: str, **query: str | int | None) -> Iterator[Json]:
        """Every result of a list, page by page."""
        seen = 0
        while True:
            page = self.get(path, **(query | {"limit": PAGE, "offset": seen}))
            yield from page["results"]
            seen += len(page["results"])
            # By our own count and never by the server's `next`, which could name another host.
            if not page["results"] or seen >= page["count"]:
                return

    def lines(self, path: str, **query: str | int | None) -> Iterator[str]:
        """The lines of the text at `path` as they come, which is never in memory as a whole; not repeated."""
        accept = {"Accept": "application/x-ndjson, application/problem+json"}
        try:
            with self._http.stream("GET", path, params=_present(query), headers=accept) as response:
                if not response.is_success:
                    response.read()
                    self._raise_problem(response, frozenset())
                yield from response.iter_lines()
        except httpx.RequestError as error:
            raise ServerError(f"{self.server} hung up: {str(error) or type(error).__name__}") from error

    def find(self, path: str) -> Json | None:
        """The JSON at `path`, or None where the server says that there is no such thing."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def put_study(self, model: str, document: Json) -> bool:
        """Put a study's document by `smallfleet-study/1` in the place of the one before; whether the study is new."""
        return self.put(f"models/{model}/studies/{document['name']}", document)[1]

    def get_study(self, model: str, name: str) -> Json:
        """The study, with what it measured under `document`."""
        return self.get(f"models/{model}/studies/{name}")

    def list_studies(self, model: str) -> Iterator[Json]:
        """The studies of a model line, without their documents."""
        return self.pages(f"models/{model}/studies")

    def has_artifact(self, sha256: str) -> bool:
        """Whether the server holds the artifact."""
        # 307: it does, in an object store.
        response = self._request("HEAD", f"artifacts/sha256/{sha256}", accept=frozenset({307, 404}))
        return response.status_code != httpx.codes.NOT_FOUND

    def upload(self, file: Path, *, sha256: str, kind: str, progress: Progress = no_progress) -> Json:
        """Stream `file` to its digest; never in memory as a whole.

        Raises:
            LocalFileError: the file cannot be read, or changed while it was sent.
        """
        size = file.stat().st_size

        def content() -> Iterator[bytes]:
            sent = 0
            with file.open("rb") as source, progress(f"upload {file.name}", size) as advance:
                while chunk := source.read(CHUNK_BYTES):
                    sent += len(chunk)
                    if sent > size:
                        break
                    yield chunk
                    advance(len(chunk))
            if sent != size:
                raise LocalFileError(f"{file}: the file changed while it was sent")

        return self._json(
            self._request(
                "PUT",
                f"artifacts/sha256/{sha256}",
                params={"kind": kind},
                headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"},
                stream=content,
                timeout=UPLOAD_TIMEOUT,
            )
        )

    def download(self, sha256: str, target: Path, *, progress: Progress = no_progress) -> int:
        """Write the artifact to `target`, verified; its size in bytes. Nothing stays at `target` when that fails.

        Raises:
            ServerError: the received bytes have another digest.
        """
        self._repeat(lambda: self._download_once(sha256, target, progress), repeatable=True)
        received = sha256_of(target)
        if received != sha256:
            target.unlink()
            raise ServerError(
                f"{self.server} sent other bytes than asked for: expected sha256 {sha256}, got {received}"
            )
        return target.stat().st_size

    def _download_once(self, sha256: str, target: Path, progress: Progress) -> httpx.Response:
        # httpx drops Authorization when a redirect leaves the origin; tests/client holds it to that.
        with self._http.stream("GET", f"artifacts/sha256/{sha256}", follow_redirects=True) as response:
            if not response.is_success:
                response.read()
                return response
            size = int(response.headers.get("Content-Length", 0))
            try:
                with target.open("wb") as file, progress(f"download {sha256[:12]}", size) as advance:
                    for chunk in response.iter_bytes(CHUNK_BYTES):
                        file.write(chunk)
                        advance(len(chunk))
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            return response

    def _request(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        accept: frozenset[int] = frozenset(),
        stream: Callable[[], Iterator[bytes]] | None = None,
        content: bytes | None = None,
        **options: Any,
    ) -> httpx.Response:
        def send() -> httpx.Response:
            return self._http.request(method, path, content=stream() if stream else content, **options)

        return self._repeat(send, repeatable=repeatable, accept=accept)

    def _repeat(
        self, send: Callable[[], httpx.Response], *, repeatable: bool, accept: frozenset[int] = frozenset()
    ) -> httpx.Response:
        for attempt in range(1, self._tries + 1):
            last = attempt == self._tries
            pause = BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
            try:
                response = send()
            except httpx.RequestError as error:
                # A connection that never came about carried no request, so any method may be tried again.
                if last or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise ServerError(f"cannot reach {self.server}: {str(error) or type(error).__name__}") from error
            else:
                asked = _retry_after(response)
                if last or not repeatable or response.status_code not in TRANSIENT or asked > LONGEST_PAUSE_S:
                    self._raise_problem(response, accept)
                    return response
                pause = max(pause, asked)
            self._sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _raise_problem(self, response: httpx.Response, accept: frozenset[int]) -> None:
        status = response.status_code
        if response.is_success or status in accept:
            return
        if response.is_redirect:
            raise ServerError(f"{self.server} redirects to {response.headers.get('Location')}: use that as the server")
        refused = _problem(response)
        if response.is_client_error:
            raise refused
        raise ServerError(f"{self.server} failed: {refused}")

    def _json(self, response: httpx.Response) -> Json:
        if response.status_code == httpx.codes.NO_CONTENT:
            return {}
        try:
            document = response.json()
        except ValueError as error:
            raise ServerError(f"{response.url} did not answer with JSON: is this a Smallfleet server?") from error
        if not isinstance(document, dict):
            raise ServerError(f"{response.url} answered with {type(document).__name__}, expected an object")
        return document


def _problem(response: httpx.Response) -> Refused:
    """The answer's problem document, or the little that the status says where there is none."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    return Refused(
        problem_type=str(document.get("type", "about:blank")),
        title=str(document.get("title", response.reason_phrase or "refused")),
        status=response.status_code,
        detail=str(document.get("detail", "")),
        errors=[(str(e.get("field", "")), str(e.get("message", ""))) for e in document.get("errors", ())],
    )


def _retry_after(response: httpx.Response) -> float:
    """Seconds that `Retry-After` asks for, 0 where it says nothing (RFC 9110 section 10.2.3: seconds or a date)."""
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _present(query: dict[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in query.items() if value is not None}
