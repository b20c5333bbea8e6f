"""What the child says about a file it does not accept."""


class FileRefused(Exception):
    """The file is not what it should be; the message is meant for whoever sent it."""
