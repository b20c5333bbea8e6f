"""The range asymmetric numeral coder for integers in context: what general entropy coders cannot know about a residual.

`symbols` turns an item into a symbol and raw bits, `tables` gives every context its distribution, `rans` codes symbols,
`bits` the rest. All of it is integer arithmetic on arrays, so it gives the same items on every processor.
"""
