# Written by `make setup` from local/spark/spark-env.sh; Spark's own scripts source it.

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

# For worker_daemon.py beside this file.
PYTHONPATH="@SPARK@/conf${PYTHONPATH:+:$PYTHONPATH}"

# Loopback only: nothing listens to the network, and the host's name need not resolve.
SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"

# boto3 reads the endpoint of another S3 server from these variables; Hadoop's client does not.
# A server that is not AWS has no name a bucket, so that the bucket goes into the path.
_s3="${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL:-}}"
if [ -n "$_s3" ]; then
  SPARK_SUBMIT_OPTS="${SPARK_SUBMIT_OPTS:-} -Dspark.hadoop.fs.s3a.endpoint=$_s3 -Dspark.hadoop.fs.s3a.path.style.access=true"
fi
unset _s3

# Spark's settings: spark-defaults.conf beside this file, each as a property of the JVM. Spark would read that file by itself,
# but from a folder on its class path, and with a folder there that holds files, the JVM takes no archive of classes.
SPARK_SUBMIT_OPTS="${SPARK_SUBMIT_OPTS:-} -Dlog4j2.configurationFile=\"@SPARK@/conf/log4j2.properties\""
while read -r _name _value; do
  case "$_name" in spark.*) SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -D$_name=\"$_value\"" ;; esac
done < "@SPARK@/conf/spark-defaults.conf"
unset _name _value
SPARK_CONF_DIR="@SPARK@/no-conf"
SPARK_DRIVER_MEMORY="${SPARK_DRIVER_MEMORY:-2g}"
# Python's temporary files, Java's with Spark's, and those of the S3 client.
. "@SPARK@/conf/temporary-folder.sh"
SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -Djava.io.tmpdir=\"$TMPDIR\" -Dspark.hadoop.hadoop.tmp.dir=\"$TMPDIR\""
# The S3 client (jars fetched by `make setup`).
SPARK_DIST_CLASSPATH="@JARS@/*"

# Only the JVM's quick compiler: a laptop's runs last seconds, most of which the thorough one would take for itself.
# And the collector without threads of its own: a tenth less for a small job on two cores. For a large export give
# --conf spark.driver.extraJavaOptions="-XX:TieredStopAtLevel=4".
SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Room for the classes of a job: Java would else look through its whole memory some times, to forget classes that are used.
SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -XX:MetaspaceSize=256m"
# A JVM whose memory is used up would wait for ever for a thread that has died of it.
SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -XX:+ExitOnOutOfMemoryError -XX:OnOutOfMemoryError=\"sh '@SPARK@/conf/out-of-memory.sh'\""
# Spark's classes, parsed and verified once by `make setup`: half of what a session's start takes. Where Java finds that
# the archive is not of these jars, it does without and says nothing.
if [ -f "@ARCHIVE@" ]; then
  SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -XX:SharedArchiveFile=\"@ARCHIVE@\" -Xlog:cds=off -Xlog:cds+dynamic=off -Xlog:class+path=off"
fi
