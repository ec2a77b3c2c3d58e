"""What every job runs in: arguments, environment, files, metrics, errors. The same on Glue and on a laptop."""
