"""The lists of new documents: what the ingest wrote since the table of current purchases was last merged.

Each batch of a stream leaves one list, before its checkpoint moves on. A merge reads the lists that are there, and
removes them when its commit is done. So no run looks for new documents among all that were ever written. A repeated
batch leaves a list of another name, and a list that is read twice changes nothing.
"""

from collections.abc import Collection, Iterable, Iterator

import orjson

from catlake.lake import Lake
from catlake.runtime.files import FileInfo, joined

FOLDER = "_new_documents"
"""Below the lake. The leading underscore hides it from Spark and from crawlers."""

SUFFIX = ".jsonl"

LEAST_BYTES = len('["t/2025/07/13/insert_c_20250713_153000.json",0]\n')
"""Of a document's line."""


class NewDocuments:
    """The lists of a lake."""

    def __init__(self, lake: Lake) -> None:
        self._files, self._folder = lake.files, lake.path(FOLDER)

    def add(self, stream: str, batch: int, run: str, documents: Iterable[tuple[str, int]]) -> None:
        """Lists the documents of a batch: their paths below the folder of documents, and their sizes.

        Args:
            run: The run that wrote it; a repeated batch may have more documents.
            documents: None leaves no list.
        """
        content = b"".join(orjson.dumps(document) + b"\n" for document in sorted(set(documents)))
        if content:
            self._files.write(joined(self._folder, stream, f"batch-{batch:09}.{run}{SUFFIX}"), content)

    def lists(self) -> list[FileInfo]:
        """The lists that are there."""
        # Not the files that are still being written.
        listed = (info for info in self._files.list(self._folder) if info.uri.endswith(SUFFIX))
        return sorted(listed, key=lambda info: info.uri)

    def forget(self, paths: Collection[str]) -> None:
        """Takes documents off the lists, before they are deleted: a merge would look for them."""
        for info in self.lists():
            lines = self._files.read(info.uri).splitlines(keepends=True)
            kept = [line for line in lines if orjson.loads(line)[0] not in paths]
            if kept != lines:
                self._files.write(info.uri, b"".join(kept))

    def remove(self, lists: Iterable[FileInfo]) -> None:
        """Removes lists whose documents are merged."""
        for info in lists:
            self._files.delete(info.uri)


def most_documents(lists: Iterable[FileInfo]) -> int:
    """How many documents some lists can have at most, by their sizes: nothing is read."""
    return sum(info.size for info in lists) // LEAST_BYTES


def parse_list(content: bytes) -> Iterator[tuple[str, int]]:
    """The paths and sizes of a list."""
    for line in content.splitlines():
        path, size = orjson.loads(line)
        yield path, size
