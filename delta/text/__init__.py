"""A context-mixing coder for a few kilobytes of text: what a patch says about graphs, names and metadata.

General compressors need tens of kilobytes to learn what a graph looks like; a patch has a few, and the base next to it
that looks alike. Here many small models each predict the next bit, a mixer weighs them by how right they were, and an
arithmetic coder spends what the mix leaves open: the PAQ family of Matt Mahoney (Data Compression Explained, sections
4.2 and 4.3, http://mattmahoney.net/dc/dce.html), cut down to what pure Python decodes in tolerable time.

`histories` is what a context remembers, `contexts` which contexts a byte stands in, `matching` the longest repeat,
`logistic` the mixer's arithmetic, `arithmetic` bits to bytes, `codec` all of it together. Everything is integer
arithmetic, so it gives the same text on every processor.
"""
