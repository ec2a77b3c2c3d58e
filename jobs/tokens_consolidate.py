"""Consolidate: exports of the new Bedrock conversation table and the archive of the old one → the token datasets."""

from catlake.bedrock.consolidate import consolidate
from catlake.bedrock.inference_profiles import GLOBAL, INFERENCE
from catlake.dynamodb import export_selection
from catlake.dynamodb.export_update import REBUILD
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, choice, iso_date, optional, region, uri

ARGUMENTS = (
    *export_selection.ARGUMENTS,
    Argument("first_date", optional(iso_date), FromEnvironment("tokens_first_date")),
    Argument("large_messages_uri", optional(uri), None),
    Argument("historical", choice("required", "optional"), "required"),
    Argument("bots_export_uri", optional(uri), None),
    Argument("bedrock_region", region, FromEnvironment("token_region")),
    Argument("inference", choice(*INFERENCE), GLOBAL),
    REBUILD,
)

if __name__ == "__main__":
    run_job(consolidate, ARGUMENTS)
