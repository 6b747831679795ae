import pytest
import torch

from scalable_binding.walk.windows import out_of_reach, spans, widen


@pytest.mark.parametrize(("length", "size"), [(1, 1), (1, 9), (9, 3), (10, 3), (107, 10), (5, 1)])
def test_spans_cover_a_line_once_in_parts_of_like_size(length, size):
    parts = spans(length, size)
    assert [i for part in parts for i in range(length)[part]] == list(range(length))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1


def test_widen_stops_at_the_ends():
    assert widen(slice(3, 5), 2, 10) == slice(1, 7)
    assert widen(slice(0, 5), 9, 10) == slice(0, 10)


def test_out_of_reach_is_what_lies_a_radius_or_more_away():
    """A window of 5 x 4 places; queries are 2 x 3 of them from (1, 0) on."""
    found = out_of_reach((5, 1, 2), (4, 0, 3), 2.0, torch.device("cpu"))
    assert found.shape == (20, 6)
    for place in range(20):
        for query in range(6):
            down, along = place // 4 - (1 + query // 3), place % 4 - query % 3
            assert bool(found[place, query]) == (down**2 + along**2 >= 4)
