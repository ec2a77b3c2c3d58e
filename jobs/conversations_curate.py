"""Curate: the newest normalized CSV → one typed Parquet file with token counts (ETL-2)."""

from catlake.conversations.curate import curate
from catlake.job import run_job

if __name__ == "__main__":
    run_job(curate)
