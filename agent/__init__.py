"""The daemon on a device: poll, decide, download, apply, install, report."""
