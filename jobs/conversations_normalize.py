"""Normalize: exports of the Catia table, full and incremental → one CSV row a user (ETL-1)."""

from catlake.conversations.normalize import normalize
from catlake.dynamodb import export_selection
from catlake.dynamodb.export_update import REBUILD
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, iso_date, optional

ARGUMENTS = (
    *export_selection.ARGUMENTS,
    REBUILD,
    Argument("first_date", optional(iso_date), FromEnvironment("first_conversation_date")),
    Argument("excluded_cities", optional(str), FromEnvironment("excluded_cities")),
)

if __name__ == "__main__":
    run_job(normalize, ARGUMENTS)
