"""What the child says about a file it does not accept."""


class FileRefused(Exception):  # noqa: N818 - the name says what happened
    """The file is not what it should be; the message is meant for whoever sent it."""
