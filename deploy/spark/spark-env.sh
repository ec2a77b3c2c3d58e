# Written by `make setup` from deploy/spark/spark-env.sh; Spark's own scripts source it.

# Glue 5.1 runs Java 17: a JAVA_HOME of some other version in the user's shell must not win.
JAVA_HOME="@JAVA_HOME@"

# Both may change after `make setup`, and what would follow says less.
if [ "$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)" != "@SPARK@" ]; then
  echo "spark: this environment was made as @SPARK@ and then moved; run \`make setup\`" >&2
  exit 1
elif [ ! -x "$JAVA_HOME/bin/java" ]; then
  echo "spark: the Java that \`make setup\` found is no longer in $JAVA_HOME; run \`make setup\` again" >&2
  exit 1
fi

# Jobs started by spark-submit run in the project's Python, whatever python3 the shell finds.
PYSPARK_PYTHON="${PYSPARK_PYTHON:-@PYTHON@}"

# Loopback only: nothing listens to the network, and the host's name need not resolve.
SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"

# boto3 reads the endpoint of another S3 server from these variables; Hadoop's client does not.
# A server that is not AWS has no name a bucket, so that the bucket goes into the path.
_s3="${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL:-}}"
if [ -n "$_s3" ]; then
  SPARK_SUBMIT_OPTS="${SPARK_SUBMIT_OPTS:-} -Dspark.hadoop.fs.s3a.endpoint=$_s3 -Dspark.hadoop.fs.s3a.path.style.access=true"
fi
unset _s3
