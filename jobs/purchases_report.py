"""Report: the stored purchase documents, of one tenant or of all → datasets, report.json and report.html."""

from catlake.purchases.report import report
from catlake.runtime.arguments import Argument, name
from catlake.runtime.run import run_job

ARGUMENTS = (Argument("tenant_id", name, None),)

if __name__ == "__main__":
    run_job(report, ARGUMENTS)
