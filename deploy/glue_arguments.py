"""Job arguments that Glue itself reads: those of every job, and those that a deployment may add.

Source: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
"""

from collections.abc import Mapping

GLUE_ARGUMENTS: Mapping[str, str] = {
    "--enable-metrics": "true",
    "--enable-observability-metrics": "true",
    "--enable-continuous-cloudwatch-log": "true",
    # No bookmarks: each run reads its whole input.
    "--job-bookmark-option": "job-bookmark-disable",
    "--job-language": "python",
}
"""Every job has these."""

AUTO_SCALING: Mapping[str, str] = {"--enable-auto-scaling": "true"}
"""A job whose workers come and go has it too."""

LIBRARY, PACKAGES = "--extra-py-files", "--additional-python-modules"
"""These name the files of a deployment on S3."""

OPTIONAL_GLUE_ARGUMENTS = (
    LIBRARY,
    PACKAGES,
    "--TempDir",
    "--conf",
    "--continuous-log-logGroup",
    "--continuous-log-logStreamPrefix",
    "--custom-logGroup-prefix",
    "--enable-spark-ui",
    "--python-modules-installer-option",
    "--spark-event-logs-path",
)
"""A deployment may add these; any other argument would reach the job."""
