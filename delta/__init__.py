"""The codec: the bytes that turn one model file into another, losslessly."""
