"""Parquet whose bytes depend on its rows alone.

Spark's writer lists the encodings of a column in the order of a hash set, which is another one in each JVM. So
what Spark wrote is written again by Arrow, group by group, with the types of the contract.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

GROUP_BYTES = 64 << 20
"""What a row group holds, uncompressed: the memory that rewriting takes."""

MAX_GROUP_ROWS = 1 << 20


def rewrite(source: Path, target: Path, struct: T.StructType) -> None:
    """Writes the rows of a Parquet file into another, in order, with the schema of a contract."""
    schema = to_arrow_schema(struct)
    with pq.ParquetFile(source) as old, pq.ParquetWriter(target, schema, compression="snappy") as new:
        for batch in old.iter_batches(batch_size=_group_rows(old.metadata)):
            new.write_table(pa.Table.from_batches([batch]).cast(schema))


def _group_rows(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    row_size = max(size // max(metadata.num_rows, 1), 1)
    return int(max(min(GROUP_BYTES // row_size, MAX_GROUP_ROWS), 1))
