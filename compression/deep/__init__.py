"""Deep Compression: prune by magnitude and retrain; let what is left share a few values and train these; code the indices.

S. Han, H. Mao, W. J. Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman Coding"
(arXiv:1510.00149).

The third stage is the packed codec (`compression.rate.packed_bytes`) in place of Huffman's code and relative indices: the file stays an
ordinary dense ONNX model that ONNX Runtime runs, with many zeros and few distinct values.

Pure, on arrays: `schedules` (how sparse when), `allocation` (how sparse each layer), `masks` (which weights), `sharing` (which values),
`entropy` (what the indices are worth). With torch, on a net: `pruning`, `trained_sharing`.
"""
