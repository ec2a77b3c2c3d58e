"""The least that a job can be: a Spark session and one count, by spark-submit."""

from pyspark.sql import SparkSession

if __name__ == "__main__":
    SparkSession.builder.getOrCreate().range(1_000).count()
