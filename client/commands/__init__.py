"""The sub-commands of `smallfleet` that talk to a server or start one; each is imported only when it is used."""
