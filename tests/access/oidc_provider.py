"""A small OpenID provider as a process of its own: discovery, JWKS, authorization code with PKCE, ID tokens signed with RS256.

`python oidc_provider.py PLAN` prints its issuer and serves. PLAN is a JSON file that is read at each token request:
`claims` go over what the ID token says, `sign_with` is `published`, `another` (a key that is not published), `secret` (HS256) or `none`.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "smallfleet", "provider-and-client-share-this"
KEY = RSAKey.generate_key(2048, {"kid": "published", "use": "sig", "alg": "RS256"})
ANOTHER = RSAKey.generate_key(2048, {"kid": "published"})


class Provider(BaseHTTPRequestHandler):
    """Lets everybody in who is sent here; who that is stands in the plan."""

    plan: Path
    asked: dict[str, dict[str, str]] = {}

    issuer: str

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        match address.path:
            case "/.well-known/openid-configuration":
                self._answer(self._discovery())
            case "/jwks":
                self._answer({"keys": [KEY.as_dict(private=False)]})
            case "/authorize":
                self._authorize(query)
            case _:
                self._answer({"error": "not_found"}, 404)

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": json.loads(self.plan.read_text()).get("issuer") or self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _authorize(self, query: dict[str, str]) -> None:
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.asked[code] = query
        self.send_response(302)
        self.send_header("Location", f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.asked.pop(sent.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        proof = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest()).decode()
        if self.headers["Authorization"] != f"Basic {basic}" or asked is None:
            self._answer({"error": "invalid_client"}, 401)
        elif proof.rstrip("=") != asked["code_challenge"] or sent["redirect_uri"] != asked["redirect_uri"]:
            self._answer({"error": "invalid_grant"}, 400)
        else:
            self._answer({"access_token": "a", "token_type": "Bearer", **self._id_token(asked["nonce"])})

    def _id_token(self, nonce: str) -> dict[str, str]:
        plan = json.loads(self.plan.read_text())
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "s-1", "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= plan.get("claims", {})
        claims = {name: value for name, value in claims.items() if value is not None}
        match plan.get("sign_with", "published"):
            case "absent":
                return {}
            case "none":
                parts = ({"alg": "none"}, claims)
                texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
                return {"id_token": f"{'.'.join(texts)}."}
            case "secret":
                key = OctKey.import_key(json.dumps(KEY.as_dict(private=False)) + CLIENT_SECRET)
                return {"id_token": jwt.encode({"alg": "HS256", "kid": "published"}, claims, key)}
            case name:
                return {
                    "id_token": jwt.encode(
                        {"alg": "RS256", "kid": "published"}, claims, ANOTHER if name == "another" else KEY
                    )
                }

    def _answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing: standard output is read for the issuer."""


def main() -> None:
    """Serve until the process is ended."""
    Provider.plan = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Provider.issuer = f"http://127.0.0.1:{server.server_port}"
    sys.stdout.write(f"{Provider.issuer}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
