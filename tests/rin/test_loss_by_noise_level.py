"""The loss by level of noise: against one level at a time, and the training loss."""

import pytest
import torch

from rin import untrained
from scalable_binding.errors import UserError
from scalable_binding.rin import objective
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.loss_by_noise_level import loss_by_noise_level


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 256, (count, 1, 8, 8), generator=generator).byte(),
        "label": torch.randint(0, 10, (count,), generator=generator),
    }


@pytest.mark.parametrize("target", ["eps", "x", "v"])
def test_the_mean_over_levels_is_the_training_loss(target):
    diffusion = DiffusionConfig(target=target, self_conditioning=1.0)
    pretrained = untrained.images(diffusion)
    batch = images(200)
    by_level = loss_by_noise_level(pretrained, [batch], num_levels=4)
    expected = objective.held_out_loss(pretrained.model, batch, diffusion, repeats=10)
    assert float(by_level.mean()) == pytest.approx(expected, rel=0.05)


def test_batches_add_up_and_the_seed_decides():
    pretrained = untrained.images()
    whole = loss_by_noise_level(pretrained, [images(60)], seed=3)
    assert torch.equal(whole, loss_by_noise_level(pretrained, [images(60)], seed=3))
    assert not torch.equal(whole, loss_by_noise_level(pretrained, [images(60)], seed=4))
    batch = images(60)
    parts = [{name: value[i : i + 20] for name, value in batch.items()} for i in (0, 20, 40)]
    assert torch.allclose(loss_by_noise_level(pretrained, parts), whole, rtol=0.2)


def test_given_frames_are_not_scored():
    pretrained = untrained.videos()
    video = {"video": torch.randint(0, 256, (20, 1, 6, 8, 8)).byte()}
    by_level = loss_by_noise_level(pretrained, [video], num_levels=3)
    assert by_level.shape == (3,) and by_level.min() > 0.5
    with torch.no_grad():
        pretrained.model.readout.weight.zero_()
        pretrained.model.readout.bias.zero_()
    # A prediction of 0 misses noise of variance 1, in the generated frames alone.
    assert float(loss_by_noise_level(pretrained, [video] * 3).mean()) == pytest.approx(1, abs=0.03)


def test_no_examples_are_told():
    with pytest.raises(UserError, match="at least one example"):
        loss_by_noise_level(untrained.images(), [])
