"""What is measured beside the jobs: programs of one process that make the same results, each run by its name."""
