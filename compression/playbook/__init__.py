"""The moves of Iandola and Keutzer, "Small Neural Nets Are Beautiful" (ESWEEK 2017, arXiv:1710.02759), section 5, as functions.

A move takes a torch module and gives another; the first is left as it is, so moves compose by being applied one after the other. Most are
to be trained again, and say so. `before_and_after` counts what a move buys in the files. Moves that work on the file itself (pruning,
shared weights, quantisation, distillation) are steps of recipes: `playbook.files` takes them from there.
"""

from compression.onnx_operators import ChannelShuffle
from compression.playbook.binary import binarise, settle
from compression.playbook.channels import reduce_channels, squeeze_before
from compression.playbook.comparing import Comparison, Cost, before_and_after, cost_of, cost_of_file
from compression.playbook.convolutional import averaged_classifier, fully_convolutional, linear_to_convolution
from compression.playbook.downsampling import evenly_spaced, space_downsampling
from compression.playbook.groups import depthwise_separable, group_convolutions, shuffle_groups
from compression.playbook.kernels import reduce_kernels

__all__ = [
    "ChannelShuffle",
    "Comparison",
    "Cost",
    "averaged_classifier",
    "before_and_after",
    "binarise",
    "cost_of",
    "cost_of_file",
    "depthwise_separable",
    "evenly_spaced",
    "fully_convolutional",
    "group_convolutions",
    "linear_to_convolution",
    "reduce_channels",
    "reduce_kernels",
    "settle",
    "shuffle_groups",
    "space_downsampling",
    "squeeze_before",
]
