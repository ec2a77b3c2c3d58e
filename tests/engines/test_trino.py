"""The Trino of the tests: it reads what the deployment declares, and says what it refuses."""

from pathlib import Path

import boto3
import pytest

from catlake.contract import contract
from deploy.tables import table_input
from tests.catalog import publish
from tests.engines.trino import Trino, TrinoError
from tests.places import Bucket, copy
from tests.s3 import KEY, REGION, SECRET, S3Server

pytestmark = pytest.mark.slow

DATABASE = "trino_of_the_tests"


@pytest.fixture
def table(trino: Trino, s3: S3Server, tmp_path: Path) -> str:
    """A table as it is deployed, with one row."""
    place = Bucket(s3)
    publish(tmp_path, "tokens_analysis", [{"conversation_id": "c1", "user_id": "u1", "tokens_total": 7}])
    copy(tmp_path, place)
    glue = boto3.client("glue", REGION, endpoint_url=trino.glue, aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    glue.create_database(DatabaseInput={"Name": DATABASE})
    declared = table_input(contract("tokens_analysis"), place.root.replace("s3a://", "s3://"))
    glue.create_table(DatabaseName=DATABASE, TableInput=declared)
    return declared["Name"]


def test_trino_reads_a_table_of_glue_and_tells_what_it_refuses(trino: Trino, table: str) -> None:
    columns, rows = trino.ask(f"SELECT conversation_id, tokens_total FROM {table}", DATABASE)
    assert columns == [("conversation_id", "varchar"), ("tokens_total", "bigint")]
    assert rows == [["c1", 7]]
    with pytest.raises(TrinoError, match=r"COLUMN_NOT_FOUND: .*Column 'nowhere' cannot be resolved"):
        trino.ask(f"SELECT nowhere FROM {table}", DATABASE)
