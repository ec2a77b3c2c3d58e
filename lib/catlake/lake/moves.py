"""What a run moves to publish a set of datasets, written down before it begins."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from catlake.runtime.errors import StoreError


@dataclass(frozen=True)
class Moves:
    """A list of moves; all paths are below the lake.

    Attributes:
        lease: The name of the lease that its run takes.
        records: The records that are written first: where each one goes, and its text.
        moves: From where to where each file goes, in this order.
        files: By dataset (its first file), the number of its files: further files that are there go.
    """

    lease: str
    records: Mapping[str, str]
    moves: Sequence[tuple[str, str]]
    files: Mapping[str, int]

    def as_bytes(self) -> bytes:
        """The list as a small file."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, text: bytes) -> "Moves":
        """The list of a small file, which `as_bytes` made and which appeared whole.

        Raises:
            StoreError: It is another file, or a path in it leads out of the lake.
        """
        try:
            values = json.loads(text)
            values["moves"] = [(source, target) for source, target in values["moves"]]
            paths = [*values["records"], *values["files"], *(path for move in values["moves"] for path in move)]
            if any(segment in ("", ".", "..") for path in paths for segment in path.split("/")):
                raise ValueError
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise StoreError(
                f"_staging: a list of moves is none of catlake's ({text[:80]!r}); remove the folder of its run there"
            ) from None
