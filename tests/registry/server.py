"""A real gunicorn with a database and a store of its own, for tests that watch the process or its sockets."""

import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from client.processes import Children, free_port
from tests.registry.memory import children_of

ROOT = Path(__file__).parents[2]
_TOKEN = """
from tests.factories.people import make_person, token_of
print("token", token_of(make_person("publisher", "ci"), "read", "publish"))
"""


@dataclass(frozen=True, slots=True)
class Server:
    """One running server: a gunicorn master with one worker."""

    port: int
    token: str
    worker_pid: int
    store: Path
    """Where this test process finds the store, also when the server has it mounted privately."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.Client:
        """An HTTP client that speaks as the publisher."""
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=self.headers, timeout=120)

    def socket(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def files(self) -> list[Path]:
        """Every file in the store, staged ones included."""
        return sorted(path for path in self.store.rglob("*") if path.is_file())


@contextmanager
def running_server(home: Path, *, disk_bytes: int | None = None, **variables: str) -> Iterator[Server]:
    """A server in `home`; with `disk_bytes` its store lies on a disk that small; `variables` are added to its environment."""
    store = home / "store"
    store.mkdir(parents=True)
    environment = {
        "DJANGO_SETTINGS_MODULE": "fleet.settings",
        "SMALLFLEET_DEBUG": "1",
        "SMALLFLEET_HOME": str(home),
        "SMALLFLEET_STORE": str(store),
        "SMALLFLEET_WEB_WORKERS": "1",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    port = free_port()
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "fleet" / "gunicorn_conf.py")]
    command = [*gunicorn, "--bind", f"127.0.0.1:{port}", "--chdir", str(ROOT), "fleet.wsgi"]
    with Children(home / "logs", environment) as children:
        children.run(*manage, "migrate", "--verbosity", "0")
        token = children.run(*manage, "shell", "--verbosity", "0", "-c", _TOKEN).split()[-1]
        if disk_bytes is not None:
            command = on_small_disk(command, store, disk_bytes)
        master = children.start("web", *command)
        children.wait_until("web", lambda: _answers(port))
        (worker,) = children_of(master.pid)
        yield Server(port, token, worker, Path(f"/proc/{worker}/root/{store}"))


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/v1/whoami").status_code == 401
    except httpx.TransportError:
        return False


def on_small_disk(command: list[str], folder: Path, size_bytes: int) -> list[str]:
    """The command with a real little filesystem on `folder`, in a mount namespace of its own.

    Where neither root nor a user namespace may mount, the largest file the server may write is as small instead.
    """
    mount = f"mount -t tmpfs -o size={size_bytes} tmpfs {shlex.quote(str(folder))}"
    for unshare in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True, check=False).returncode == 0:
            return [*unshare, "sh", "-c", f"{mount} && exec {shlex.join(command)}"]
    return ["sh", "-c", f"ulimit -f {size_bytes // 1024} && exec {shlex.join(command)}"]
