"""What the registry tells whoever listens."""

from django.dispatch import Signal

artifact_served = Signal()
"""An answer with an artifact ended, also when the client hung up early. Sent by `registry.api.views.ArtifactView` with

    sha256 (str): of the artifact
    bytes_sent (int): body bytes handed to the connection; the last block counts only once it was taken whole
    actor (access.actors.Actor): who asked
    attempt (uuid.UUID | None): of the header Smallfleet-Attempt
    redirected (bool): the client was sent to the object store, so this server carried nothing
"""

version_published = Signal()
"""A version can be rolled out. Sent by `registry.services.publish_version`, in the transaction, with

    version (registry.models.Version): as it is now
    actor (access.actors.Actor): who published it
"""

version_yanked = Signal()
"""A version was withdrawn. Sent by `registry.services.yank_version`, in the transaction, with

    version (registry.models.Version): as it is now
    actor (access.actors.Actor): who withdrew it
    reason (str): why
"""
