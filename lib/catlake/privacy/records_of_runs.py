"""What runs leave besides their results, without a person: rejected records in quarantine, and summaries."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from catlake.lake import Lake
from catlake.lake.event_conflicts import MARKS
from catlake.lake.lake import QUARANTINE, RUNS, readable_json
from catlake.privacy.erased_files import Erasure, kept_rejects
from catlake.privacy.person import Person
from catlake.privacy.places import READERS, Tally, Trace
from catlake.runtime.errors import StoreError
from catlake.text.json_text import parse


class Rejects:
    """The rejected records of the pipelines of some domains: `quarantine/<domain>` and `quarantine/<domain>-…`."""

    def __init__(self, lake: Lake, person: Person, domains: Sequence[str]) -> None:
        self._lake, self._person, self._domains = lake, person, domains

    def look(self) -> list[Trace]:
        """The rejected records of the person."""
        erased = [self._look_at(uri).erased for uri in self._files()]
        return [Trace(QUARANTINE, sum(erased), sum(rows > 0 for rows in erased))] if any(erased) else []

    def erase(self, tally: Tally) -> None:
        """Rewrites each file that has the person, and removes it if no record is left."""
        for uri in self._files():
            looked = self._look_at(uri)
            if not looked.erased:
                continue
            # In a folder, Hadoop's checksum of the old file makes Spark refuse the new one. It goes first: after a kill
            # that follows the rewriting, no run looks at this file again.
            name = uri.rpartition("/")[2]
            self._lake.files.delete(f"{uri.removesuffix(name)}.{name}.crc")
            with tempfile.TemporaryDirectory(prefix="catlake-") as folder:
                target, done = Path(folder, "file"), Erasure()
                with closing(self._lake.files.open(uri)) as source, target.open("wb") as stream:
                    stream.writelines(kept_rejects(source, self._person, done))
                tally.check(looked.rows, done.kept, looked.erased)
                if done.kept:
                    self._lake.files.upload(target, uri)
                else:
                    self._lake.files.delete(uri)
            tally.add(QUARANTINE, done.kept, looked.erased)

    def _files(self) -> list[str]:
        root = self._lake.path(QUARANTINE)
        pipelines = [name for name in self._lake.files.folders(root) if name.partition("-")[0] in self._domains]
        files = (info.uri for name in pipelines for info in self._lake.files.list(f"{root}/{name}"))
        # The name of a mark has no ending.
        return [uri for uri in files if uri.endswith(".json") or f"/{MARKS}/" in uri]

    def _look_at(self, uri: str) -> Erasure:
        done = Erasure()
        with closing(self._lake.files.open(uri)) as source:
            for _ in kept_rejects(source, self._person, done):
                pass
        return done


class RunSummaries:
    """The summaries of runs: their highlights name the most expensive users and conversations."""

    def __init__(self, lake: Lake, person: Person) -> None:
        self._lake, self._person = lake, person

    def look(self) -> list[Trace]:
        """The summaries that name the person."""
        hidden = self._hidden()
        return [Trace(RUNS, len(hidden), len(hidden))] if hidden else []

    def erase(self, tally: Tally) -> None:
        """Puts `***` in the place of the person's id."""
        for uri, content in self._hidden().items():
            self._lake.files.write(uri, content)

    def _hidden(self) -> dict[str, bytes]:
        """By summary that names the person, its content without the id."""
        uris = [info.uri for info in self._lake.files.list(self._lake.path(RUNS)) if info.uri.endswith(".json")]
        with ThreadPoolExecutor(READERS) as pool:
            contents = pool.map(self._without_id, uris)
            return {uri: content for uri, content in zip(uris, contents, strict=True) if content is not None}

    def _without_id(self, uri: str) -> bytes | None:
        content = self._lake.files.read(uri)
        if not self._person.may_be_in(content):
            return None
        try:
            summary = parse(content)
        except ValueError as error:
            raise StoreError(f"{uri}: it is no JSON ({error}); look who put it there, and remove it") from None
        hidden = self._person.hidden_in(summary)
        return None if hidden == summary else readable_json(hidden)
