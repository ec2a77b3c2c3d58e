"""Consolidate: the new Bedrock conversation table and the archive of the old one → the token datasets."""

from catlake.bedrock.consolidate import consolidate
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, choice, count, flag, iso_date, optional, uri

ARGUMENTS = (
    Argument("export_uri", uri),
    Argument("max_export_age_hours", optional(count), None),
    Argument("allow_filtered_export", flag, False),
    Argument("first_date", optional(iso_date), FromEnvironment("tokens_first_date")),
    Argument("large_messages_uri", optional(uri), None),
    Argument("historical", choice("required", "optional"), "required"),
)

if __name__ == "__main__":
    run_job(consolidate, ARGUMENTS)
