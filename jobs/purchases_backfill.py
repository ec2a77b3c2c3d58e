"""Backfill: all stored purchase documents → the partitions of their table, and the table of current purchases anew."""

from catlake.job import run_job
from catlake.purchases.backfill import backfill

if __name__ == "__main__":
    run_job(backfill)
