"""Rows of the large nets, which the small ones are compared with."""

from compression.zoo.entry import MB, NetShape, Paper, ZooEntry, net_of

_GOOGLENET = Paper(
    'Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842',
    "table 1 and section 5",
    "54 MB",
    54 * MB,
)

LARGE: tuple[ZooEntry, ...] = (
    ZooEntry(
        name="alexnet",
        title="AlexNet",
        build=net_of("alexnet", "alexnet"),
        paper=Paper(
            'Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012',
            "section 3.5 and figure 2",
            "240 MB",
            240 * MB,
        ),
        shape=NetShape(height=227, width=227),
        smallest=NetShape(height=67, width=67, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB; the paper's figure is rounded to tens.",
    ),
    ZooEntry(
        name="vgg-19",
        title="VGG-19",
        build=net_of("vgg", "vgg19"),
        paper=Paper(
            'Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, '
            "arXiv:1409.1556",
            "table 1, column E",
            "575 MB",
            575 * MB,
        ),
        shape=NetShape(),
        smallest=NetShape(height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB.",
    ),
    ZooEntry(
        name="network-in-network",
        title="Network in Network",
        build=net_of("nin", "network_in_network"),
        paper=Paper(
            'Lin, Chen, Yan, "Network in Network", ICLR 2014, arXiv:1312.4400',
            "section 3; the ImageNet net is the authors' NIN_ImageNet of Caffe's model zoo",
            "30 MB",
            30 * MB,
        ),
        shape=NetShape(height=227, width=227),
        smallest=NetShape(height=67, width=67, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB. The paper has no ImageNet net; the layers are "
        "those that its authors published.",
    ),
    ZooEntry(
        name="googlenet-v1",
        title="GoogLeNet-v1",
        build=net_of("googlenet", "googlenet"),
        paper=_GOOGLENET,
        shape=NetShape(),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB are what inference needs. The paper's figure includes the two "
        "auxiliary classifiers of training: 6,998,552 + 3,188,840 + 3,190,888 = 13,378,280 weights x 4 B = 53.51 MB, see "
        "googlenet-v1-auxiliary.",
    ),
    ZooEntry(
        name="googlenet-v1-auxiliary",
        title="GoogLeNet-v1, auxiliary classifiers",
        build=net_of("googlenet", "googlenet", auxiliary=True),
        paper=_GOOGLENET,
        shape=NetShape(),
        smallest=NetShape(height=80, width=80, classes=10),
        outputs=("logits", "auxiliary_logits_4a", "auxiliary_logits_4d"),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB, with the two auxiliary classifiers of training.",
    ),
    ZooEntry(
        name="inception-v3",
        title="Inception-v3",
        build=net_of("inception3", "inception_v3"),
        paper=Paper(
            'Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, arXiv:1512.00567',
            "table 1 and figures 5, 6, 7 and 10; the widths inside are those of the authors' TensorFlow model",
            "95-96 MB",
            95_500_000,
        ),
        shape=NetShape(height=299, width=299),
        smallest=NetShape(height=75, width=75, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB without the auxiliary classifier. 34,432 of them are running "
        "means and variances, 0.14 MB.",
    ),
    ZooEntry(
        name="resnet-152",
        title="ResNet-152",
        build=net_of("resnet", "resnet152"),
        paper=Paper(
            'He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385',
            "table 1, column 152-layer",
            "241 MB",
            241 * MB,
        ),
        shape=NetShape(),
        smallest=NetShape(height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB. 151,424 of them are running means and variances, 0.61 MB.",
    ),
)
