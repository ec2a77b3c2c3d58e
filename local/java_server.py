"""Keeps one Java for the Spark of several jobs, one after the other; `local.shared_java` starts it and asks it.

For each line of its input it stops the Spark that the last job has left, and answers with a line of JSON: the variables
by which the next job finds this Java. When its input ends, it ends Java and then itself.
"""

import json
import sys

from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway


def main() -> None:
    """Start Java by `PYSPARK_SUBMIT_ARGS`, and answer until the input ends."""
    try:
        # Standard output is for the answers alone.
        gateway = launch_gateway(popen_kwargs={"stdout": sys.stderr})  # type: ignore[no-untyped-call]
    except PySparkRuntimeError as error:
        sys.exit(f"Java does not start: {error}")
    where = gateway.gateway_parameters
    variables = {
        "PYSPARK_GATEWAY_PORT": str(where.port),
        "PYSPARK_GATEWAY_SECRET": where.auth_token,
        # Java's own folder, which nobody else may look into (local/spark/temporary-folder.sh).
        "TMPDIR": gateway.jvm.System.getProperty("java.io.tmpdir"),
    }
    for number, _ in enumerate(sys.stdin):
        if number:
            # Creates none: it is the one that the last job has left.
            gateway.jvm.org.apache.spark.SparkContext.getOrCreate().stop()
        print(json.dumps(variables), flush=True)
    gateway.proc.stdin.close()
    gateway.proc.wait()


if __name__ == "__main__":
    main()
