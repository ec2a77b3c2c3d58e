"""What a run moves to publish a set of datasets, written down before it begins."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Moves:
    """A list of moves; all paths are below the lake.

    Attributes:
        lease: The name of the lease that its run takes.
        moves: From where to where each file goes, in this order.
        deletions: The files that go then.
    """

    lease: str
    moves: Sequence[tuple[str, str]]
    deletions: Sequence[str]

    def as_bytes(self) -> bytes:
        """The list as a small file."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, text: bytes) -> "Moves":
        """The list of a small file, which `as_bytes` made and which appeared whole."""
        values = json.loads(text)
        return cls(values["lease"], [(source, target) for source, target in values["moves"]], values["deletions"])
