"""TLS: the server is believed only by its certificate, and never left for plain HTTP."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.http
from agent.config import Tls
from agent.errors import RedirectRefused, ServerUnavailable
from agent.http import Client
from benchmarks.load.tls_front import make_certificate
from tests.agent.device import Device, SteadyClock, entry
from tests.agent.models import release
from tests.agent.standin import CREDENTIAL, StandIn, stand_in

OLD = release(1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Path) -> Iterator[StandIn]:
    with stand_in(certificate) as running:
        yield running


@pytest.fixture
def secure_device(secure: StandIn, tmp_path: Path, certificate: Path) -> Device:
    made = Device(tmp_path / "device", secure, SteadyClock())
    made.root.mkdir()
    made.configure(f'[tls]\nca_file = "{certificate}"\n')
    made.enroll()
    return made


def test_server_with_the_configured_authority_is_believed(secure_device: Device, secure: StandIn) -> None:
    secure.entries = [entry(secure, OLD, with_samples=False)]
    assert secure_device.cycle().exit_code == 0
    assert secure_device.served() == OLD.model
    raw = next(one for one in secure.details("transferred") if one["way"] == "raw")
    assert len(OLD.model) < raw["bytes_received"] < len(OLD.model) + 400, "HTTP bytes, not those of TLS"


def test_server_without_a_known_authority_hears_nothing(secure_device: Device, secure: StandIn) -> None:
    secure_device.configure()
    assert secure_device.cycle().exit_code == 6
    assert secure.seen == []


def test_redirect_from_https_to_http_is_refused(secure: StandIn, certificate: Path) -> None:
    location = "http://127.0.0.1:1/anything"
    secure.add(b"content")
    secure.misbehave.append(lambda handler, _content: handler.answer(307, Location=location))
    client = Client(secure.url, CREDENTIAL, tls=Tls(certificate))
    [digest] = secure.artifacts
    with pytest.raises(RedirectRefused), client.open("GET", f"artifacts/sha256/{digest}", {}, seconds=5):
        pass


def test_next_connection_resumes_the_session(secure: StandIn, certificate: Path) -> None:
    secure.said = {}
    client = Client(secure.url, CREDENTIAL, tls=Tls(certificate))
    for _poll in range(4):
        client.call("GET", "poll")
        client.close()
    assert secure.resumed == [False, True, True, True]


def test_certificate_is_looked_at_anew_once_a_day(
    secure: StandIn, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure.said = {}
    client = Client(secure.url, CREDENTIAL, tls=Tls(certificate))
    monkeypatch.setattr(agent.http, "FULL_HANDSHAKE_S", 0.0)
    for _poll in range(2):
        client.call("GET", "poll")
        client.close()
    assert secure.resumed == [False, False]


def test_session_with_which_the_handshake_is_cut_off_is_not_offered_again(secure: StandIn, certificate: Path) -> None:
    secure.said = {}
    client = Client(secure.url, CREDENTIAL, tls=Tls(certificate))
    client.call("GET", "poll")
    client.close()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def cut() -> None:
            peer, _ = listener.accept()
            peer.recv(1)
            peer.close()  # with bytes unread: a reset

        thread = threading.Thread(target=cut)
        thread.start()
        client.server = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ServerUnavailable):
            client.call("GET", "poll")
        thread.join()
    client.server = secure.url
    client.call("GET", "poll")
    client.close()
    assert secure.resumed == [False, False]


def test_server_that_forgot_the_session_is_met_with_a_full_handshake(secure: StandIn, certificate: Path) -> None:
    """A restart with other keys, or another machine behind the same name."""
    secure.said = {}
    client = Client(secure.url, CREDENTIAL, tls=Tls(certificate))
    client.call("GET", "poll")
    client.close()
    with stand_in(certificate) as other:
        other.said = {}
        client.server = other.url
        client.call("GET", "poll")
        client.close()
        assert other.resumed == [False]
