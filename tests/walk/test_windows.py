import pytest
import torch

from scalable_binding.walk.windows import spans, squared_offsets, widen


@pytest.mark.parametrize(("length", "size"), [(1, 1), (1, 9), (9, 3), (10, 3), (107, 10), (5, 1)])
def test_spans_cover_a_line_once_in_parts_of_like_size(length, size):
    parts = spans(length, size)
    assert [i for part in parts for i in range(length)[part]] == list(range(length))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1


def test_widen_stops_at_the_ends():
    assert widen(slice(3, 5), 2, 10) == slice(1, 7)
    assert widen(slice(0, 5), 9, 10) == slice(0, 10)


def test_squared_offsets_are_those_of_all_pairs():
    offsets = squared_offsets(4, torch.device("cpu"))
    assert offsets[0].tolist() == [0, 1, 4, 9] and offsets[3].tolist() == [9, 4, 1, 0]
