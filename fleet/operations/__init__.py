"""Running it: the worker, the periodic jobs, the first admin."""
