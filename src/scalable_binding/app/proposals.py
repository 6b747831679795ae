"""Interactive segmentation from clicks: features say what is alike, colors say where edges are.

A random walker with priors. Pixels are nodes of a grid, whose edges are weak where colors or
features change. Clicks hold their surroundings. Every pixel has a prior: the odds that it belongs
to the object, first from the similarity to what was clicked on, then from a linear classifier of
features and a color histogram that are fitted to the mask found before. The mask is where the
walker's probability is above one half, in the parts that hang together with a positive click.

A later click corrects: the mask before it is a prior, weak near the click and strong far from it,
and a positive click only adds to that mask, a negative one only takes away.

Source: Grady, Random walks for image segmentation, PAMI 2006; Multilabel random walker image
segmentation using prior models, CVPR 2005. Refitting: Rother et al., GrabCut, SIGGRAPH 2004.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.app import drawing
from scalable_binding.app.random_walker import Map, lab, random_walk, reached
from scalable_binding.errors import UserError

Click = Sequence[float | int]
"""x, y in pixels, and whether it is on the object (1) or not (0)."""

_WEAKEST = 1e-4  # weight of an edge of the grid
_HELD = 1e3  # weight of a click
_COLOR_BINS = 16
_BLUR = (0.25, 0.5, 0.25)


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """How far a click reaches; lengths as shares of the picture's diagonal.

    Args:
        size: pixels on the short side of the grid that the walker is solved on.
        rounds: times that the models of object and rest are fitted to the mask found before.
        iterations: of the conjugate gradient solver each time.
        radius: pixels of the grid around a click that are held.
        color_edge, feature_edge: how strongly a change of color or features weakens an edge.
        prior: weight of a pixel's own odds beside its edges.
        similarity, threshold: odds of the first round per similarity of features above a threshold.
        contrast: odds per similarity to a negative click above that to a positive one.
        near, reach: odds for being near a positive click, and how near.
        base_first, base_later: odds from the mask before, in the first round and in later ones.
        base_reach: how near the last click the mask before counts little.
        classifier, histogram, bias: odds of later rounds from features, from colors, and for all.
        ridge: regularization of the classifier.
        click_weight: of a click's cell among all others, for the classifier.
    """

    size: int = 240
    rounds: int = 2
    iterations: int = 60
    radius: int = 3
    color_edge: float = 1.0
    feature_edge: float = 1.0
    prior: float = 0.01
    similarity: float = 8.0
    threshold: float = 0.35
    contrast: float = 6.0
    near: float = 3.0
    reach: float = 0.15
    base_first: float = 6.0
    base_later: float = 4.0
    base_reach: float = 0.1
    classifier: float = 3.0
    histogram: float = 0.5
    bias: float = -0.3
    ridge: float = 0.003
    click_weight: float = 0.2


def propose(
    picture: UInt8[np.ndarray, "h w 3"],
    features: Float[Tensor, "d h8 w8"],
    clicks: Sequence[Click],
    base: Bool[np.ndarray, "h w"] | None = None,
    config: ProposalConfig | None = None,
) -> Bool[np.ndarray, "h w"]:
    """The mask of the object that the positive clicks lie on and the negative ones do not.

    Args:
        picture: RGB.
        features: unit vectors of its cells.
        clicks: in pixels of the picture.
        base: the mask before the last click, which that one corrects.
        config: how far a click reaches.

    Raises:
        UserError: no click, or no positive one and no mask to correct.
    """
    if not any(click[2] for click in clicks) and base is None:
        raise UserError("clicks", expected="one on the object first", got="none")
    height, width = picture.shape[:2]
    with torch.inference_mode():
        grid = _Grid(picture, features, clicks, base, config or ProposalConfig())
        found = grid.solve()
        whole = functional.interpolate(found[None, None], (height, width), mode="bilinear")
    mask = (whole[0, 0] > 0.5).numpy()
    if base is None:
        return mask
    return base | mask if clicks[-1][2] else base & mask


class _Grid:
    """The picture at the walker's size, its edges, and the clicks on it."""

    def __init__(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        features: Float[Tensor, "d h8 w8"],
        clicks: Sequence[Click],
        base: Bool[np.ndarray, "h w"] | None,
        config: ProposalConfig,
    ) -> None:
        self.config = config
        height, width = picture.shape[:2]
        scale = min(1.0, config.size / min(height, width))
        self.shape = round(height * scale), round(width * scale)
        self.diagonal = math.hypot(*self.shape)
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        self.colors = lab(functional.interpolate(pixels, self.shape, mode="area")[0])
        centered = features - features.mean(dim=(1, 2), keepdim=True)
        self.features = functional.normalize(centered, dim=0)
        self.cells = features.shape[1:]
        self.clicks = [
            ((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, bool(is_on))
            for x, y, is_on in clicks
        ]
        self.base = None
        if base is not None:
            small = torch.from_numpy(base)[None, None].float()
            self.base = functional.interpolate(small, self.shape, mode="area")[0, 0]
        self.across, self.down = self._edges()
        self.held, self.values = self._hold()

    def solve(self) -> Map:
        """The probability of each pixel of the grid, 0 where it hangs together with no click."""
        odds = self._first_odds()
        found = odds.sigmoid()
        for round_number in range(self.config.rounds + 1):
            weight = torch.full(self.shape, self.config.prior)
            weight[self.held] = _HELD
            target = torch.where(self.held, self.values, odds.sigmoid())
            found = random_walk(
                self.across, self.down, weight, target, found, self.config.iterations
            )
            if round_number < self.config.rounds and int((found > 0.5).sum()) >= 20:
                odds = self._fitted_odds(found.clamp(0, 1))
        return self._connected(found)

    def _edges(self) -> tuple[Float[Tensor, "h w1"], Float[Tensor, "h1 w"]]:
        """Weights of the edges to the right and down."""
        config = self.config
        height, width = self.shape
        steps = [
            self.colors.diff(dim=2).square().sum(dim=0),
            self.colors.diff(dim=1).square().sum(0),
        ]
        mean = (steps[0].mean() + steps[1].mean()) / 2 + 1e-8
        cells = self.features
        alike = [(cells[:, :, 1:] * cells[:, :, :-1]).sum(0), (cells[:, 1:] * cells[:, :-1]).sum(0)]
        weights = []
        for step, same, shape in zip(
            steps, alike, ((height, width - 1), (height - 1, width)), strict=True
        ):
            change = functional.interpolate((1 - same)[None, None], shape, mode="bilinear")[0, 0]
            exponent = -config.color_edge * step / mean - config.feature_edge * change
            weights.append(exponent.exp() + _WEAKEST)
        return weights[0], weights[1]

    def _hold(self) -> tuple[Bool[Tensor, "h w"], Map]:
        """Which pixels the clicks hold, and at what probability."""
        held = torch.zeros(self.shape, dtype=torch.bool)
        values = torch.zeros(self.shape)
        for x, y, is_on in self.clicks:
            others = [math.hypot(x - u, y - v) for u, v, other in self.clicks if other != is_on]
            radius = max(1.0, min([self.config.radius, *(each / 2.5 for each in others)]))
            disc = self._distance([(x, y)]) <= radius
            held |= disc
            values[disc] = float(is_on)
        return held, values

    def _distance(self, places: Sequence[drawing.Point]) -> Map:
        """From each pixel of the grid to the nearest of these places."""
        rows, columns = (torch.arange(side, dtype=torch.float32) for side in self.shape)
        far = [torch.hypot(rows[:, None] - y, columns[None] - x) for x, y in places]
        return torch.stack(far).amin(dim=0)

    def _places(self, is_on: bool) -> list[drawing.Point]:
        return [(x, y) for x, y, other in self.clicks if other == is_on]

    def _cell(self, x: drawing.Number, y: drawing.Number) -> tuple[int, int]:
        """The feature cell of a pixel of the grid."""
        return (
            min(int((y + 0.5) / self.shape[0] * self.cells[0]), self.cells[0] - 1),
            min(int((x + 0.5) / self.shape[1] * self.cells[1]), self.cells[1] - 1),
        )

    def _similarity(self, places: Sequence[drawing.Point]) -> Float[Tensor, "h8 w8"]:
        """Of each cell, to the most similar of these places."""
        columns = torch.stack([self.features[:, *self._cell(x, y)] for x, y in places])
        return torch.einsum("d h w, k d -> k h w", self.features, columns).amax(dim=0)

    def _enlarge(self, cells: Float[Tensor, "h8 w8"]) -> Map:
        return functional.interpolate(cells[None, None], self.shape, mode="bilinear")[0, 0]

    def _first_odds(self) -> Map:
        """From the similarity to the clicks and the distance from them, or from the base."""
        config = self.config
        positive, negative = self._places(True), self._places(False)
        odds = torch.full(self.shape, -1.0)
        if positive:
            alike = self._similarity(positive)
            odds = self._enlarge(config.similarity * (alike - config.threshold))
            if negative:
                against = functional.relu(self._similarity(negative) - alike)
                odds = odds - self._enlarge(config.contrast * against)
            odds = odds + config.near * self._nearness(positive)
        if negative:
            odds = odds - config.near * (self._nearness(negative) + 0.5)
        if self.base is not None:
            odds = odds.clamp(-3, 3) + config.base_first * self._kept()
        return odds

    def _kept(self) -> Map:
        """What the mask before says, from minus one half to one half, 0 at the last click."""
        assert self.base is not None
        x, y, _ = self.clicks[-1]
        share = self._distance([(x, y)]) / (self.config.base_reach * self.diagonal)
        return (self.base - 0.5) * (1 - torch.exp(-share.square()))

    def _nearness(self, places: Sequence[drawing.Point]) -> Map:
        """From one half at these places to minus one half far from them."""
        return torch.exp(-self._distance(places) / (self.config.reach * self.diagonal)) - 0.5

    def _fitted_odds(self, found: Map) -> Map:
        """From models of the object and of the rest, as found so far."""
        config = self.config
        odds = self._enlarge(config.classifier * self._classify(found)) + config.bias
        odds = odds + config.histogram * self._compare_colors(found)
        positive = self._places(True)
        if positive:
            odds = odds + config.near * self._nearness(positive)
        if self.base is not None:
            odds = odds.clamp(-3, 3) + config.base_later * self._kept()
        return odds

    def _classify(self, found: Map) -> Float[Tensor, "h8 w8"]:
        """A linear classifier of features by ridge regression, 1 on the object and -1 off it."""
        share = functional.interpolate(found[None, None], self.cells, mode="area")[0, 0]
        target = torch.where(share > 0.5, 1.0, -1.0)
        weight = torch.zeros(self.cells)
        for sure in (share * (share > 0.5), (1 - share) * (share <= 0.5)):
            weight += sure / sure.sum().clamp(min=1e-6)
        for x, y, is_on in self.clicks:
            weight[self._cell(x, y)] += self.config.click_weight
            target[self._cell(x, y)] = 1.0 if is_on else -1.0
        nodes = rearrange(self.features, "d h w -> (h w) d")
        nodes = torch.cat([nodes, torch.ones(len(nodes), 1)], dim=1)
        weighted = nodes * weight.flatten()[:, None]
        normal = nodes.T @ weighted + self.config.ridge * torch.eye(nodes.shape[1])
        solution = torch.linalg.solve(normal, weighted.T @ target.flatten())
        return (nodes @ solution).reshape(self.cells)

    def _compare_colors(self, found: Map) -> Map:
        """The log ratio of a pixel's color in the histograms of the object and of the rest."""
        low = torch.tensor([0.0, -0.6, -0.6])[:, None, None]
        span = torch.tensor([1.0, 1.2, 1.2])[:, None, None]
        bins = ((self.colors - low) / span * _COLOR_BINS).clamp(0, _COLOR_BINS - 1).long()
        index = (bins[0] * _COLOR_BINS + bins[1]) * _COLOR_BINS + bins[2]
        blur = torch.tensor(_BLUR)
        kernel = torch.einsum("i, j, k -> i j k", blur, blur, blur)[None, None]
        shares = []
        for sure in (found * (found > 0.5), (1 - found) * (found <= 0.5)):
            counts = torch.bincount(index.flatten(), sure.flatten(), _COLOR_BINS**3)
            cube = counts.float().reshape(1, 1, *[_COLOR_BINS] * 3)
            smooth = functional.conv3d(cube, kernel, padding=1).flatten()
            shares.append(smooth / smooth.sum().clamp(min=1e-6) + 1e-4)
        return (shares[0] / shares[1]).log().clamp(-3, 3)[index]

    def _connected(self, found: Map) -> Map:
        """The probability, 0 in parts of the mask that no positive click or base reaches."""
        seeds = self.held & (self.values > 0.5)
        if self.base is not None:
            seeds = seeds | (self.base > 0.5)
        return torch.where(reached(seeds, found > 0.5) | (found <= 0.5), found, 0.0)
