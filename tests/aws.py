"""A server of AWS's APIs (moto) for tests, on a free port of the loopback device."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer


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
