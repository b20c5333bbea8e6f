"""A real S3 server, SeaweedFS, on free ports of loopback."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from client.processes import Children, free_port
from registry.storage.s3 import S3Access

BUCKET = "artifacts"
_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc",
)  # fmt: skip


@contextmanager
def running_weed(home: Path) -> Iterator[S3Access]:
    """A server with the empty bucket `BUCKET`; takes about twelve seconds to start."""
    port = free_port()
    access = S3Access(f"http://127.0.0.1:{port}", "us-east-1", "the-key", "the-secret")
    (home / "volumes").mkdir(parents=True)
    identity = {
        "name": "smallfleet",
        "credentials": [{"accessKey": access.access_key_id, "secretKey": access.secret_access_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [
        str(Path(sys.executable).parent / "weed"), "server", f"-dir={home / 'volumes'}", "-ip=127.0.0.1", "-s3",
        f"-s3.port={port}", f"-s3.config={home / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20",
        f"-filer.localSocket={home / 'filer.sock'}", f"-s3.localSocket={home / 's3.sock'}",
        *(f"-{name}={free_port()}" for name in _PORTS),
    ]  # fmt: skip
    with Children(home / "logs", {}) as children:
        children.start("weed", *command)
        children.wait_until("weed", lambda: _has_bucket(access), timeout_s=90)
        yield access


def _has_bucket(access: S3Access) -> bool:
    client = boto3.client(
        "s3",
        endpoint_url=access.endpoint_url,
        region_name=access.region,
        aws_access_key_id=access.access_key_id,
        aws_secret_access_key=access.secret_access_key,
        config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )
    try:
        if not any(bucket["Name"] == BUCKET for bucket in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")  # a bucket comes before the volumes to write to
        client.delete_object(Bucket=BUCKET, Key="ready")
    except (BotoCoreError, ClientError):
        return False
    return True
