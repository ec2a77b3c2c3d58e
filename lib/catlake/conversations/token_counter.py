"""Counts the tokens of conversations; texts that the last result has too are not counted again.

Counting takes most of the time of curate, and few conversations change from one night to the next. So if the newest
result has the same text, and the same program made it, its counts are used. Texts are compared by their MD5.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.contract import contract
from catlake.conversations.cl100k_tokens import PACKAGE, token_count
from catlake.lake import Draft, Lake
from catlake.lake.file_records import crc32_of
from catlake.runtime.files import literal
from catlake.runtime.package import sources_fingerprint
from catlake.runtime.run import Run
from catlake.text.json_text import parse

DATASET = "curated_conversations"
TEXT = "conversacion_completa"

TOKENS = T.StructType([T.StructField(name, T.LongType()) for name in ("token_pregunta", "token_respuesta")])
"""The tokens of a row; null where its messages cannot be read."""

IS_NEW = "tokens_are_new"
"""The column that shows whether the tokens were counted, and not known before."""

COUNTED = T.StructType([*TOKENS, T.StructField(IS_NEW, T.BooleanType())])

Known = Mapping[bytes, tuple[int, int]]
"""The tokens of texts, by their MD5."""

MOST_KNOWN = 500_000
"""The most known texts; each worker holds them in memory, some 200 bytes a text."""

_ROWS = "rows"


def counted_by() -> str:
    """The names of all that decides the counts: this program and the encoder. Empty if the program is unknown."""
    program = sources_fingerprint()
    return program and f"{program} {PACKAGE} {version(PACKAGE)}"


def remembered(draft: Draft) -> Draft:
    """A draft of the dataset whose record names the origin of its counts."""
    return replace(draft, made_from=counted_by(), totals={**draft.totals, _ROWS: draft.rows})


def known_tokens(run: Run, lake: Lake) -> Broadcast[Known] | None:
    """The tokens in the newest published result; None if it is of another program, or has too many."""
    old = lake.made_from(counted_by(), contract(DATASET), run.run_date)
    if old is None or old.totals[_ROWS] > MOST_KNOWN:
        return None
    if crc32_of(lake.files, old.uri) != old.crc32:
        run.log("tokens_not_known", reason=f"{old.uri}: it was changed after it was published")
        return None
    published = run.spark.read.parquet(literal(old.uri))
    rows = published.select(F.unhex(F.md5(TEXT)), *TOKENS.names).collect()
    return run.spark.sparkContext.broadcast({bytes(digest): (user, bot) for digest, user, bot in rows})


@dataclass(frozen=True)
class TokenCounter:
    """Adds COUNTED to rows of the CSV."""

    known: Broadcast[Known] | None = None

    def __call__(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The columns of COUNTED for a batch of rows."""
        known = self.known.value if self.known else {}
        counts: list[tuple[int, int] | None] = []
        are_new = []
        for value in rows.column(TEXT):
            text = memoryview(value.as_buffer()) if value.is_valid else None
            counted = known.get(hashlib.md5(text, usedforsecurity=False).digest()) if known and text else None
            are_new.append(text is not None and counted is None)
            counts.append(counted or (spoken_tokens(text) if text else None))
        columns = [[None if tokens is None else tokens[speaker] for tokens in counts] for speaker in (0, 1)]
        return pa.RecordBatch.from_arrays(
            [*(pa.array(column, pa.int64()) for column in columns), pa.array(are_new, pa.bool_())], names=COUNTED.names
        )


def spoken_tokens(text: str | bytes | memoryview) -> tuple[int, int] | None:
    """The tokens of the user's and the bot's messages, each counted by itself; None if it is no array of messages."""
    spoken: dict[str, list[str]] = {"user": [], "bot": []}
    try:
        for message in parse(text):
            if (speaker := message.get("from")) in spoken and (words := message.get("text")) is not None:
                if not isinstance(words, str):
                    return None
                spoken[speaker].append(words)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return sum(map(token_count, spoken["user"])), sum(map(token_count, spoken["bot"]))
