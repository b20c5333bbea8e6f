"""A TUF client that we did not write updates from our endpoint: `tuf.ngclient.Updater`, used as its documentation shows.

https://theupdateframework.readthedocs.io/en/latest/api/tuf.ngclient.html; its `fetcher` parameter adds the Authorization header, nothing else.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient
from tuf.api.exceptions import BadVersionNumberError, DownloadHTTPError, ExpiredMetadataError, UnsignedMetadataError
from tuf.api.metadata import Root
from tuf.ngclient import FetcherInterface, Updater

from registry.models import MetadataFile
from registry.trust.services import renew_metadata
from tests.factories.people import make_person, token_of
from tests.factories.registry import onnx_model
from tests.factories.trust import SignedLine, new_key, target_of
from tests.registry.trust.conftest import Home
from tests.registry.wire import put_metadata, send, sign_targets

pytestmark = pytest.mark.django_db(transaction=True)


class BearerFetcher(FetcherInterface):
    """Fetches with a token, as python-tuf's own fetcher does without one."""

    def __init__(self, token: str) -> None:
        self._pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"})

    def _fetch(self, url: str) -> Iterator[bytes]:
        response = self._pool.request("GET", url, preload_content=False)
        if response.status >= 400:
            response.close()
            raise DownloadHTTPError(f"HTTP {response.status}", response.status)
        return self._chunks(response)

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from response.stream(10_000)
        finally:
            response.release_conn()

    def close(self) -> None:
        """Drop the connections that are kept."""
        self._pool.clear()


class Client:
    """A device of somebody else's make: folders, a first root, and an Updater for each look."""

    def __init__(self, folder: Path, url: str, token: str, bootstrap: bytes) -> None:
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        self.url, self.bootstrap = f"{url}/api/v1/models/digits", bootstrap
        self.fetcher = BearerFetcher(token)

    def updater(self) -> Updater:
        return Updater(
            metadata_dir=str(self.metadata),
            metadata_base_url=f"{self.url}/metadata/",
            target_dir=str(self.targets),
            target_base_url=f"{self.url}/targets/",
            fetcher=self.fetcher,
            bootstrap=self.bootstrap,
        )

    def install(self, path: str) -> bytes:
        updater = self.updater()
        updater.refresh()
        target = updater.get_targetinfo(path)
        assert target is not None
        return Path(updater.download_target(target)).read_bytes()

    def version(self, role: str) -> int:
        """Of what the client has verified and keeps."""
        version: int = json.loads((self.metadata / f"{role}.json").read_bytes())["signed"]["version"]
        return version


@pytest.fixture
def client_of_others(tmp_path: Path, live_server: LiveServer, home: Home) -> Iterator[Client]:
    """A client that trusts the first root."""
    client = Client(tmp_path, live_server.url, token_of(make_person("viewer")), home.signed.root_bytes())
    yield client
    client.fetcher.close()


def test_client_initialises_refreshes_and_downloads_a_target(client_of_others: Client, home: Home) -> None:
    assert client_of_others.install("1.0.0/fp32") == onnx_model(0)
    info = client_of_others.updater().get_targetinfo("1.0.0/fp32")
    assert info is not None
    assert info.custom == target_of(home.fp32).custom
    assert client_of_others.updater().get_targetinfo("1.0.0/int8") is None


def test_client_follows_a_rotation_of_root_and_publisher_and_a_renewal(
    client_of_others: Client, publisher: APIClient, home: Home
) -> None:
    assert client_of_others.install("1.0.0/fp32") == onnx_model(0)
    old, fresh = home.signed.publishers[0], new_key()

    def replace(root: Root) -> None:
        root.revoke_key(old.public_key.keyid, "targets")
        root.add_key(fresh.public_key, "targets")

    content = home.signed.next_root(replace, root_keys=[new_key()])
    assert put_metadata(publisher, "digits", "2.root.json", content).status_code == 201
    with pytest.raises(UnsignedMetadataError):
        client_of_others.updater().refresh()  # the new publisher has not signed yet

    home.signed.publishers = [fresh]
    assert sign_targets(publisher, home.signed, target_of(home.int8)).status_code == 201
    assert client_of_others.install("1.0.0/int8") == onnx_model(1)
    assert (client_of_others.version("root"), client_of_others.version("targets")) == (2, 2)

    MetadataFile.objects.filter(role__in=["timestamp", "snapshot"]).update(expires_at=timezone.now())
    assert renew_metadata() == 1
    client_of_others.updater().refresh()
    assert (client_of_others.version("timestamp"), client_of_others.version("snapshot")) == (4, 4)


def test_client_follows_a_change_of_the_servers_online_keys(
    client_of_others: Client, publisher: APIClient, home: Home, settings: object, tmp_path: Path
) -> None:
    client_of_others.updater().refresh()
    settings.SMALLFLEET_KEYS = str(tmp_path / "other")  # type: ignore[attr-defined]
    fresh = send(publisher, "GET", "/trust/online-keys").json()
    content = home.signed.next_root(lambda root: SignedLine.name_online_keys(root, fresh))
    assert put_metadata(publisher, "digits", "2.root.json", content).status_code == 201
    assert client_of_others.install("1.0.0/fp32") == onnx_model(0)


def test_client_refuses_what_a_restored_server_says(client_of_others: Client, publisher: APIClient, home: Home) -> None:
    before = list(MetadataFile.objects.exclude(role="root"))
    assert sign_targets(publisher, home.signed, target_of(home.int8)).status_code == 201
    client_of_others.updater().refresh()
    MetadataFile.objects.exclude(role="root").delete()
    MetadataFile.objects.bulk_create(before)
    with pytest.raises(BadVersionNumberError):
        client_of_others.updater().refresh()


def test_client_refuses_an_expired_timestamp(client_of_others: Client, home: Home, settings: object) -> None:
    settings.SMALLFLEET_TIMESTAMP_LIFE_S = 0  # type: ignore[attr-defined]
    MetadataFile.objects.filter(role="timestamp").update(expires_at=timezone.now())
    assert renew_metadata() == 1
    with pytest.raises(ExpiredMetadataError):
        client_of_others.updater().refresh()
