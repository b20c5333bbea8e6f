"""Any ONNX file of ordinary operators as a torch module: run it, differentiate it, train it, write it back. The file is all that is needed.

    net = load_net(Path("digits.onnx"))
    logits = net({"image": images})["logits"]               # torch, differentiable
    net.train()                                             # batch statistics, dropout
    optimiser = torch.optim.Adam(p for p in net.parameters() if p.requires_grad)
    ...
    net.write(Path("tuned.onnx"))                           # same graph, names, order and metadata; today's weights

**Weights** (`net.weights`) are all float initializers and Constants by their ONNX names. Those that merely say how a node works (bounds of Clip,
scales of Resize and QuantizeLinear, an exponent, the value of Pad, an LSTM's first state) and single numbers without an axis are there too, but with
`requires_grad` False: an optimiser leaves them alone until somebody asks for their gradients. A constant behind an Identity is a weight of
its own (torch's exporter stores equal tensors once), and gets an initializer of its own when it is written with other values.
**Statistics** (`net.statistics`) are the running means and variances of BatchNormalization; train mode moves them, as in torch.
**Layers** (`net.layers`) are the nodes with constant weights, and say which axis is which.

Weights can be computed instead of stored, for one run, and get gradients: masks, shared values, rounded differences from another net.

    net(feeds, instead={layer.weight: net.weights[layer.weight] * mask})
    net(feeds, also=["/fire2/Concat_output_0"])             # an inner value beside the outputs

Half precision is computed in float32 and rounded on writing; integers stay what they are. QuantizeLinear lets gradients straight through.
`compression.onnx_torch.operators` is the table of what is supported; anything else, control flow included, is refused by name when the
file is loaded. What a net computes here and in ONNX Runtime differs by the order of float32 sums; accuracy is measured on the written file.
"""

from compression.onnx_torch.layers import Layer
from compression.onnx_torch.net import OnnxNet, Port, load_net
from compression.onnx_torch.samples import check_samples, feeds_of

__all__ = ["Layer", "OnnxNet", "Port", "check_samples", "feeds_of", "load_net"]
