"""A proxy as it stands in front of a server: ends TLS, asks clients for a certificate, and says in `Client-Cert` (RFC 9440) which one it verified.

`python -m tests.flows.certificate_proxy PORT TARGET_PORT SERVER_PEM CLIENTS_PEM`; whatever a client itself writes into the header is dropped.
"""

import base64
import http.client
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

# RFC 9110, 7.6.1: for one connection only. The lengths are written anew.
OF_THE_CONNECTION = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "client-cert",
    "x-forwarded-for",
}


class Proxy(BaseHTTPRequestHandler):
    """Relays whole requests and answers."""

    protocol_version = "HTTP/1.1"
    target_port: int

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = http.client.HTTPConnection("127.0.0.1", self.target_port, timeout=30)
        target.request(self.command, self.path, body, self._headers())
        answer = target.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OF_THE_CONNECTION:
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        target.close()

    def do_GET(self) -> None:
        self.relay()

    def do_POST(self) -> None:
        self.relay()

    def do_PUT(self) -> None:
        self.relay()

    def _headers(self) -> dict[str, str]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_CONNECTION}
        headers["X-Forwarded-For"] = self.client_address[0]
        certificate = cast(ssl.SSLSocket, self.connection).getpeercert(binary_form=True)
        if certificate:
            headers["Client-Cert"] = f":{base64.b64encode(certificate).decode()}:"
        return headers


def main() -> None:
    """Serve until the process is ended."""
    port, target_port, server_pem, clients_pem = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pem)
    context.load_verify_locations(clients_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(
        ("127.0.0.1", int(port)), type("BoundProxy", (Proxy,), {"target_port": int(target_port)})
    )
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
