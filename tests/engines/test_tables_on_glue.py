"""Kept-up tables as on AWS: Glue's catalog (moto), S3 (SeaweedFS), a deployed job's settings, Athena's engine."""

from pathlib import Path

import boto3
import pytest

from tests.engines.spark_on_glue import run_on_glue
from tests.engines.trino import Trino
from tests.s3 import REGION, S3Server

# A hyphen, as the database of the purchases has them.
DATABASE = "dev-songs-datacatalog"


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_table_in_glue_is_merged_loaded_again_and_maintained_and_trino_reads_it(trino: Trino, s3: S3Server) -> None:
    glue = boto3.client(
        "glue", REGION, endpoint_url=trino.glue, aws_access_key_id=s3.key, aws_secret_access_key=s3.secret
    )
    glue.create_database(DatabaseInput={"Name": DATABASE})
    bucket = s3.bucket("songs")
    told = run_on_glue(Path("tests/engines/kept_songs.py"), trino.glue, s3, f"s3://{bucket}", DATABASE)
    songs = [["a", "new 5"], ["c", "last"], *([f"d{number}", "t"] for number in range(1, 6))]
    assert (told["rows"], told["position"]) == (songs, {"at": 6})
    assert told["files"][0] > told["files"][1] > 0
    # Athena's engine sees the same table by its name, and the positions of its commits.
    _, found = trino.ask("SELECT song_id, title FROM songs ORDER BY song_id", DATABASE)
    assert found == songs
    _, found = trino.ask(
        """SELECT summary['catlake.position'] FROM "songs$snapshots" ORDER BY committed_at DESC LIMIT 1""", DATABASE
    )
    assert found == [['{"at": 6}']]
    table = glue.get_table(DatabaseName=DATABASE, Name="songs")["Table"]
    assert table["Parameters"]["table_type"] == "ICEBERG"
    assert table["StorageDescriptor"]["Location"] == f"s3://{bucket}/tables/songs"
    columns = {column["Name"]: column.get("Comment") for column in table["StorageDescriptor"]["Columns"]}
    assert columns["title"] == "Its title."
    assert "_version" in columns
    assert {key.split("/")[1] for key in s3.keys(bucket)} == {"songs"}
