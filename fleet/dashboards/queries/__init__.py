"""The reads of pages that join several apps. Each costs a number of queries that does not grow with the fleet."""
