"""Making small nets. Runs in CI or on a workstation; no server or device imports it."""
