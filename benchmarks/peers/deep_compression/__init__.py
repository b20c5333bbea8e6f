"""Deep Compression's table, stage by stage as in the paper (Han et al., arXiv:1510.00149, tables 1 and 4), on a SqueezeNet of 1.2 M weights.

`python -m benchmarks.peers.deep_compression` writes docs/deep-compression.md. What was made is kept, so a run that was cut off goes on.
"""
