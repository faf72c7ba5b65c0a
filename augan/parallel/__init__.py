"""Executors, which run the tasks of a job in one process or on Dask workers, and shards of jobs."""
