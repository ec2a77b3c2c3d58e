"""Where a lake lies in tests: a folder of this machine, or a bucket of the S3 server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.s3 import S3Server


class Place(Protocol):
    """A root for the files of one test, and what another process needs to reach it."""

    root: str
    environment: Mapping[str, str]

    def put(self, name: str, content: bytes) -> None:
        """Makes a file appear, whole."""
        ...

    def tree(self, folder: str = "") -> dict[str, bytes]:
        """All that is below a folder, by the paths from there."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """The paths of all files below a folder, in order."""
        ...


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root, self._root = str(root), root
        self.environment: Mapping[str, str] = {}

    def put(self, name: str, content: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(content)
        hidden.rename(path)

    def tree(self, folder: str = "") -> dict[str, bytes]:
        start = self._root / folder
        return {str(path.relative_to(start)): path.read_bytes() for path in start.rglob("*") if path.is_file()}

    def names(self, folder: str = "") -> list[str]:
        start = self._root / folder
        return sorted(str(path.relative_to(start)) for path in start.rglob("*") if path.is_file())


class Bucket:
    """A bucket of the S3 server, as Spark and the jobs name it."""

    def __init__(self, server: S3Server) -> None:
        self._client, self._name, self._keys = server.client, server.bucket(), server.keys
        self.root = f"s3a://{self._name}"
        self.environment: Mapping[str, str] = server.environment()

    def put(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._name, Key=name, Body=content)

    def tree(self, folder: str = "") -> dict[str, bytes]:
        return {name: self._read(_below(folder) + name) for name in self.names(folder)}

    def names(self, folder: str = "") -> list[str]:
        start = _below(folder)
        return [key.removeprefix(start) for key in self._keys(self._name, start)]

    def _read(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        return body


def copy(source: Path, place: Place, folder: str = "") -> None:
    """Puts all files below a folder of this machine into a place, below a folder there."""
    for name, content in Folder(source).tree().items():
        place.put(_below(folder) + name, content)


def _below(folder: str) -> str:
    return f"{folder}/" if folder else ""
