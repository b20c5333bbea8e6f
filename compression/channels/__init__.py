"""Whole channels out of a net, so that it is really smaller and faster: dense tensors with fewer rows, no zeros to multiply with.

`binding` finds which axis of which initializer belongs to which channels, `removal` writes the graph without some of them, `dead` finds
channels whose removal changes nothing, `importance` ranks the others. ONNX alone; only importances by gradient need torch.
"""
