"""A store of objects on loopback: S3 as moto plays it, and a web server."""

import functools
import http.server
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

_KEYS = ("aws_access_key_id", "aws_secret_access_key")


class Bucket:
    """One bucket of the store, for tests to put photos into; `url` names it."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name
        self.url = f"s3://{name}"

    def put(self, key: str, data: bytes) -> str:
        """Put an object in place; its URL."""
        self._client.put_object(Bucket=self.name, Key=key, Body=data)
        return f"{self.url}/{key}"

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        data: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def delete(self, *keys: str) -> None:
        """Remove objects."""
        for key in keys:
            self._client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        """What lies in it."""
        listed = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", ())]

    def holds(self, text: str) -> bool:
        """Whether a key has this text in it."""
        return any(text in key for key in self.keys())

    def put_folder(self, folder: Path, prefix: str) -> None:
        """The files of a folder, by their names from there."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 that keeps its objects in memory. Skips where moto is missing."""
    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'birdsearch[cluster]'")
    moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def name_store(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let the environment name a store and its credentials, as a user does."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)


def new_bucket(endpoint: str, name: str) -> Bucket:
    """A new, empty bucket."""
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **dict.fromkeys(_KEYS, "test"))
    client.create_bucket(Bucket=name)
    return Bucket(client, name)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def web_server(folder: Path) -> AbstractContextManager[str]:
    """The address of a web server that gives the files of a folder."""
    return answering(functools.partial(_Quiet, directory=str(folder)))


@contextmanager
def answering(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a web server whose requests are handled so."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
