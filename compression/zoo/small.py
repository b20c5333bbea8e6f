"""Rows of the small nets, and of those that find, segment and paint."""

from compression.zoo.entry import MB, NetShape, Paper, ZooEntry, net_of

_SQUEEZENET = Paper(
    'Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", arXiv:1602.07360',
    "table 1; padding and pooling as in the authors' files",
    "4.8 MB",
    4_800_000,
)
_MOBILENET = 'Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv:1704.04861'
_SHUFFLENET = 'Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", arXiv:1707.01083'
_MOBILENET_V2 = (
    'Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381, table 4'
)
_XIAO = (
    'Xiao et al., "Building Fast and Compact Convolutional Neural Networks for Offline Handwritten Chinese Character '
    'Recognition", Pattern Recognition 2017, arXiv:1702.07975'
)
_STATISTICS = "running means and variances of batch normalisation, which folding removes"

SMALL: tuple[ZooEntry, ...] = (
    ZooEntry(
        name="squeezenet-1.0",
        title="SqueezeNet 1.0",
        build=net_of("squeezenet", "squeezenet", version="1.0"),
        paper=_SQUEEZENET,
        shape=NetShape(height=227, width=227),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB; the paper's MB are MiB.",
    ),
    ZooEntry(
        name="squeezenet-1.1",
        title="SqueezeNet 1.1",
        build=net_of("squeezenet", "squeezenet", version="1.1"),
        paper=_SQUEEZENET,
        shape=NetShape(),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB. The figure is that of version 1.0; 1.1 has 12,928 "
        "weights fewer and 2.4 times fewer multiplications.",
    ),
    ZooEntry(
        name="mobilenet-1.0",
        title="MobileNet, width 1",
        build=net_of("mobilenet", "mobilenet"),
        paper=Paper(_MOBILENET, "table 1", "16.8 MB", 16_800_000),
        shape=NetShape(),
        smallest=NetShape(height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB. 21,888 of them are "
        + _STATISTICS
        + ", 0.09 MB; the paper rounds 4.23 million to 4.2.",
    ),
    ZooEntry(
        name="mobilenet-0.75",
        title="MobileNet, width 0.75",
        build=net_of("mobilenet", "mobilenet", width=0.75),
        paper=Paper(_MOBILENET, "table 1 and section 3.3", "10.4 MB", 10_400_000),
        shape=NetShape(),
        smallest=NetShape(height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB, the lower end of the overview's 10.4-16.8 MB.",
    ),
    ZooEntry(
        name="shufflenet-1.5",
        title="ShuffleNet v1, 1.5 x, 3 groups",
        build=net_of("shufflenet", "shufflenet", width=1.5),
        paper=Paper(_SHUFFLENET, "table 1", "3.4 M parameters", 13_600_000, _MOBILENET_V2),
        shape=NetShape(),
        smallest=NetShape(height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB, 36,720 of them "
        + _STATISTICS
        + ". The overview gives no size and "
        "the paper only multiplications; the figure is from a later comparison, rounded to 0.1 million.",
    ),
    ZooEntry(
        name="shufflenet-2.0",
        title="ShuffleNet v1, 2 x, 3 groups",
        build=net_of("shufflenet", "shufflenet", width=2.0),
        paper=Paper(_SHUFFLENET, "table 1", "5.4 M parameters", 21_600_000, _MOBILENET_V2),
        shape=NetShape(),
        smallest=NetShape(height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB, 48,960 of them "
        + _STATISTICS
        + ". The figure's origin is that of "
        "shufflenet-1.5.",
    ),
    ZooEntry(
        name="tinynet",
        title="TinyNet (rebuilt)",
        build=net_of("sketched", "tinynet"),
        paper=Paper(
            'named in Iandola, Keutzer, "Small Neural Nets Are Beautiful", arXiv:1710.02759',
            "no layers are published there",
            "7.9 MB",
            7_900_000,
        ),
        shape=NetShape(),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB. Assumed: five stages of three layers with 32 to 256 channels, half of the "
        "filters 1x1, evenly spaced halvings, no fully connected layer (sections 5.2, 5.3, 5.5). The widths were chosen to meet "
        "the figure, so it proves nothing: a tenth more channels weigh 9.2 MB, a tenth fewer 6.3 MB.",
    ),
    ZooEntry(
        name="compact-dnn",
        title="Compact DNN (rebuilt)",
        build=net_of("sketched", "compact_dnn"),
        paper=Paper(
            'Wu et al., "A Compact DNN: Approaching GoogLeNet-Level Accuracy of Classification and Domain Adaptation", CVPR 2017',
            "abstract: 4.1 million parameters; the module's numbers of filters are not rebuilt from it",
            "16.4 MB",
            16_400_000,
        ),
        shape=NetShape(),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB. Assumed: four stages of three modules, in each a 1x1 squeeze to a quarter, "
        "three 3x3 convolutions side by side in 4 groups with dilations 1, 2 and 3, and a 1x1 convolution. The widths were chosen to meet "
        "the figure, so it proves nothing: a tenth more channels weigh 19.8 MB.",
    ),
    ZooEntry(
        name="hccr-direct-map",
        title="Character net before Xiao et al.",
        build=net_of("characters", "direct_map"),
        paper=Paper(
            'Zhang, Bengio, Liu, "Online and Offline Handwritten Chinese Character Recognition: A Comprehensive Study and New '
            'Benchmark", Pattern Recognition 2017, arXiv:1606.05763',
            "section on the convolutional net: 8 convolutions from 50 to 400 channels, 900 and 200 units",
            "23 MB",
            23 * MB,
        ),
        shape=NetShape(channels=8, height=32, width=32, classes=3755),
        smallest=NetShape(channels=8, height=16, width=16, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB. We take the overview's 23 MB for this net, to which Xiao et al. "
        "compare theirs (about 10 times smaller); their own baseline is larger, see hccr-nine-layers.",
    ),
    ZooEntry(
        name="hccr-nine-layers",
        title="Character net of Xiao et al., baseline",
        build=net_of("characters", "nine_layers"),
        paper=Paper(
            _XIAO,
            "section 4; 41.5 MB follow from 2.3 MB being 1/18",
            "41.5 MB",
            41_500_000,
            "Xiao et al., abstract: 18 times 2.3 MB",
        ),
        shape=NetShape(channels=1, height=96, width=96, classes=3755),
        smallest=NetShape(channels=1, height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB. Assumed: batch normalisation and PReLU behind every "
        "convolution; poolings of 3x3 padded so that they halve.",
    ),
    ZooEntry(
        name="hccr-nine-layers-low-rank",
        title="Character net of Xiao et al., small",
        build=net_of("characters", "nine_layers", speedup=4.0),
        paper=Paper(_XIAO, "sections 3.2 (low-rank expansion) and 3.3 (adaptive drop-weight)", "2.3 MB", 2_300_000),
        shape=NetShape(channels=1, height=96, width=96, classes=3755),
        smallest=NetShape(channels=1, height=32, width=32, classes=10),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB of dense float32: the architecture is only the first half of what the "
        "paper does. Its 2.3 MB are 2.2 bits for each of these weights, of which the fully connected layers alone have 7.4 million: what it costs to "
        "keep a quarter of them at 32 values a layer, as steps `prune` and `share` of a recipe do. Assumed: ranks "
        "for 4 times fewer multiplications in every convolution but the first; the fully connected layers stay whole.",
    ),
    ZooEntry(
        name="squeezedet",
        title="SqueezeDet",
        build=net_of("squeezedet", "squeezedet"),
        paper=Paper(
            'Wu, Iandola, Jin, Keutzer, "SqueezeDet: Unified, Small, Low Power Fully Convolutional Neural Networks for Real-Time '
            'Object Detection for Autonomous Driving", CVPR workshops 2017, arXiv:1612.01051',
            "section 3 and table 2; channels of the two last fire modules as in the authors' code",
            "7.9 MB",
            7_900_000,
        ),
        shape=NetShape(height=384, width=1248, classes=3),
        smallest=NetShape(height=32, width=48, classes=3),
        outputs=("predictions",),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB = {mib:.2f} MiB; the paper's MB are MiB. 72 outputs a place: nine anchors with "
        "three classes, a confidence and four deltas.",
    ),
    ZooEntry(
        name="segnet",
        title="SegNet",
        build=net_of("segnet", "segnet"),
        paper=Paper(
            'Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation", '
            "arXiv:1511.00561",
            "section 3 and figure 2",
            "117 MB",
            117 * MB,
        ),
        shape=NetShape(height=360, width=480, classes=11),
        smallest=NetShape(height=32, width=40, classes=3),
        outputs=("scores",),
        near_ties=0.01,
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB, 15,872 of them " + _STATISTICS + ".",
    ),
    ZooEntry(
        name="enet",
        title="ENet",
        build=net_of("enet", "enet"),
        paper=Paper(
            'Paszke, Chaurasia, Kim, Culurciello, "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation", '
            "arXiv:1606.02147",
            "table 1 and figure 2",
            "0.7 MB",
            700_000,
        ),
        shape=NetShape(height=512, width=512, classes=12),
        smallest=NetShape(height=32, width=40, classes=3),
        outputs=("scores",),
        near_ties=0.01,
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB. The paper counts fp16, 0.37 million x 2 B, and rounds 0.74 down to 0.7 MB; ours in "
        "fp16 is half as much, 0.743 MB, of which 0.017 MB are "
        + _STATISTICS
        + ". The file is fp32 because in fp16 near ties between maxima, and with "
        "them the places of the unpooling, turn on how a runtime rounds.",
    ),
    ZooEntry(
        name="style-transformer",
        title="Style transfer, the net that is deployed",
        build=net_of("transformer", "transformer"),
        paper=Paper(
            'Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, arXiv:1603.08155',
            "supplement, table 1",
            "no size",
            None,
        ),
        shape=NetShape(height=256, width=256, classes=1),
        smallest=NetShape(height=16, width=24, classes=1),
        outputs=("stylised",),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB. No paper quotes a size. The overview's point is the net that it is trained "
        "against: SqueezeNet's features (style-features) in place of VGG-19's 575 MB.",
    ),
    ZooEntry(
        name="style-features",
        title="Style transfer, the features it is trained against",
        build=net_of("squeezenet", "squeezenet_features"),
        paper=_SQUEEZENET,
        shape=NetShape(height=256, width=256, classes=1),
        outputs=("fire3", "fire5", "fire7", "fire9"),
        explanation="{param_count:,} weights x 4 B = {mb:.2f} MB: SqueezeNet 1.1 without its last layer, whose 513,000 weights no feature needs.",
    ),
)
