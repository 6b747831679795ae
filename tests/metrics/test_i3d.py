"""I3D: sizes, padding, resizing and its weights' names."""

import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.metrics.i3d import I3D, pad, resize, take_maxima


@pytest.fixture(scope="module")
def network():
    """With weights that let the input through to the logits."""
    network = I3D().eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if name.endswith("conv3d.weight"):
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
    return network


def test_its_size_is_the_published_one(network):
    """Inception-v1 with kernels in three dimensions; two parameters of a norm for each channel."""
    parameters = dict(network.named_parameters())
    convolutions = [p for n, p in parameters.items() if n.endswith("conv3d.weight")]
    assert len(convolutions) == 3 + 9 * 6 + 1
    assert len(parameters) == 3 * (3 + 9 * 6) + 2
    assert parameters["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert parameters["Mixed_4f.b1b.conv3d.weight"].shape == (320, 160, 3, 3, 3)
    assert parameters["logits.conv3d.bias"].shape == (400,)
    assert round(sum(p.numel() for p in parameters.values()) / 1e6, 1) == 12.7


@pytest.mark.parametrize("side", [4, 5, 6, 7])
def test_padding_is_that_of_tensorflow(side):
    """ceil(side / stride) windows, and where zeros are odd in number one more at the end."""
    x = torch.ones(1, 1, side, 1, 1)
    padded = pad(x, (3, 1, 1), (2, 1, 1))[0, 0, :, 0, 0]
    needed = (-(-side // 2) - 1) * 2 + 3 - side
    assert len(padded) == side + needed
    assert padded.tolist() == [0.0] * (needed // 2) + [1.0] * side + [0.0] * (needed - needed // 2)
    assert take_maxima(x, (3, 1, 1), (2, 1, 1)).shape[2] == -(-side // 2)


def test_frames_are_resized_along_the_shorter_side_and_cropped_in_the_middle():
    wide = torch.zeros(1, 3, 2, 56, 112, dtype=torch.uint8)
    wide[..., 28:84] = 255
    found = resize(wide)
    assert found.shape == (1, 3, 2, 224, 224)
    assert (found[..., 4:-4] == 1).all()
    tall = resize(wide.transpose(3, 4))
    assert torch.equal(tall, found.transpose(3, 4))
    assert (resize(torch.zeros(1, 3, 1, 224, 224, dtype=torch.uint8)) == -1).all()


def test_features_are_logits_and_see_motion(network):
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (1, 3, 9, 32, 32), generator=generator).byte()
    with torch.no_grad():
        found = network(video)
        backwards = network(video.flip(2))
    assert found.features.shape == (1, 400) and torch.equal(found.features, found.logits)
    assert not torch.allclose(found.features, backwards.features, rtol=1e-3)
    with pytest.raises(UserError, match="at least 9 frames, got 8"):
        network(video[:, :, :8])
