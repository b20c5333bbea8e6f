"""The codec: the fewest bytes that turn one model file into another, losslessly.

`delta.decoder` restores a file and needs only numpy, zstandard and pcodec; it knows spans and predictors, no model
format. `delta.encoder` understands ONNX and chooses. The byte layout between them is in `docs/formats.md`. Importing
this package alone imports nothing else.
"""
