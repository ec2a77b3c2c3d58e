"""Curate: the newest normalized CSV → one typed Parquet file with token counts, and a spreadsheet (ETL-2)."""

from catlake.conversations.curate import curate
from catlake.job import run_job
from catlake.runtime.arguments import Argument, flag

ARGUMENTS = (Argument("spreadsheet", flag, True),)

if __name__ == "__main__":
    run_job(curate, ARGUMENTS)
