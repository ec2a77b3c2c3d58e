"""Keeps a table of songs up in a Glue: fills it, merges into it, loads it again, maintains it. Prints what it holds."""

import json
import os
import sys
from datetime import UTC, datetime

from catlake.lake import Lake
from catlake.lake.table_maintenance import maintain
from tests.contracts.songs import SONGS_TABLE
from tests.engines.spark_on_glue import session
from tests.lake.song_tables import rows


def main(lake_uri: str, database: str) -> None:
    """Prints the rows and the position as another run sees them, and what the maintenance did."""
    spark = session(os.environ["CATLAKE_GLUE"])
    lake = Lake(spark, lake_uri, "job", "run")
    table = lake.table(SONGS_TABLE, database)
    assert table.position is None
    table.replace(rows(spark, *({"id": name, "version": 1} for name in "abc")), position={"at": 0})
    for number in range(1, 6):
        changed = rows(
            spark,
            {"id": "a", "version": 1 + number, "title": f"new {number}"},
            {"id": "b", "version": 1 + number, "gone": True},
            {"id": f"d{number}", "version": 1},
        )
        lake.table(SONGS_TABLE, database).merge(changed, position={"at": number})
    done = maintain(lake.table(SONGS_TABLE, database), datetime.now(UTC))
    again = lake.table(SONGS_TABLE, database)
    again.merge(rows(spark, {"id": "c", "version": 9, "title": "last"}), position={"at": 6})
    found = [[row["song_id"], row["title"]] for row in again.rows().orderBy("song_id").collect()]
    print(json.dumps({"rows": found, "position": again.position, "files": [done.merged_files, done.made_files]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
