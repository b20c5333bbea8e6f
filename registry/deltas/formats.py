"""Which patch format this server builds. Kept apart from the codec, whose import costs a web process 30 MiB."""

BUILT_FORMAT = 1
"""`delta.format.FORMAT_VERSION`; a test holds the two together."""
