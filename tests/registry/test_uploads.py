"""An upload becomes an artifact, or nothing is left of it."""

from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import AuditRecord
from registry import uploads
from registry.errors import StoreFull, UploadIncomplete
from registry.models import Artifact
from registry.storage import Staged
from registry.storage import store as current_store
from registry.uploads import store_upload
from tests.factories.people import api_as
from tests.factories.registry import contract_bytes, digest, onnx_model, sample_set
from tests.registry.wire import API, assert_problem, files_in, send, upload


@pytest.mark.parametrize(
    ("kind", "content"), [("model", onnx_model()), ("contract", contract_bytes()), ("sample-set", sample_set())]
)
def test_new_file_is_stored_and_described(publisher: APIClient, store: Path, kind: str, content: bytes) -> None:
    response = upload(publisher, content, kind)
    assert response.status_code == 201
    body = response.json()
    assert (body["sha256"], body["size_bytes"], body["kind"]) == (digest(content), len(content), kind)
    assert (body["static_cost"] is not None) == (kind == "model")
    (file,) = files_in(store)
    assert file.read_bytes() == content
    assert str(file).endswith(f"{digest(content)[:2]}/{digest(content)[2:4]}/{digest(content)}")
    assert AuditRecord.objects.filter(action="store_artifact", subject=digest(content)).count() == 1


def test_file_is_served_to_nobody_before_its_check_has_passed(
    publisher: APIClient, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    check = uploads._inspect

    def asking_meanwhile(path: Path, kind: Any) -> Any:
        asked.append(publisher.get(f"{API}/artifacts/sha256/{digest(onnx_model())}").status_code)
        assert not current_store().exists(digest(onnx_model()))
        return check(path, kind)

    monkeypatch.setattr(uploads, "_inspect", asking_meanwhile)
    assert upload(publisher, onnx_model()).status_code == 201
    assert asked == [404]
    monkeypatch.undo()
    broken = onnx_model()[:-20]
    assert upload(publisher, broken).status_code == 422
    assert publisher.get(f"{API}/artifacts/sha256/{digest(broken)}").status_code == 404
    assert all(digest(broken) not in str(file) for file in files_in(store))


def test_model_is_described_by_what_it_costs(publisher: APIClient) -> None:
    cost = upload(publisher, onnx_model()).json()["static_cost"]
    assert cost["macs_total"] == 4 * 8 + 8 * 3
    assert cost["param_bytes"] == 4 * (4 * 8 + 8 * 3)
    assert cost["inputs"] == [{"name": "image", "dtype": "float32", "shape": ["N", 4]}]


def test_same_file_again_is_200_and_changes_nothing(publisher: APIClient, store: Path) -> None:
    upload(publisher, onnx_model())
    before = (files_in(store), AuditRecord.objects.count())
    response = upload(publisher, onnx_model())
    assert (response.status_code, response.json()["sha256"]) == (200, digest(onnx_model()))
    assert (files_in(store), AuditRecord.objects.count()) == before


def test_file_that_the_store_lost_is_put_back_by_the_same_upload(publisher: APIClient, store: Path) -> None:
    upload(publisher, onnx_model())
    address = f"{API}/artifacts/sha256/{digest(onnx_model())}"
    for file in files_in(store):
        file.unlink()
    assert_problem(publisher.get(address), 503, "store-unavailable")
    assert upload(publisher, onnx_model()).status_code == 200
    assert b"".join(publisher.get(address)) == onnx_model()


def test_other_bytes_under_a_stored_digest_are_refused(publisher: APIClient) -> None:
    upload(publisher, onnx_model())
    assert_problem(upload(publisher, b"other bytes", sha256=digest(onnx_model())), 422, "digest-mismatch")


def test_same_bytes_as_another_kind_are_refused(publisher: APIClient) -> None:
    upload(publisher, contract_bytes(), "contract")
    assert_problem(upload(publisher, contract_bytes(), "model"), 409, "kind-differs")


REFUSED: list[tuple[str, str, bytes, int, str]] = [
    ("empty", "model", b"", 422, "artifact-empty"),
    ("no ONNX", "model", b"\x89PNG\r\n\x1a\n" + bytes(1000), 422, "model-invalid"),
    ("text", "model", b"accuracy=0.98\n" * 50, 422, "model-invalid"),
    ("truncated ONNX", "model", onnx_model()[:-40], 422, "model-invalid"),
    ("contract that is no JSON", "contract", b"{", 422, "contract-invalid"),
    ("contract nested too deep", "contract", b"[" * 30_000, 422, "contract-invalid"),
    ("contract without outputs", "contract", b'{"schema": "smallfleet-contract/1"}', 422, "contract-invalid"),
    ("contract above 64 kB", "contract", contract_bytes(note="x" * 64_000), 413, "artifact-too-large"),
    ("samples that are no zip", "sample-set", b"PK\x03\x04 nothing", 422, "sample-set-invalid"),
    ("truncated samples", "sample-set", sample_set()[:-30], 422, "sample-set-invalid"),
]


@pytest.mark.parametrize(
    ("kind", "content", "refusal"), [(*case[1:3], case[3:]) for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_bad_file_is_refused_and_nothing_is_left(
    publisher: APIClient, store: Path, kind: str, content: bytes, refusal: tuple[int, str]
) -> None:
    assert_problem(upload(publisher, content, kind, CONTENT_LENGTH=str(len(content))), *refusal)
    assert files_in(store) == []
    assert not Artifact.objects.exists()


def test_wrong_digest_leaves_nothing_and_names_both(publisher: APIClient, store: Path) -> None:
    claimed = "0" * 64
    body = assert_problem(upload(publisher, onnx_model(), sha256=claimed), 422, "digest-mismatch")
    assert claimed in body["detail"]
    assert digest(onnx_model()) in body["detail"]
    assert files_in(store) == []


def test_file_above_its_cap_is_refused_before_it_is_read(publisher: APIClient, store: Path) -> None:
    with override_settings(SMALLFLEET_MAX_MODEL_BYTES=100):
        assert_problem(upload(publisher, onnx_model()), 413, "artifact-too-large")
    assert files_in(store) == []


def test_upload_without_content_length_is_411(publisher: APIClient) -> None:
    response = upload(publisher, onnx_model(), CONTENT_LENGTH="")
    assert_problem(response, 411, "length-required")


@pytest.mark.parametrize("path", ["/artifacts/sha256/xyz?kind=model", f"/artifacts/sha256/{'A' * 64}?kind=model"])
def test_address_that_is_no_digest_is_400(publisher: APIClient, path: str) -> None:
    assert_problem(send(publisher, "PUT", path, {}), 400, "invalid-input")


@pytest.mark.parametrize("kind", ["", "patch", "../../etc"])
def test_kind_that_is_not_uploaded_is_400(publisher: APIClient, kind: str) -> None:
    assert_problem(upload(publisher, onnx_model(), kind), 400, "invalid-input")


def test_upload_needs_a_valid_token_with_the_scope(store: Path, db: None) -> None:
    stranger = APIClient()
    assert_problem(upload(stranger, onnx_model()), 401, "unauthenticated")
    stranger.credentials(HTTP_AUTHORIZATION="Bearer sft_" + "x" * 43)
    assert_problem(upload(stranger, onnx_model()), 401, "unauthenticated")
    assert_problem(upload(api_as("operator"), onnx_model()), 403, "permission-refused")
    assert files_in(store) == []


class _Cut:
    """A connection that breaks: `error` raises as a reset socket does, else it just ends."""

    def __init__(self, content: bytes, *, error: bool) -> None:
        self.content = content
        self.error = error

    def read(self, size: int, /) -> bytes:
        chunk, self.content = self.content[:size], self.content[size:]
        if not chunk and self.error:
            raise ConnectionResetError
        return chunk


@pytest.mark.parametrize("error", [True, False])
def test_cut_connection_leaves_nothing(store: Path, db: None, *, error: bool) -> None:
    content = onnx_model()
    with pytest.raises(UploadIncomplete):
        store_upload(
            actor=SYSTEM,
            stream=_Cut(content[:100], error=error),
            content_length=len(content),
            claimed_sha256=digest(content),
            kind=Artifact.Kind.MODEL,
        )
    assert files_in(store) == []


def test_unknown_length_number_is_400(publisher: APIClient) -> None:
    assert_problem(upload(publisher, onnx_model(), CONTENT_LENGTH="-5"), 400, "invalid-input")


def test_disk_that_fills_up_is_507_and_nothing_is_left(store: Path, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest file this process may write is smaller than the upload: a real error of the system, as on a full disk."""
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with current_store().stage() as staged, pytest.raises(StoreFull):
            _fill(staged)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert files_in(store) == []


def _fill(staged: Staged) -> None:
    for _ in range(10):
        staged.write(bytes(1000))


def test_artifact_route_knows_no_other_method(publisher: APIClient) -> None:
    response: Any = publisher.post(f"{API}/artifacts/sha256/{'0' * 64}")
    assert_problem(response, 405, "method-not-allowed")
