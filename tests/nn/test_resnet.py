"""The residual network: torchvision's names, Table 3.4's sizes, and the equation of a block."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch

from reference.resnet import torchvision_resnet18
from scalable_binding.nn.resnet import BasicBlock, PointwiseConv2d, ReflectedConv2d, ResNet


def test_names_and_shapes_are_torchvisions() -> None:
    expected = torchvision_resnet18()
    found = {name: tuple(tensor.shape) for name, tensor in ResNet().state_dict().items()}
    assert found == {name: shape for name, shape in expected.items() if not name.startswith("fc.")}
    assert list(found) == [name for name in expected if not name.startswith("fc.")]


def test_parameters_are_as_many_as_in_the_thesis() -> None:
    count = sum(parameter.numel() for parameter in ResNet().parameters())
    assert count == 11_176_512


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("size", [(256, 256), (64, 64), (33, 57), (37, 40), (41, 31)])
def test_every_stage_has_the_size_of_table_3_4(size: tuple[int, int], padding: str) -> None:
    """conv1 and the pool halve, res2 halves again, rounded up; res3 and res4 keep the size."""
    network = ResNet((4, 8, 16, 32), padding_mode=padding).eval()
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    strides_and_widths = {1: (4, 4), 2: (8, 8), 3: (8, 16), 4: (8, 32)}
    for stage, (stride, width) in strides_and_widths.items():
        expected = (1, width, *(math.ceil(side / stride) for side in size))
        assert network(image, stages=stage).shape == expected
    assert torch.equal(network(image), network(image, stages=4))


def test_a_block_is_its_equation() -> None:
    block = BasicBlock(4, 6, stride=2, padding_mode="zeros").eval()
    x = torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(0))
    straight = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    assert block.downsample is not None
    assert torch.equal(block(x), (straight + block.downsample(x)).relu())


def test_a_block_that_keeps_its_size_has_no_weights_in_its_shortcut() -> None:
    assert BasicBlock(4, 4, stride=1, padding_mode="zeros").downsample is None
    assert BasicBlock(4, 8, stride=1, padding_mode="zeros").downsample is not None


def test_reflection_pads_every_convolution_but_the_shortcuts() -> None:
    padded = [
        module
        for module in ResNet((4, 8), (1, 2), padding_mode="reflect").modules()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size != (1, 1)
    ]
    assert len(padded) == 1 + 2 * 2 * 2
    assert all(module.padding_mode == "reflect" for module in padded)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (7, 2)])
def test_reflection_equals_torchs_own_also_under_autocast(
    size: int, stride: int, dtype: torch.dtype
) -> None:
    arguments = (3, 5, size, stride, size // 2)
    ours = ReflectedConv2d(*arguments, bias=False, padding_mode="reflect")
    torchs = torch.nn.Conv2d(*arguments, bias=False, padding_mode="reflect")
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 9, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    images = [x.clone().requires_grad_() for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found, expected = ours(images[0]), torchs(images[1])
    assert found.dtype == dtype and torch.equal(found, expected)
    for result in (found, expected):
        result.float().square().sum().backward()
    assert torch.equal(ours.weight.grad, torchs.weight.grad)
    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(images[0].grad, images[1].grad, rtol=tolerance, atol=tolerance)


def test_fewer_blocks_and_stages_make_a_smaller_network() -> None:
    network = ResNet((4, 8, 8), (1, 2, 1), blocks=1)
    assert network.width == 8 and network.num_stages == 3
    assert "layer3.0.conv2.weight" in network.state_dict()
    assert not any(name.startswith(("layer4", "layer1.1")) for name in network.state_dict())


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(48, 48), (33, 47)])
def test_a_pointwise_convolution_is_a_strided_one(
    order: torch.memory_format, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = PointwiseConv2d(16, 24, 2).double()
    plain = torch.nn.Conv2d(16, 24, 1, 2).double()
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(3, 16, *size, generator=generator, dtype=torch.float64)
    x = x.to(memory_format=order).requires_grad_()
    found, expected = ours(x), plain(x)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    inputs = [x, ours.weight, ours.bias], [x, plain.weight, plain.bias]
    gradients = (
        torch.autograd.grad((weight * y).sum(), of)
        for y, of in zip((found, expected), inputs, strict=True)
    )
    torch.testing.assert_close(*gradients)


@pytest.mark.slow
def test_a_narrow_strided_shortcut_leaves_memory_alone() -> None:
    """What corrupts memory ends the process, so it runs in one of its own, with checks on."""
    program = (
        "import torch\n"
        "from scalable_binding.nn.resnet import PointwiseConv2d\n"
        "torch.set_num_threads(1)\n"
        "layer = PointwiseConv2d(8, 16, 2).to(memory_format=torch.channels_last)\n"
        "for _ in range(6):\n"
        "    x = torch.randn(12, 8, 48, 48, requires_grad=True)\n"
        "    layer(x).sum().backward()\n"
        "    kept = [torch.randn(size) for size in (7, 33, 129)]\n"
    )
    environment = {**os.environ, "MALLOC_CHECK_": "3"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
