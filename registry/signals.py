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
