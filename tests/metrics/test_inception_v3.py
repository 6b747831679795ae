"""Inception-v3: sizes, the resizing, its weights' names, and a port that is in use."""

import pytest
import torch

from scalable_binding.engine.checkpoint import load_tensors
from scalable_binding.metrics.inception_v3 import InceptionV3, resize


def test_its_size_is_the_published_one():
    with torch.device("meta"):
        network = InceptionV3()
    parameters = dict(network.named_parameters())
    # 23,834,568 with 1,000 classes and without the auxiliary ones; here are 1,008.
    assert sum(p.numel() for p in parameters.values()) == 23_834_568 + 8 * 2049
    assert parameters["fc.weight"].shape == (1008, 2048)
    assert len(parameters) == 94 * 3 + 2


def test_images_are_resized_as_the_original_did():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    large = resize(image, 6)
    for row in range(6):
        for column in range(6):
            y, x = row * 3 / 6, column * 4 / 6
            top, left = int(y), int(x)
            below, right = min(top + 1, 2), min(left + 1, 3)
            picture = image[0, 0]
            above = picture[top, left] * (1 - (x - left)) + picture[top, right] * (x - left)
            under = picture[below, left] * (1 - (x - left)) + picture[below, right] * (x - left)
            expected = above * (1 - (y - top)) + under * (y - top)
            assert float(large[0, 0, row, column]) == pytest.approx(float(expected), abs=1e-5)
    assert torch.allclose(resize(image, 2), image[:, :, :2, ::2] + torch.tensor([[0.0], [2.0]]))


def test_files_of_other_ports_are_translated():
    with torch.device("meta"):
        tensors = InceptionV3().state_dict()
    given = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    given["AuxLogits.fc.bias"] = torch.zeros(1)
    assert InceptionV3.translate(given).keys() == tensors.keys()


@pytest.mark.slow
def test_a_port_in_use_gives_the_same_features(monkeypatch):
    port = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    generator = torch.Generator().manual_seed(0)
    network = InceptionV3().eval()
    tensors = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var") or name.endswith("bn.weight"):
            tensors[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
        elif tensor.is_floating_point():
            scale = 1.4 / max(1, tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
            tensors[name] = scale * torch.randn(tensor.shape, generator=generator)
        else:
            tensors[name] = tensor
    load_tensors(network, tensors, "drawn")
    monkeypatch.setattr(port, "load_state_dict_from_url", lambda *_, **__: tensors)
    theirs = port.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])
    images = torch.randint(0, 256, (2, 3, 40, 50), generator=generator).byte()
    with torch.no_grad():
        features, logits = theirs(images)
        found = network(images)
    assert features.std() > 0.01
    assert torch.allclose(found.features, features, rtol=1e-3, atol=1e-4 * float(features.std()))
    assert found.logits is not None
    assert torch.allclose(found.logits, logits, rtol=1e-3, atol=1e-3 * float(logits.std()))
