"""Makes the table of current purchases in a Glue, of the documents in a bucket, as the report's job does first."""

import os
import sys

from catlake.job import SESSION_SETTINGS
from catlake.lake import Lake
from catlake.purchases.merge_documents import merge_new
from catlake.runtime.environment import environment
from catlake.runtime.run import Run
from tests.engines.spark_on_glue import session


def main(lake_uri: str) -> None:
    """Prints the number of rows."""
    spark = session(os.environ["CATLAKE_GLUE"])
    for name, value in SESSION_SETTINGS.items():
        spark.conf.set(name, value)
    run = Run(spark, {}, environment("local"), "job", "run")
    print(merge_new(run, Lake(spark, lake_uri, run.job, run.id)).rows().count())


if __name__ == "__main__":
    main(*sys.argv[1:])
