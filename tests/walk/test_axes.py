"""Principal axes: as few numbers as asked for, and the similarities that most of them make up."""

import torch

from scalable_binding.walk.axes import principal_axes, project


def frame(rank: int, noise: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(20, rank, generator=generator, dtype=torch.float64)
    where = torch.randn(rank, 5 * 7, generator=generator, dtype=torch.float64)
    rest = torch.randn(20, 5 * 7, generator=generator, dtype=torch.float64)
    return (signal @ where + noise * rest).view(20, 5, 7)


def similarities(features: torch.Tensor) -> torch.Tensor:
    nodes = features.flatten(1)
    return nodes.T @ nodes


def test_similarities_of_few_dimensions_survive() -> None:
    features = frame(rank=4, noise=0)
    axes = principal_axes(features, 4)
    torch.testing.assert_close(axes @ axes.T, torch.eye(4, dtype=torch.float64))
    found = project(features, axes)
    assert found.shape == (4, 5, 7)
    torch.testing.assert_close(similarities(found), similarities(features))


def test_no_other_projection_changes_similarities_less() -> None:
    features = frame(rank=6, noise=0.3)
    exact = similarities(features)
    error = (similarities(project(features, principal_axes(features, 3))) - exact).norm()
    singular = torch.linalg.svdvals(features.flatten(1))
    torch.testing.assert_close(error, singular[3:].square().norm())  # Eckart & Young
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        other, _ = torch.linalg.qr(torch.randn(20, 3, generator=generator, dtype=torch.float64))
        assert (similarities(project(features, other.T)) - exact).norm() > error


def test_features_that_are_few_stay_as_they_are() -> None:
    features = frame(rank=4, noise=0.1)
    assert principal_axes(features, 20) is None
    assert torch.equal(project(features, None), features)
    assert project(features, None).permute(1, 2, 0).is_contiguous()
