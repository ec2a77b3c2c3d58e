"""Report: the stored purchase documents, of one tenant or of all → datasets, report.json and report.html."""

from catlake.job import run_job
from catlake.purchases.report import report
from catlake.runtime.arguments import Argument, name

ARGUMENTS = (Argument("tenant_id", name, None),)

if __name__ == "__main__":
    run_job(report, ARGUMENTS)
