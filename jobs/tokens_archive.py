"""Archive: the old Bedrock conversation table → one CSV row a conversation, once."""

from catlake.bedrock.archive import archive
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, count, flag, iso_date, optional, uri

ARGUMENTS = (
    Argument("export_uri", uri),
    Argument("max_export_age_hours", optional(count), None),
    Argument("allow_filtered_export", flag, False),
    Argument("first_date", optional(iso_date), FromEnvironment("archive_first_date")),
    Argument("last_date", optional(iso_date), FromEnvironment("archive_last_date")),
    Argument("large_messages_uri", optional(uri), None),
)

if __name__ == "__main__":
    run_job(archive, ARGUMENTS)
