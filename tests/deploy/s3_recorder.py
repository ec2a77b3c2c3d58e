"""What a run asks of S3: a proxy before the test's server that writes every request down, as IAM would name it."""

import http.client
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

HOP_BY_HOP = ("connection", "expect", "keep-alive", "transfer-encoding")


@dataclass(frozen=True)
class Asked:
    """An action on a bucket or an object; `prefix` is that of a listing, None where there is none."""

    action: str
    resource: str
    prefix: str | None = None


@dataclass
class Recorder:
    """A running proxy: where it is, what it was asked for so far, and for which regions that was signed.

    `requests` are methods with targets.
    """

    endpoint: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    asked: set[Asked] = field(default_factory=set)
    regions: set[str] = field(default_factory=set)


@contextmanager
def recorded(endpoint: str) -> Iterator[Recorder]:
    """A proxy before a server, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    recorder = Recorder(f"http://127.0.0.1:{server.server_port}")
    server.behind, server.recorder = urlsplit(endpoint).netloc, recorder  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()


def asked_by(method: str, target: str, headers: dict[str, str], body: bytes, status: int) -> Iterator[Asked]:
    """The permissions that a request needs, by https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    at, item = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{key}"
    if status == 404 and method in ("GET", "HEAD"):
        # Who may not list is told 403.
        yield Asked("s3:ListBucket", at)
    if not key:
        yield from _asked_of_bucket(method, at, query, body)
    elif method in ("GET", "HEAD"):
        yield Asked("s3:ListMultipartUploadParts" if "uploadId" in query else "s3:GetObject", item)
    elif method == "DELETE":
        yield Asked("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", item)
    else:
        yield Asked("s3:PutObject", item)
        if source := headers.get("x-amz-copy-source"):
            yield Asked("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/').partition('?')[0]}")


def _asked_of_bucket(method: str, at: str, query: dict[str, list[str]], body: bytes) -> Iterator[Asked]:
    if method == "POST" and "delete" in query:
        for key in ET.fromstring(body).iterfind(".//{*}Key"):
            yield Asked("s3:DeleteObject", f"{at}/{key.text}")
    elif "location" in query:
        yield Asked("s3:GetBucketLocation", at)
    elif "uploads" in query:
        yield Asked("s3:ListBucketMultipartUploads", at, query.get("prefix", [None])[0])
    elif method in ("GET", "HEAD"):
        yield Asked("s3:ListBucket", at, query.get("prefix", [None])[0])
    else:
        raise AssertionError(f"{method} {at} {query}: not known here")


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes at once: its body would else wait for the receipt of its head, for 40 ms.
    disable_nagle_algorithm = True

    def _pass_on(self) -> None:
        body = self._body()
        # The host stays as it was signed.
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        if body and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        behind = http.client.HTTPConnection(self.server.behind, timeout=120)  # type: ignore[attr-defined]
        behind.request(self.command, self.path, body=body or None, headers=headers)
        answer = behind.getresponse()
        content = answer.read()
        self.server.recorder.requests.append((self.command, self.path))  # type: ignore[attr-defined]
        plain = {name.lower(): value for name, value in self.headers.items()}
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]
        recorder.asked.update(asked_by(self.command, self.path, plain, body, answer.status))
        # `Credential=<key>/<day>/<region>/s3/aws4_request`
        recorder.regions.add(plain["authorization"].split("/")[2])
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (*HOP_BY_HOP, "content-length", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        behind.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *_: object) -> None:
        """Quiet."""
