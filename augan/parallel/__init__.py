"""Executors of jobs in one process or on Dask workers, and shards of jobs."""
