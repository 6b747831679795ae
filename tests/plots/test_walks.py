import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.plots import walks


def test_one_row_a_walker_and_one_column_a_frame() -> None:
    frames = torch.randint(256, (4, 3, 40, 50), dtype=torch.uint8)
    transitions = [torch.softmax(torch.randn(12, 12), dim=-1) for _ in range(3)]
    one, two = (walks.draw(frames, transitions, (3, 4), torch.arange(count)) for count in (1, 2))
    assert one.dtype == torch.uint8
    assert one.shape[2] == two.shape[2] > 4 * 50
    assert two.shape[1] - one.shape[1] >= 40
    assert walks.draw(frames, transitions, (3, 4)).shape[1] > two.shape[1]


@pytest.mark.parametrize("inset", [0.0, 8.0])
def test_light_falls_where_the_walker_is(inset: float) -> None:
    """A walker that moves one node to the right in every frame lights that node's place."""
    frames = torch.full((3, 3, 64, 64), 128, dtype=torch.uint8)
    right = torch.roll(torch.eye(16), 1, dims=1)
    picture = walks.draw(frames, [right, right], (4, 4), torch.tensor([5]), inset=inset)
    cell = (64 - 2 * inset) / 4
    top = picture.shape[1] - 64 - 6
    for step in (1, 2):
        left = 6 + step * (64 + 6)
        panel = picture[:, top : top + 64, left : left + 64].float()
        color = panel.amax(0) - panel.amin(0)
        x, y = round(inset + (1.5 + step) * cell), round(inset + 1.5 * cell)
        near = color[y - 4 : y + 4, x - 4 : x + 4]
        assert near.mean() > 30
        assert color[:, : int(x - 2 * cell)].numel() == 0 or (
            color[:30, : int(x - 2 * cell)].max() < 5
        )


def test_bad_input_is_one_clear_line() -> None:
    frames = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(UserError, match="expected 2 for 3 frames, got 1"):
        walks.draw(frames, [torch.eye(4)], (2, 2))
    with pytest.raises(UserError, match="expected 6 nodes for a grid of 2 x 3, got 4"):
        walks.draw(frames, [torch.eye(4)] * 2, (2, 3))
