"""Where and when the jobs run: workflows, environments, deployment, and the same workflows on a laptop."""
