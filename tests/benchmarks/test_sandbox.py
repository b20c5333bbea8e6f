"""The locks that children put on themselves: what the filter says for every call, and what a real process can still do."""

import ctypes
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from benchmarks import landlock, sandbox, seccomp
from benchmarks.seccomp import ALLOW, ARCHITECTURES, KILL, NUMBERS, REFUSE, UNKNOWN, Architecture, Instruction, Profile

PID = 4711
PROFILES = {"descriptors": seccomp.descriptors_only(PID), "files": seccomp.files(PID)}
# From the kernel's tables, x86-64 and aarch64: what a child must never be able to call, whatever is added to the lists.
FORBIDDEN = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "sendto": (44, 206), "socketpair": (53, 199),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "kill": (62, 129), "tkill": (200, 130),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "open_by_handle_at": (304, 265), "openat2": (437, 437), "memfd_create": (319, 279), "bpf": (321, 280), "keyctl": (250, 219),
    "add_key": (248, 217), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "move_mount": (429, 429), "chroot": (161, 51),
    "pivot_root": (155, 41), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None), "fchown": (93, 55),
    "fchownat": (260, 54), "link": (86, None), "linkat": (265, 37), "truncate": (76, 45), "mknodat": (259, 33), "setxattr": (188, 5),
    "utimensat": (280, 88), "ioctl": (16, 29), "prctl": (157, 167), "seccomp": (317, 277), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "init_module": (175, 105), "kexec_load": (246, 104), "reboot": (169, 142), "setuid": (105, 146),
    "capset": (126, 91), "prlimit64": (302, 261), "personality": (135, 92), "shmget": (29, 194), "mq_open": (240, 180),
    "inotify_init1": (294, 26), "signalfd4": (289, 74), "sendmsg": (46, 211), "sendfile": (40, 71), "splice": (275, 76),
}  # fmt: skip
FILE_CALLS = (
    "open", "openat", "statx", "readlinkat", "getdents64", "unlinkat", "unlink", "rename", "renameat2", "mkdirat", "symlinkat",
    "ftruncate", "dup", "fcntl", "clone", "pipe2", "umask",
)  # fmt: skip


def decide(program: tuple[Instruction, ...], audit: int, number: int, *arguments: int) -> int:
    """Run the filter as the kernel would: the verdict on one call."""
    words = {0: number, 4: audit} | {16 + 8 * at: value & 0xFFFFFFFF for at, value in enumerate(arguments)}
    loaded, at = 0, 0
    while True:
        one = program[at]
        at += 1
        if one.code == 0x06:
            return one.operand
        if one.code == 0x20:
            loaded = words.get(one.operand, 0)
            continue
        holds = {0x15: loaded == one.operand, 0x35: loaded >= one.operand, 0x45: bool(loaded & one.operand)}[one.code]
        at += one.if_true if holds else one.if_false


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


def verdict(profile: Profile, architecture: Architecture, name: str, *arguments: int) -> int:
    number = ({**FORBIDDEN, **NUMBERS}[name])[architecture.column]
    if number is None:
        return REFUSE
    return decide(seccomp.program(profile, architecture), architecture.audit, number, *arguments)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_no_profile_allows_a_call_that_leads_out(profile: Profile, architecture: Architecture) -> None:
    assert {name: verdict(profile, architecture, name) for name in FORBIDDEN} == dict.fromkeys(FORBIDDEN, REFUSE)


def test_with_descriptors_alone_no_file_is_reached_by_a_path(architecture: Architecture) -> None:
    found = {name: verdict(PROFILES["descriptors"], architecture, name) for name in FILE_CALLS}
    assert found == dict.fromkeys(FILE_CALLS, REFUSE)


@pytest.mark.parametrize(
    ("name", "arguments", "descriptors", "files"),
    [
        ("read", (), ALLOW, ALLOW),
        ("write", (), ALLOW, ALLOW),
        ("exit_group", (), ALLOW, ALLOW),
        ("mmap", (0, 4096, 0x3), ALLOW, ALLOW),
        ("mmap", (0, 4096, 0x7), REFUSE, ALLOW),
        ("mprotect", (0, 4096, 0x5), REFUSE, ALLOW),
        ("newfstatat", (3, 0, 0, 0x1000), ALLOW, ALLOW),
        ("newfstatat", (3, 0, 0, 0), REFUSE, ALLOW),
        ("tgkill", (PID, PID, 6), ALLOW, ALLOW),
        ("tgkill", (PID + 1, PID + 1, 9), REFUSE, REFUSE),
        ("openat", (), REFUSE, ALLOW),
        ("clone", (0x3D0F00,), REFUSE, ALLOW),  # pthread_create
        ("clone", (0x1200011,), REFUSE, REFUSE),  # fork
        ("clone3", (), REFUSE, UNKNOWN),
        ("ioctl", (3, 0x5451), REFUSE, ALLOW),  # FIOCLEX
        ("ioctl", (0, 0x5412), REFUSE, REFUSE),  # TIOCSTI: typing for whoever started it
    ],
)
def test_a_call_with_its_arguments_gets_its_verdict(
    architecture: Architecture, name: str, arguments: tuple[int, ...], descriptors: int, files: int
) -> None:
    assert verdict(PROFILES["descriptors"], architecture, name, *arguments) == descriptors
    assert verdict(PROFILES["files"], architecture, name, *arguments) == files


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_another_table_of_calls_ends_the_process(profile: Profile, architecture: Architecture) -> None:
    program = seccomp.program(profile, architecture)
    foreign = {one.audit for one in ARCHITECTURES.values()} - {architecture.audit} | {
        0x40000003,
        0x40000028,
    }  # i386, arm
    assert {decide(program, audit, 0) for audit in foreign} == {KILL}
    assert decide(program, architecture.audit, 0x40000000) == KILL  # x32's read
    assert decide(program, architecture.audit, 0xFFFFFFFF) == KILL


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_call_that_is_newer_than_the_table_does_not_exist(profile: Profile, architecture: Architecture) -> None:
    program = seccomp.program(profile, architecture)
    assert decide(program, architecture.audit, seccomp.NEWEST_NUMBER + 1) == UNKNOWN
    assert len(program) < 4096  # BPF_MAXINSNS
    assert max(max(one.if_true, one.if_false) for one in program) < 256


# --- A real process -------------------------------------------------------------------------------------------------

TRIES = """
import ctypes, json, os, socket, subprocess, sys, threading
from pathlib import Path
from benchmarks.confine import confine
from benchmarks import sandbox
folder, port, parent = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "syscall")

def fork():
    if os.fork() == 0:
        os._exit(0)

held = os.open(folder / "given", os.O_RDONLY)
tries = {
    "read a given descriptor": lambda: os.pread(held, 1, 0),
    "take memory": lambda: bytearray(50 << 20),
    "connect": lambda: socket.create_connection(("127.0.0.1", port), 1),
    "listen": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "abstract socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "read the identity": lambda: (folder / "identity.json").read_text(),
    "read the identity by the descriptor of a folder": lambda: Path(f"/proc/self/fd/{held}/../identity.json").read_text(),
    "reopen for writing": lambda: os.open(f"/proc/self/fd/{held}", os.O_RDWR),
    "write elsewhere": lambda: (folder / "elsewhere" / "new").write_text("x"),
    "write into the output's folder": lambda: (folder / "out" / "new").write_text("x"),
    "truncate": lambda: os.truncate(folder / "elsewhere" / "kept", 0),
    "unlink": lambda: (folder / "elsewhere" / "kept").unlink(),
    "rename": lambda: (folder / "elsewhere" / "kept").rename(folder / "elsewhere" / "moved"),
    "link": lambda: os.link(folder / "elsewhere" / "kept", folder / "out" / "linked"),
    "chmod": lambda: (folder / "elsewhere" / "kept").chmod(0o777),
    "list": lambda: os.listdir(folder / "elsewhere"),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "spawn": lambda: subprocess.run(["/bin/true"], check=True),
    "fork": fork,
    "signal": lambda: os.kill(parent, 0),
    "io_uring": lambda: call(425, 8, ctypes.create_string_buffer(120)),
    "memfd": lambda: os.memfd_create("x"),
    "ptrace": lambda: call(101 if os.uname().machine == "x86_64" else 117, 0, 0, 0, 0),
    "unshare": lambda: call(272 if os.uname().machine == "x86_64" else 97, 0x10000000),
    "executable memory": lambda: __import__("mmap").mmap(-1, 4096, prot=7),
    "start a thread": lambda: (lambda thread: (thread.start(), thread.join()))(threading.Thread(target=int)),
}
import encodings.idna, mmap
confine(parent_pid=parent, nice=0, cpu_s=9, file_bytes=1 << 20)
if sys.argv[1] == "descriptors":
    found = sandbox.keep_descriptors(required=True)
else:
    found = sandbox.keep_paths(readable=[folder / "given"], writable=[folder / "out"], required=True)
outcomes = {}
for name, attempt in tries.items():
    try:
        attempt()
        outcomes[name] = "done"
    except OSError as error:
        outcomes[name] = type(error).__name__
    except RuntimeError as error:
        outcomes[name] = str(error)
print(json.dumps({"sandbox": [found.seccomp, found.landlock], "outcomes": outcomes}), flush=True)
os._exit(0)
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


@pytest.fixture
def outcomes(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """What a process in the named profile could do, of everything it tried."""
    for folder in ("elsewhere", "out"):
        (tmp_path / folder).mkdir()
    for name in ("given", "identity.json", "elsewhere/kept"):
        (tmp_path / name).write_text("kept")
    with create_server(("127.0.0.1", 0)) as listener:
        ended = run(TRIES, request.param, str(tmp_path), str(listener.getsockname()[1]), str(os.getpid()))
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "elsewhere" / "kept").read_text() == (tmp_path / "identity.json").read_text() == "kept"
    return json.loads(ended.stdout)


@pytest.mark.parametrize("outcomes", ["descriptors"], indirect=True)
def test_a_process_with_descriptors_alone_can_read_write_and_end(outcomes: dict[str, Any]) -> None:
    done = {name for name, outcome in outcomes["outcomes"].items() if outcome == "done"}
    assert done == {"read a given descriptor", "take memory"}
    denied = {name: outcome for name, outcome in outcomes["outcomes"].items() if name not in done}
    assert denied.pop("start a thread") == "can't start new thread"
    assert set(denied.values()) == {"PermissionError"}, denied


@pytest.mark.parametrize("outcomes", ["files"], indirect=True)
def test_a_process_with_some_paths_reaches_those_and_nobody_else(outcomes: dict[str, Any]) -> None:
    done = {name for name, outcome in outcomes["outcomes"].items() if outcome == "done"}
    assert done == {
        "read a given descriptor",
        "take memory",
        "write into the output's folder",
        "executable memory",
        "start a thread",
    }
    assert outcomes["sandbox"] == [True, landlock.version()]


def test_a_foreign_table_of_calls_kills(tmp_path: Path) -> None:
    script = """
        import ctypes
        from benchmarks import sandbox
        sandbox.keep_descriptors(required=True)
        ctypes.CDLL(None).syscall(0x40000000 + 39)
        print("still here")
    """
    ended = run(script)
    assert (ended.returncode, ended.stdout) == (-31, "")  # SIGSYS


def test_a_process_whose_kernel_has_no_filter_does_not_go_on_where_one_is_required(tmp_path: Path) -> None:
    """A filter that takes seccomp(2) away stands for such a kernel: the call fails with the same ENOSYS."""
    script = """
        import os, sys
        from benchmarks import sandbox, seccomp
        seccomp.NUMBERS.update(seccomp=(317, 277), prctl=(157, 167), landlock=(444, 444))
        seccomp.install(seccomp.Profile(allowed=tuple(seccomp.NUMBERS), checks={}, unknown=("seccomp", "landlock")))
        print(sandbox.available())
        print(sandbox.keep_descriptors(required=False))
        try:
            sandbox.keep_descriptors(required=True)
        except sandbox.SandboxUnavailable as error:
            print(error)
    """
    ended = run(script)
    assert ended.stdout.splitlines() == [
        "Sandbox(seccomp=False, landlock=0)",
        "Sandbox(seccomp=False, landlock=0)",
        "no filter of system calls: seccomp: -1",
    ], ended.stderr


def test_paths_are_not_limited_behind_the_back_of_a_thread() -> None:
    script = """
        import threading
        from benchmarks import landlock
        stay = threading.Event()
        threading.Thread(target=stay.wait, daemon=True).start()
        try:
            print(landlock.restrict(readable=(), writable=()))
        except RuntimeError as error:
            print(error)
        stay.set()
    """
    assert "threads that run already" in run(script).stdout


def test_the_numbers_are_those_of_this_machine(tmp_path: Path) -> None:
    """Where the kernel's headers lie, every number is compared; where not, the C library's own calls above did it."""
    header = Path("/usr/include") / f"{os.uname().machine}-linux-gnu" / "asm" / "unistd_64.h"
    listed = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())) if header.exists() else {}
    column = ARCHITECTURES[os.uname().machine].column
    known = {name: numbers[column] for name, numbers in {**NUMBERS, **FORBIDDEN}.items() if name in listed}
    assert known == {name: int(listed[name]) for name in known}
    assert ctypes.sizeof(landlock._Ruleset) == 24
    assert ctypes.sizeof(landlock._Beneath) == 12
    assert sandbox.available().seccomp
