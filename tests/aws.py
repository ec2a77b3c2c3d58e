"""A server of AWS's APIs (moto) for tests, on a free port of the loopback device."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import boto3
import botocore.session
from botocore.loaders import create_loader
from moto.server import ThreadedMotoServer

LOADER = create_loader()
"""Keeps the descriptions of the services, which each session would else read again: a quarter of a second."""


def session() -> boto3.session.Session:
    """A session of boto3 without handlers of its own, as `boto3.session.Session()` makes it."""
    core = botocore.session.get_session()
    core.register_component("data_loader", LOADER)
    return boto3.session.Session(botocore_session=core)


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a server whose accounts are empty."""
    # Of its own accord it listens on all devices.
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # All servers of a process share one state, and this process may have had one before.
    empty(url)
    yield url
    server.stop()


def empty(url: str) -> None:
    """Forget all that a server holds."""
    with urlopen(Request(f"{url}/moto-api/reset", b"", method="POST")):
        pass
