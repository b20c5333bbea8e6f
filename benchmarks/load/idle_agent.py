"""What an idle agent costs its device and its link: `python -m benchmarks.load.idle_agent`.

A real server (gunicorn), TLS in front of it, and the agent's daemon as a process of its own. One relay counts what TLS carries, from the
socket; another one counts the HTTP inside. Measured on a device that has its model and hears of nothing new:

- resident memory after 50 polls, and the CPU time from the daemon's start to its first poll, with every child it needs;
- HTTP bytes of a poll, and TCP payload of a poll that resumes the TLS session of the one before;
- a day of 4 polls an hour: its payload with the one full handshake that each day has, and, beside it, with TCP's and IP's own headers.
"""

import argparse
import compileall
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import agent
import benchmarks
import client
import delta
from benchmarks.load.counting_proxy import CountingProxy
from benchmarks.load.goals import Figure, as_table
from benchmarks.load.tls_front import TlsFront, make_certificate
from client.demo.models import DemoModel
from client.processes import free_port, smallfleet
from client.stack import Stack, StackDevice

KIB = 1024
GOAL_RESIDENT_KIB, GOAL_START_CPU_S = 24 * KIB, 0.25
GOAL_HTTP_BYTES, GOAL_TCP_BYTES, GOAL_DAY_KB = 300, 1600, 160
POLLS_A_DAY = 96
# IPv4 and TCP with timestamps, per segment.
HEADER_BYTES = 52
SETTLING_POLLS = 3
# Less than the pause between two polls, long enough for one to end.
REST_S = 0.4
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU time of a process and of its children that have ended (proc(5), /proc/pid/stat fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def memory_kib(pid: int) -> dict[str, int]:
    """The resident set as the kernel counts it: all of it, and the part that is this process's alone."""
    rows = (row.partition(":") for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(value.split()[0]) for name, _, value in rows if name in ("VmRSS", "RssAnon")}


@contextmanager
def daemon(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The agent's daemon, ended as systemd would."""
    with log.open("ab") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, timeout_s: float) -> None:
    """Wait while the daemon lives.

    Raises:
        RuntimeError: it ended, or the time did.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the agent did not poll; its log says why")
        time.sleep(0.001)


def prepared(stack: Stack) -> StackDevice:
    """A device that has its model and has said all it has to say."""
    stack.trust("digits")
    stack.cli("publish", *DemoModel("1.0.0", "fp32").publish_arguments())
    options = "poll_interval_s = 1.0\n[bench]\nenabled = false\n"
    device = stack.enroll("idle", models=("digits",), device_class="measured", options=options)
    once = ("agent", "once", "--config", str(device.config))
    stack.cli(*once)
    with stack.rest() as rest:
        wish = {"model": "digits", "version": "1.0.0", "variant": "fp32", "start": True, "wait_for_delta_s": 0}
        rest.post("rollouts", wish)
    for _ in range(3):  # install, report, hear the answer to what it said last
        stack.cli(*once)
    if not device.current_model("digits").is_file():
        raise RuntimeError("the device did not take its model")
    return device


def use_tls(device: StackDevice, plain_url: str, port: int, certificate: Path) -> None:
    """Send the device to the front."""
    config = device.config.read_text().replace(plain_url, f"https://127.0.0.1:{port}")
    device.config.write_text(f'{config}\n[tls]\nca_file = "{certificate}"\n')


def forget_facts(device: StackDevice) -> None:
    """As after a boot: the machine's facts are to be found out again."""
    state = device.state_dir / "state.json"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    content = state.read_text()
    if boot_id not in content:
        raise RuntimeError("the state does not name this boot")
    state.write_text(content.replace(boot_id, "0" * len(boot_id)))


def measure(home: Path, *, polls: int) -> list[Figure]:
    """Every figure, from one stack."""
    # As pip leaves an installed package: what is compiled at the start of a process would stay in its memory.
    for package in (agent, benchmarks, client, delta):
        compileall.compile_dir(package.__path__[0], quiet=1)
    certificate = make_certificate(home)
    with Stack(home / "stack", port=free_port(), worker=False) as stack:
        device = prepared(stack)
        with (
            CountingProxy(int(stack.url.rpartition(":")[2])) as http,
            TlsFront(http.port, certificate) as front,
            CountingProxy(front.port) as link,
        ):
            use_tls(device, stack.url, link.port, certificate)
            command, log = smallfleet("agent", "run", "--config", str(device.config)), home / "agent.log"
            forget_facts(device)
            first_start_s = _start_cpu_s(command, log, http)
            start_s = _start_cpu_s(command, log, http)
            with daemon(command, log) as process:
                # The first poll has no session to resume, and the second may have something to say.
                wait_until(lambda: link.connections >= SETTLING_POLLS, process, timeout_s=60)
                time.sleep(REST_S)
                full_before = front.handshakes
                for proxy in (http, link):
                    proxy.reset()
                wait_until(lambda: link.connections >= polls, process, timeout_s=10 * polls)
                time.sleep(REST_S)
                memory, count = memory_kib(process.pid), link.connections
                if front.handshakes != full_before:
                    raise RuntimeError("a measured poll did not resume its TLS session")
            http_bytes = (http.up_bytes + http.down_bytes) / count
            tcp_bytes = (link.up_bytes + link.down_bytes) / count
            header_bytes = HEADER_BYTES * link.segments / count
            first_bytes = _first_poll_bytes(command, log, link)
    day = first_bytes + (POLLS_A_DAY - 1) * tcp_bytes
    return [
        Figure(f"resident memory after {polls} polls over TLS (VmRSS)", memory["VmRSS"], "KiB", GOAL_RESIDENT_KIB),
        Figure("  of it, this process's alone (RssAnon)", memory["RssAnon"], "KiB"),
        Figure("CPU from start to first poll", start_s, "s", GOAL_START_CPU_S),
        Figure("  the first after a boot, which asks for facts", first_start_s, "s", GOAL_START_CPU_S),
        Figure("idle poll, HTTP both ways", http_bytes, "B", GOAL_HTTP_BYTES),
        Figure("idle poll, TCP payload, session resumed", tcp_bytes, "B", GOAL_TCP_BYTES),
        Figure("  the same with a full handshake", first_bytes, "B"),
        Figure("idle day of 96 polls, one full handshake", day / 1000, "kB", GOAL_DAY_KB),
        Figure("  the same with TCP and IP headers", (day + POLLS_A_DAY * header_bytes) / 1000, "kB"),
    ]


def _start_cpu_s(command: list[str], log: Path, http: CountingProxy) -> float:
    """CPU time of a daemon, with its children, when the first byte of its first poll arrives."""
    http.reset()
    with daemon(command, log) as process:
        wait_until(lambda: http.up_bytes > 0, process, timeout_s=60)
        return cpu_s(process.pid)


def _first_poll_bytes(command: list[str], log: Path, link: CountingProxy) -> float:
    """A poll without a session to resume: a daemon's first one."""
    link.reset()
    with daemon(command, log) as process:
        wait_until(lambda: link.connections > 0, process, timeout_s=60)
        time.sleep(REST_S)
        return link.up_bytes + link.down_bytes


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smallfleet-idle-") as home:
        print(as_table(measure(Path(home), polls=args.polls)))


if __name__ == "__main__":
    main()
