"""Archive: the old Bedrock conversation table → one CSV row a conversation, once."""

from catlake.bedrock.archive import archive
from catlake.dynamodb import export_selection
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, iso_date, optional, uri

ARGUMENTS = (
    *export_selection.ARGUMENTS,
    Argument("first_date", optional(iso_date), FromEnvironment("archive_first_date")),
    Argument("last_date", optional(iso_date), FromEnvironment("archive_last_date")),
    Argument("large_messages_uri", optional(uri), None),
)

if __name__ == "__main__":
    run_job(archive, ARGUMENTS)
