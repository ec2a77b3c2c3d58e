"""What every source of change events gives: the bytes of one event a row. Nothing is decoded: nothing can be lost."""

from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from catlake.lake.event_files import BatchFunction

LINES = T.StructType(
    [
        T.StructField("file", T.StringType(), False),
        T.StructField("line", T.LongType()),
        T.StructField("raw", T.BinaryType(), False),
        T.StructField("broken", T.StringType()),
    ]
)
"""An event: its file (or stream), the line in which it begins (where there are lines), and its bytes.

`broken` says why it is none: the file ends in the middle, or is gone; the text is endless.
"""


class Source(NamedTuple):
    """Where events come from.

    Attributes:
        stream: A streaming DataFrame.
        read: What makes LINES of its batches, within a task.
    """

    stream: DataFrame
    read: BatchFunction
