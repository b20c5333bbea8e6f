"""Asks pip whether everything in the agent extra has a wheel for aarch64 Linux; fails and names what has none.

Nothing is installed: pip resolves for the other platform and only wheels are allowed.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSIONS = ("3.11", "3.12", "3.13")
PLATFORMS = (
    "manylinux2014_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_28_aarch64",
    "linux_aarch64",
)


def agent_requirements() -> list[str]:
    """The base requirements and those of the agent extra, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["agent"]]


def resolve(python_version: str) -> subprocess.CompletedProcess[str]:
    """Let pip resolve the agent's requirements for one Python on aarch64."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--only-binary=:all:",
    ]
    command += [
        "--disable-pip-version-check",
        "--target",
        "unused",
        "--implementation",
        "cp",
        "--python-version",
        python_version,
    ]
    command += [option for platform in PLATFORMS for option in ("--platform", platform)]
    command += ["--constraint", str(ROOT / "constraints.txt"), *agent_requirements()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    """Check every Python version; 1 if a wheel is missing for any."""
    missing = 0
    for python_version in PYTHON_VERSIONS:
        outcome = resolve(python_version)
        if outcome.returncode:
            missing += 1
            reason = "\n".join(line for line in outcome.stderr.splitlines() if "ERROR" in line)
            sys.stderr.write(f"aarch64, Python {python_version}: {reason or outcome.stderr}\n")
        else:
            sys.stdout.write(f"aarch64, Python {python_version}: every package of the agent extra has a wheel\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
