"""Which versions of the patch format this codec writes and reads. Imports nothing, so that servers and agents may ask."""

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
