"""An HTTP proxy in front of the S3 server that fails one in some requests, as networks and S3 itself do.

The requests go on as they came, so that their signatures stay valid. Which of them fails, and how, depends on the seed
and on the request's number alone.
"""

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

RESET, LOST_ANSWER, CUT_BODY, STALL = "reset", "lost_answer", "cut_body", "stall"
ERROR, SLOW_DOWN, CONFLICT = "500", "503", "409"
KINDS = (RESET, LOST_ANSWER, CUT_BODY, STALL, ERROR, SLOW_DOWN, CONFLICT)
"""Before the server sees the request; after it has done it; half of the answer's body; no answer; S3's own errors.

S3 answers 409 to conditional writes only; other requests get a 503 in its place.
"""

CODES = {ERROR: "InternalError", SLOW_DOWN: "SlowDown", CONFLICT: "ConditionalRequestConflict"}
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}


@dataclass
class _Planned:
    number: int
    kind: str
    method: str | None
    path: str | None


class FaultProxy:
    """A running proxy.

    Attributes:
        endpoint: Its URL, to use in place of the server's.
        requests: The requests so far.
        faults: The faults so far, by their kind.
    """

    def __init__(
        self, upstream: str, one_in: int = 0, kinds: Sequence[str] = KINDS, seed: int = 1, stall_seconds: float = 1.0
    ) -> None:
        self.endpoint = ""
        self.upstream, self.stall_seconds = urlsplit(upstream).netloc, stall_seconds
        self.requests = 0
        self.faults = Counter[str]()
        self._one_in, self._kinds, self._seed = one_in, kinds, seed
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()

    def fail(self, number: int, kind: str, method: str | None = None, path: str | None = None) -> None:
        """Makes the next requests fail, of a method and with a text in their path, if these are given."""
        with self._lock:
            self._planned.append(_Planned(number, kind, method, path))

    def next_fault(self, method: str, path: str, is_conditional: bool) -> str | None:
        """Counts a request, and decides how it fails; None: it does not."""
        with self._lock:
            self.requests += 1
            kind = self._planned_kind(method, path) or self._random_kind()
            if kind == CONFLICT and not is_conditional:
                kind = SLOW_DOWN
            if kind:
                self.faults[kind] += 1
            return kind

    def _planned_kind(self, method: str, path: str) -> str | None:
        for planned in self._planned:
            if planned.number and planned.method in (None, method) and (planned.path or "") in path:
                planned.number -= 1
                return planned.kind
        return None

    def _random_kind(self) -> str | None:
        generator = random.Random(f"{self._seed}:{self.requests}")
        return generator.choice(self._kinds) if self._one_in and generator.randrange(self._one_in) == 0 else None


@contextmanager
def fault_proxy(
    upstream: str, one_in: int = 0, kinds: Sequence[str] = KINDS, seed: int = 1, stall_seconds: float = 1.0
) -> Iterator[FaultProxy]:
    """Runs a proxy in front of a server, in threads of this process.

    Args:
        upstream: The server's URL.
        one_in: One in so many requests fails; 0: only those of `fail`.
        kinds: The kinds of faults.
        seed: Decides with a request's number whether and how it fails.
        stall_seconds: After this time a stalled connection breaks.
    """
    proxy = FaultProxy(upstream, one_in, kinds, seed, stall_seconds)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with _Server(("127.0.0.1", 0), handler) as server:
        proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that clients keep open end with the process.
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes at once: its body would else wait for the receipt of its head, for 40 ms.
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def _handle(self) -> None:
        is_conditional = self.command == "PUT" and bool(self.headers["If-None-Match"] or self.headers["If-Match"])
        kind = self.proxy.next_fault(self.command, self.path, is_conditional)
        if kind == RESET:
            return self._reset()
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if kind == STALL:
            time.sleep(self.proxy.stall_seconds)
            return self._reset()
        if kind in CODES:
            return self._error(kind)
        status, headers, answer = self._forward(body)
        if kind == LOST_ANSWER or (kind == CUT_BODY and not answer):
            return self._reset()
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        if self.command != "HEAD" and length is None and status not in (204, 304):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if kind == CUT_BODY:
            self.wfile.write(answer[: len(answer) // 2])
            self.close_connection = True
        else:
            self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self.proxy.upstream, timeout=60)
        with suppress(HTTPException):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _OF_A_CONNECTION:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
        response = connection.getresponse()
        answer = response.read()
        kept = [
            (name, value)
            for name, value in response.getheaders()
            if name.lower() not in _OF_A_CONNECTION or (self.command == "HEAD" and name.lower() == "content-length")
        ]
        connection.close()
        return response.status, kept, answer

    def _error(self, kind: str) -> None:
        answer = f"<Error><Code>{CODES[kind]}</Code><Message>a fault of the proxy</Message></Error>".encode()
        self.send_response_only(int(kind))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def _reset(self) -> None:
        # Without lingering, closing sends a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not logged."""
