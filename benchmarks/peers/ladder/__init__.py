"""The rate-accuracy ladder against NNCodec and generic differs, on trained pairs: `python -m benchmarks.peers.ladder`."""
