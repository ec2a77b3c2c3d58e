# Written by `make setup` from local/spark/out-of-memory.sh; Java runs it when its memory is used up.
echo "spark: Java has used up its memory (SPARK_DRIVER_MEMORY=${SPARK_DRIVER_MEMORY:-2g}) and ends;" \
  "nothing more is published; set SPARK_DRIVER_MEMORY to more and run the job again" >&2
