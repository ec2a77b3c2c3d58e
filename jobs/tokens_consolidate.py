"""Consolidate: the new Bedrock conversation table and the archive of the old one → the token datasets."""

from catlake.bedrock.consolidate import consolidate
from catlake.dynamodb import export_selection
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, choice, iso_date, optional, uri

ARGUMENTS = (
    *export_selection.ARGUMENTS,
    Argument("first_date", optional(iso_date), FromEnvironment("tokens_first_date")),
    Argument("large_messages_uri", optional(uri), None),
    Argument("historical", choice("required", "optional"), "required"),
)

if __name__ == "__main__":
    run_job(consolidate, ARGUMENTS)
