import torch

from scalable_binding.plots import flow as drawn


def towards(x, y, largest=1.0):
    flow = torch.tensor([x, y]).view(2, 1, 1)
    return drawn.draw(flow, largest)[:, 0, 0].tolist()


def test_rest_is_white_and_a_full_step_has_a_full_hue():
    assert towards(0.0, 0.0) == [255, 255, 255]
    red, green, blue = towards(1.0, 0.0)
    assert red == 255 and green < 10 and blue < 40  # to the right is red
    assert towards(0.5, 0.0)[0] == 255 and 120 < towards(0.5, 0.0)[1] < 135


def test_opposite_directions_have_different_hues():
    colors = {tuple(towards(x, y)) for x, y in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))}
    assert len(colors) == 4
    assert max(towards(-1.0, 0.0)) > 250 and towards(-1.0, 0.0)[0] < 20  # to the left is cyan


def test_further_than_the_largest_is_darker():
    assert sum(towards(2.0, 0.0)) < sum(towards(1.0, 0.0))


def test_hues_go_round_without_a_jump():
    angle = torch.linspace(0, 2 * torch.pi, 721)
    picture = drawn.draw(torch.stack([angle.cos(), angle.sin()])[:, None], 1.0)[:, 0].int()
    assert (picture.diff(dim=-1).abs().amax(dim=-1) <= 24).all()


def test_what_is_not_known_is_gray():
    flow = torch.ones(2, 3, 4)
    flow[0, 1, 2] = torch.nan
    picture = drawn.draw(flow)
    assert len(set(picture[:, 1, 2].tolist())) == 1 and picture[0, 1, 2] < 128
    assert torch.equal(picture[:, 0, 0], picture[:, 2, 3])


def test_the_largest_is_chosen_from_the_picture():
    flow = torch.full((2, 20, 20), 0.0)
    flow[0] = 5.0
    assert drawn.draw(flow)[:, 0, 0].tolist() == towards(5.0, 0.0, 5.0)


def test_a_flow_of_zero_is_white():
    assert (drawn.draw(torch.zeros(2, 4, 5)) == 255).all()


def test_the_legend_is_a_disc_of_all_hues():
    picture = drawn.legend(65)
    assert picture.shape == (3, 65, 65)
    assert (picture[:, 0, 0] == 255).all() and (picture[:, 32, 32] == 255).all()
    assert picture[:, 32, 63].tolist()[0] == 255 and picture[1, 32, 63] < 20
