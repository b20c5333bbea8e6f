"""A URL configuration for `benchmarks.load.poll_cost` alone: the server's own, and beside it polls of devices that are believed."""
