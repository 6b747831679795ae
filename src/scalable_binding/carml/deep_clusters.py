"""Features of pixels, learned by clustering trajectories and telling the clusters apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding.carml.clustering import cluster, first_of, mean_of, sum_of
from scalable_binding.carml.config import DeepClusterConfig
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.nn.resnet import BasicBlock

EIGENVALUE_FLOOR = 1e-5
CALIBRATION_BATCHES = 20


class PixelEncoder(nn.Module):
    """Images to feature vectors: convolutions of one width everywhere, then the mean over places.

    "resnet10": a 5x5 convolution of stride 2, max-pooling, four basic blocks, three of them with
    stride 2 (313,536 parameters with 64 filters). "small": four 3x3 convolutions of stride 2.

    Args:
        config: kind and width.

    Source: Thesis 4.7.2 (ResNet-10, 64 filters); the first layer is the authors' code's.
    """

    def __init__(self, config: DeepClusterConfig) -> None:
        super().__init__()
        self.width = config.width
        kinds = {"resnet10": _resnet10, "small": _small}
        with torch.random.fork_rng(devices=[]):  # weights are drawn by init_weights
            self.layers = kinds[config.encoder](config.width)

    @property
    def device(self) -> torch.device:
        """Where the network runs; clusterings and mixtures stay on the CPU."""
        return next(self.parameters()).device

    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The features of images."""
        return self.layers(images.float() / 127.5 - 1).mean(dim=(-2, -1))


def _resnet10(width: int) -> nn.Sequential:
    blocks = [BasicBlock(width, width, stride, "zeros") for stride in (1, 2, 2, 2)]
    return nn.Sequential(*_layer(3, width, 5), nn.MaxPool2d(3, 2, 1), *blocks)


def _small(width: int) -> nn.Sequential:
    layers = _layer(3, width, 3)
    for _ in range(3):
        layers += _layer(width, width, 3)
    return nn.Sequential(*layers)


def _layer(width_in: int, width: int, size: int) -> list[nn.Module]:
    convolution = nn.Conv2d(width_in, width, size, 2, size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


def init_weights(
    encoder: PixelEncoder, generator: Generator, ranks: DistributedContext | None
) -> None:
    """Draw all convolutions, the same on every rank."""
    device = encoder.device
    encoder.cpu()  # the same numbers on any device
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
            module.weight.data.copy_(first_of(module.weight.data, ranks))
    encoder.to(device)


@torch.no_grad()
def encode(
    encoder: PixelEncoder, images: UInt8[Tensor, "b c h w"], batch_size: int = 512
) -> Float[Tensor, "b d"]:
    """The features of many images, in evaluation mode."""
    encoder.eval()
    parts = images.split(batch_size)
    return torch.cat([encoder(part.to(encoder.device)).cpu() for part in parts])


def spread(trajectories: Shaped[Tensor, "n t *obs"], num: int | None) -> Shaped[Tensor, "n s *obs"]:
    """As many states of each trajectory, evenly apart, the last one among them."""
    length = trajectories.shape[1]
    if num is None or num >= length:
        return trajectories
    places = length - 1 - torch.arange(num).flip(0) * length // num
    return trajectories[:, places]


class Learned(NamedTuple):
    """How well the last round's clusters were told apart: cross-entropy and accuracy."""

    loss: float
    accuracy: float


def learn(
    encoder: PixelEncoder,
    trajectories: UInt8[Tensor, "n t c h w"],
    num_clusters: int,
    config: DeepClusterConfig,
    generator: Generator,
    ranks: DistributedContext | None = None,
) -> Learned:
    """Rounds of clustering features and of learning to tell which cluster a state belongs to.

    All states of a trajectory have its label: argmin_k sum_t |g(s_t) - c_k|^2.

    Args:
        encoder: is trained from where it is.
        trajectories: this rank's.
        num_clusters: K.
        config: of the rounds.
        generator: of clusterings, new heads, batches and shifts.
        ranks: if given, all ranks cluster and learn together.

    Raises:
        UserError: fewer trajectories than clusters.

    Source: Thesis Alg. 10, lines 4-7; k-means and not a mixture while features are learned.
    """
    _calibrate(encoder, trajectories, config, generator, ranks)
    learned = Learned(math.nan, math.nan)
    for _ in range(config.rounds):
        features = encode(encoder, rearrange(trajectories, "n t ... -> (n t) ..."))
        if config.components > 0:
            features = whiten(features, config.components, ranks)
        grouped = rearrange(features, "(n t) d -> n t d", n=len(trajectories))
        labels = cluster(grouped, num_clusters, generator, ranks=ranks).labels
        learned = _tell_apart(encoder, trajectories, labels, num_clusters, config, generator, ranks)
    encoder.eval()
    return learned


def whiten(
    features: Float[Tensor, "b d"], num: int, ranks: DistributedContext | None = None
) -> Float[Tensor, "b p"]:
    """Principal components with variance 1, then vectors of length 1.

    Source: Caron et al., DeepCluster, 2018.
    """
    features = features.double()
    count = sum_of(torch.tensor(float(len(features)), dtype=torch.float64), ranks)
    centered = features - sum_of(features.sum(0), ranks) / count
    covariance = sum_of(centered.mT @ centered, ranks) / count
    values, vectors = torch.linalg.eigh(covariance)
    kept = slice(-min(num, len(values)), None)
    floor = EIGENVALUE_FLOOR * values[-1].clamp(min=1e-12)
    components = centered @ vectors[:, kept] * (values[kept] + floor).rsqrt()
    return functional.normalize(components, dim=-1)


def _tell_apart(
    encoder: PixelEncoder,
    trajectories: Tensor,
    labels: Int64[Tensor, " n"],
    num_clusters: int,
    config: DeepClusterConfig,
    generator: Generator,
    ranks: DistributedContext | None,
) -> Learned:
    """A round of stochastic gradient descent on encoder and a new head."""
    head = _new_head(encoder.width, num_clusters, generator, ranks).to(encoder.device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(
        parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    length = trajectories.shape[1]
    count = config.epochs * -(-labels.numel() * length // config.batch_size)
    count = int(first_of(torch.tensor(min(count, config.max_batches or count)), ranks))
    encoder.train()
    loss = accuracy = torch.zeros(())
    for _ in range(count):
        chosen = sample_evenly(labels, config.batch_size, generator)
        moments = torch.randint(length, (len(chosen),), generator=generator)
        images = shift(trajectories[chosen, moments], config.shift, generator)
        logits = head(encoder(images.to(encoder.device)))
        targets = labels[chosen].to(encoder.device)
        loss = functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad.copy_(mean_of(parameter.grad, ranks))
        optimizer.step()
        accuracy = (logits.argmax(-1) == targets).float().mean()
    share_statistics(encoder, ranks)
    return Learned(float(loss.detach()), float(accuracy))


def sample_evenly(
    labels: Int64[Tensor, " n"], num: int, generator: Generator
) -> Int64[Tensor, " b"]:
    """Trajectories of which each cluster has the same share, however small it is."""
    counts = torch.bincount(labels).double()
    weights = counts.clamp(min=1).reciprocal()[labels]
    return torch.multinomial(weights, num, replacement=True, generator=generator)


def shift(
    images: UInt8[Tensor, "b c h w"], most: int, generator: Generator
) -> UInt8[Tensor, "b c h w"]:
    """Each image moved by up to ``most`` pixels, its border repeated."""
    if most == 0:
        return images
    b, _, h, w = images.shape
    offsets = torch.randint(-most, most + 1, (2, b, 1), generator=generator)
    rows = (torch.arange(h) + offsets[0]).clamp(0, h - 1)
    columns = (torch.arange(w) + offsets[1]).clamp(0, w - 1)
    rows, columns = repeat(rows, "b h -> b 1 h 1"), repeat(columns, "b w -> b 1 1 w")
    batch = torch.arange(b)[:, None, None, None]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return images[batch, channels, rows, columns]


def _new_head(
    width: int, num_clusters: int, generator: Generator, ranks: DistributedContext | None
) -> nn.Linear:
    head = nn.utils.skip_init(nn.Linear, width, num_clusters)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
    head.weight.data.copy_(first_of(head.weight.data, ranks))
    return head


@torch.no_grad()
def _calibrate(
    encoder: PixelEncoder,
    trajectories: Tensor,
    config: DeepClusterConfig,
    generator: Generator,
    ranks: DistributedContext | None,
) -> None:
    """Let the normalization see the present images before features are first taken."""
    encoder.train()
    states = rearrange(trajectories, "n t ... -> (n t) ...")
    for _ in range(CALIBRATION_BATCHES):
        chosen = torch.randint(len(states), (min(64, config.batch_size),), generator=generator)
        encoder(states[chosen].to(encoder.device))
    share_statistics(encoder, ranks)


def share_statistics(encoder: PixelEncoder, ranks: DistributedContext | None) -> None:
    """Make those of the batch norms the ranks' mean."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for statistic in (module.running_mean, module.running_var):
                assert statistic is not None
                statistic.copy_(mean_of(statistic, ranks))
