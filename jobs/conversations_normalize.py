"""Normalize: a full export of the Catia table → one CSV row a user (ETL-1)."""

from catlake.conversations.normalize import normalize
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, count, flag, iso_date, optional, uri

ARGUMENTS = (
    Argument("export_uri", uri),
    Argument("max_export_age_hours", optional(count), None),
    Argument("allow_filtered_export", flag, False),
    Argument("first_date", optional(iso_date), FromEnvironment("first_conversation_date")),
    Argument("excluded_cities", optional(str), FromEnvironment("excluded_cities")),
)

if __name__ == "__main__":
    run_job(normalize, ARGUMENTS)
