"""Runs the script of a job in a session whose tables are in a Glue: `job_on_glue purchases_report --JOB_NAME …`."""

import os
import sys
from runpy import run_path

from tests.engines.spark_on_glue import session
from tests.jobs.running import ROOT

if __name__ == "__main__":
    session(os.environ["CATLAKE_GLUE"])
    script = str(ROOT / f"jobs/{sys.argv[1]}.py")
    sys.argv = [script, *sys.argv[2:]]
    run_path(script, run_name="__main__")
