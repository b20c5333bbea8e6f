"""A device with a client certificate: the real agent, a real TLS proxy that verifies it, the real server that is told which it was."""

import hashlib
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from agent.errors import Unauthenticated
from benchmarks.load.tls_front import make_certificate
from client.processes import free_port, smallfleet
from client.stack import Stack

ENVIRONMENT = {"SMALLFLEET_CLIENT_CERTIFICATE_HEADER": "Client-Cert", "SMALLFLEET_TRUSTED_PROXIES": "127.0.0.1"}


def certificate_in(folder: Path) -> Path:
    folder.mkdir()
    return make_certificate(folder)


@dataclass(frozen=True, slots=True)
class Site:
    """A server behind its proxy, and the certificates that the proxy knows."""

    stack: Stack
    url: str
    server_pem: Path
    device_pem: Path
    thief_pem: Path

    def configure(self, folder: Path, client_pem: Path | None) -> Path:
        """The configuration of a device that shows this certificate."""
        shown = "" if client_pem is None else f'client_cert = "{client_pem}"\nclient_key = "{client_pem}"\n'
        file = folder / "agent.toml"
        file.write_text(
            f'server = "{self.url}"\nstate_dir = "{folder}/state"\nname = "gate"\ndevice_class = "pi5"\n'
            f'models = ["digits"]\n[tls]\nca_file = "{self.server_pem}"\n{shown}'
        )
        return file

    def agent(self, action: str, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = smallfleet("agent", action, "--config", str(config), *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("site")
    server_pem, device_pem, thief_pem = (certificate_in(folder / name) for name in ("server", "device", "thief"))
    clients_pem = folder / "clients.pem"
    clients_pem.write_text(device_pem.read_text() + thief_pem.read_text())
    port, behind = free_port(), free_port()
    with Stack(folder / "stack", port=behind, environment=ENVIRONMENT, worker=False) as stack:
        command = [sys.executable, "-m", "tests.flows.certificate_proxy", str(port), str(behind)]
        stack.children.start("proxy", *command, str(server_pem), str(clients_pem))
        trust = ssl.create_default_context(cafile=server_pem)

        def answers() -> bool:
            try:
                return httpx.get(f"https://127.0.0.1:{port}/login/", verify=trust, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        stack.children.wait_until("proxy", answers)
        yield Site(stack, f"https://127.0.0.1:{port}", server_pem, device_pem, thief_pem)


def test_device_is_bound_to_the_certificate_it_enrolled_with(site: Site, tmp_path: Path) -> None:
    with site.stack.rest() as rest:
        site.stack.trust("digits")
        token = site.stack.cli_json("enroll-token", "--name", "gate", "--model", "digits")["token"]
        config = site.configure(tmp_path, site.device_pem)
        (tmp_path / "token").write_text(token)
        enrolled = site.agent("enroll", config, "--token-file", str(tmp_path / "token"))
        assert enrolled.returncode == 0, enrolled.stderr
        device_id = json.loads((tmp_path / "state/identity.json").read_bytes())["device_id"]
        der = ssl.PEM_cert_to_DER_cert(site.device_pem.read_text().partition("-----BEGIN PRIVATE")[0])
        assert rest.get(f"devices/{device_id}")["certificate_sha256"] == hashlib.sha256(der).hexdigest()
    assert site.agent("once", config).returncode == 0
    # The credential alone, stolen from the disk, and with another certificate that the proxy accepts.
    for client_pem in (None, site.thief_pem):
        refused = site.agent("once", site.configure(tmp_path, client_pem))
        assert refused.returncode == Unauthenticated.exit_code, refused.stderr
    assert site.agent("once", site.configure(tmp_path, site.device_pem)).returncode == 0


def test_header_that_a_client_writes_itself_is_dropped(site: Site) -> None:
    der = ssl.PEM_cert_to_DER_cert(site.device_pem.read_text().partition("-----BEGIN PRIVATE")[0])
    headers = {"Client-Cert": hashlib.sha256(der).hexdigest()}
    trust = ssl.create_default_context(cafile=site.server_pem)
    answer = httpx.get(f"{site.url}/api/v1/poll", headers=headers, verify=trust, trust_env=False)
    assert answer.status_code == 401
