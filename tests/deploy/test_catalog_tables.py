"""The catalog's tables, held against Glue's own service model."""

import botocore.session
import pytest
from botocore.validate import ParamValidator

from catlake.contracts.contract import contract, contract_names
from deploy.catalog_tables import table_input

# Iceberg makes its tables itself.
TABLES = [name for name in contract_names() if contract(name).table and not contract(name).is_kept_up]


@pytest.mark.parametrize("name", TABLES)
def test_glue_takes_the_table_of_every_contract_that_has_one(name):
    glue = botocore.session.get_session().get_service_model("glue")
    request = {"DatabaseName": "db", "TableInput": table_input(contract(name), "s3://bucket")}
    report = ParamValidator().validate(request, glue.operation_model("CreateTable").input_shape)
    assert not report.has_errors(), report.generate_report()


def test_the_purchases_are_json_in_partitions_below_one_folder():
    made = table_input(contract("compras_json"), "s3://dev-compras-backup-s3-bucket/")
    assert made["StorageDescriptor"]["Location"] == "s3://dev-compras-backup-s3-bucket/compras/"
    assert made["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] == "org.apache.hive.hcatalog.data.JsonSerDe"
    assert [key["Name"] for key in made["PartitionKeys"]] == ["tenant_id", "year", "month", "day"]
    # Hive refuses a column that is a partition's too.
    assert "tenant_id" not in [column["Name"] for column in made["StorageDescriptor"]["Columns"]]
    assert not [name for name in made["Parameters"] if name.startswith("projection")]


def test_a_table_of_one_parquet_file_is_its_folder():
    made = table_input(contract("tokens_analysis"), "s3://cat-test-normalize-reports")
    assert made["StorageDescriptor"]["Location"] == (
        "s3://cat-test-normalize-reports/tokens-analysis/tokens_analysis.parquet/"
    )
    assert made["PartitionKeys"] == []


def test_a_dataset_without_a_table_is_refused():
    with pytest.raises(ValueError, match="contract tokens_daily: no catalog table"):
        table_input(contract("tokens_daily"), "s3://bucket")
