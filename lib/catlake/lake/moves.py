"""What a run moves to publish a set of datasets, written down before it begins."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


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
        """The list of a small file, which `as_bytes` made and which appeared whole."""
        values = json.loads(text)
        values["moves"] = [(source, target) for source, target in values["moves"]]
        return cls(**values)
