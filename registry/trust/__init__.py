"""The server's side of TUF: it checks and keeps what owners and publishers signed, and signs snapshot and timestamp itself."""
