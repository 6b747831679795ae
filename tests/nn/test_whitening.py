"""Whitening."""

from __future__ import annotations

import torch

from scalable_binding.nn.whitening import SHRINKAGE, Whitening


def _cells(width: int, count: int) -> torch.Tensor:
    """Vectors some of whose directions are much louder than others, far from the origin."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(width, width, generator=generator) * torch.logspace(0, -2, width)
    return torch.randn(count, width, generator=generator) @ mixed + 3


def test_what_was_whitened_has_equal_variance_but_for_the_shrinkage() -> None:
    cells = _cells(6, 4000)
    covariance = cells.double().T.cov()
    whitening = Whitening(6, 10)
    whitening.fit(cells.mean(dim=0), covariance)
    found = whitening(cells.T[None, :, :, None])[0, :, :, 0]
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(6), atol=1e-3, rtol=0)
    variances = torch.linalg.eigvalsh(covariance).flip(0)
    expected = (variances / (variances + SHRINKAGE * variances.mean())).float()
    torch.testing.assert_close(found.cov(), torch.diag(expected), atol=1e-3, rtol=0)


def test_only_the_leading_components_are_kept() -> None:
    cells = _cells(6, 500)
    statistics = cells.mean(dim=0), cells.double().T.cov()
    whole, part = Whitening(6, 6), Whitening(6, 2)
    whole.fit(*statistics)
    part.fit(*statistics)
    maps = cells[:12].T.reshape(1, 6, 3, 4)
    assert part(maps).shape == (1, 2, 3, 4)
    torch.testing.assert_close(part(maps), whole(maps)[:, :2])


def test_before_it_is_fitted_numbers_stay_as_they_are() -> None:
    maps = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Whitening(5, 3)(maps), maps[:, :3])
