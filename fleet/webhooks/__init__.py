"""Webhooks: other programs are told what happens, signed, again until they took it, and never inside the server's own network."""
