import math
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import normalize

from reference import neighbors as reference
from scalable_binding.walk.context import Kept
from scalable_binding.walk.neighbors import (
    Neighbors,
    carry_labels,
    fastest_dtype,
    top_neighbors,
)


def clip(m, h, w, d=32, seed=0):
    """Frames that resemble one another as those of a video do, and the frame that follows them."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.randn(d, h, w, generator=generator)
    noise = torch.randn(m + 1, d, h, w, generator=generator)
    frames = normalize(scene + 0.5 * noise, dim=1)
    return frames[-1], list(frames[:-1])


def assert_equals_reference(query, frames, k, radius, unmasked):
    result = top_neighbors(
        query, frames, k=k, radius=radius, unmasked=unmasked, dtype=torch.float32
    )
    expected, index = reference.affinity(query, frames, k, radius, unmasked)
    valid = expected > -1e9
    assert torch.equal(result.similarity > -math.inf, valid)
    torch.testing.assert_close(result.similarity[valid], expected[valid], atol=1e-5, rtol=0)
    assert torch.equal(result.index[valid], index[valid])
    assert torch.equal(result.count, valid.long())


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (4, 3), (13, 24), (25, 12)])
@pytest.mark.parametrize("radius", [0.5, 1.0, 4.3, 12.0, math.inf])
def test_equals_the_whole_table_at_any_size(size, radius):
    query, frames = clip(4, *size)
    k = min(5, 4 * math.prod(size))
    assert_equals_reference(query, frames, k, radius, unmasked=(0,))


@pytest.mark.parametrize("unmasked", [(), (0,), (1, 3), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_equals_the_whole_table_with_any_frames_unmasked(unmasked, k):
    query, frames = clip(5, 11, 14)
    assert_equals_reference(query, frames, k, 3.0, unmasked)


@pytest.mark.parametrize("m", [1, 2])
def test_equals_the_whole_table_for_short_contexts(m):
    query, frames = clip(m, 11, 14)
    assert_equals_reference(query, frames, 10, 3.0, unmasked=())
    assert_equals_reference(query, frames, 10, 3.0, unmasked=(0,))


def test_a_context_of_fewer_nodes_than_k_gives_them_all():
    query, frames = clip(2, 2, 3)
    result = top_neighbors(query, frames, k=50, radius=9.0)
    assert result.index.shape == (2, 3, 12)
    assert torch.equal(result.index.sort(dim=-1).values[1, 2], torch.arange(12))


@pytest.mark.parametrize("tile", [1, 3, 64])
def test_tiles_do_not_show(tile):
    query, frames = clip(3, 12, 17)
    usual = top_neighbors(query, frames, radius=4.0, dtype=torch.float32)
    other = top_neighbors(query, frames, radius=4.0, dtype=torch.float32, tile=tile)
    assert torch.equal(other.index, usual.index)
    torch.testing.assert_close(other.similarity, usual.similarity, atol=1e-6, rtol=0)


def test_storage_of_the_frames_does_not_show():
    query, frames = clip(3, 12, 17)
    usual = top_neighbors(query, frames, radius=4.0, dtype=torch.float32)
    channels_last = [f.permute(1, 2, 0).contiguous().permute(2, 0, 1) for f in frames]
    other = top_neighbors(query, channels_last, radius=4.0, dtype=torch.float32)
    assert torch.equal(other.index, usual.index)


def test_bfloat16_finds_the_same_but_for_near_ties():
    query, frames = clip(8, 20, 30, d=64)
    exact = top_neighbors(query, frames, radius=6.0, dtype=torch.float32)
    rounded = top_neighbors(query, frames, radius=6.0, dtype=torch.bfloat16)
    same = (exact.index.unsqueeze(-1) == rounded.index.unsqueeze(-2)).any(-1)
    assert same.float().mean() > 0.99
    assert (exact.similarity - rounded.similarity).abs().max() < 2e-3


def test_bfloat16_tells_nearly_identical_features_apart():
    """A large common part, as after a ReLU, must not use up the eight bits."""
    query, frames = clip(8, 20, 30, d=64)
    query, *frames = (normalize(0.1 * f + 1, dim=0) for f in (query, *frames))
    exact = top_neighbors(query, frames, radius=6.0, dtype=torch.float32)
    assert exact.similarity.min() > 0.98
    rounded = top_neighbors(query, frames, radius=6.0, dtype=torch.bfloat16)
    same = (exact.index.unsqueeze(-1) == rounded.index.unsqueeze(-2)).any(-1)
    assert same.float().mean() > 0.98


def test_similarities_are_those_of_the_nodes_found():
    query, frames = clip(4, 9, 10)
    result = top_neighbors(query, frames, k=7, radius=3.0)
    nodes = torch.stack(frames).permute(0, 2, 3, 1).flatten(0, 2)
    similarity = torch.einsum("hwkd,dhw->hwk", nodes[result.index], query)
    torch.testing.assert_close(result.similarity, similarity, atol=1e-5, rtol=0)
    assert torch.all(result.similarity.diff(dim=-1) <= 0)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_counts_equal_copies(k):
    """The authors' queue: the first frame once without a mask, and copies of it with one."""
    query, frames = clip(3, 9, 10)
    copies = [frames[0], *[frames[0]] * 4, *frames[1:]]
    labels = torch.rand(3, 9, 10, 5, generator=torch.Generator().manual_seed(1))
    copied_labels = torch.cat([labels[:1].expand(4, -1, -1, -1), labels])
    expected = reference.propagate(*reference.affinity(query, copies, k, 3.0), copied_labels, 0.1)
    counted = top_neighbors(query, frames, k=k, radius=3.0, counts=[5, 1, 1], dtype=torch.float32)
    assert torch.all(counted.count.sum(-1) == k)
    torch.testing.assert_close(carry_labels(counted, list(labels), 0.1), expected)


@pytest.mark.parametrize("c", [1, 40])
def test_labels_equal_the_reference(c):
    query, frames = clip(4, 9, 10)
    labels = torch.rand(4, 9, 10, c, generator=torch.Generator().manual_seed(1))
    expected = reference.propagate(*reference.affinity(query, frames, 6, 3.0), labels, 0.07)
    found = top_neighbors(query, frames, k=6, radius=3.0, dtype=torch.float32)
    torch.testing.assert_close(carry_labels(found, list(labels), 0.07), expected)


def test_labels_stay_distributions():
    query, frames = clip(4, 9, 10)
    labels = list(torch.randn(4, 9, 10, 6).softmax(-1))
    carried = carry_labels(top_neighbors(query, frames, radius=2.0), labels, 0.07)
    torch.testing.assert_close(carried.sum(-1), torch.ones(9, 10))


def test_a_still_video_keeps_its_labels():
    query, _ = clip(1, 9, 10)
    labels = torch.eye(90).view(9, 10, 90)
    found = top_neighbors(query, [query] * 5, k=5, radius=3.0, counts=[2, 1, 1, 1, 1])
    torch.testing.assert_close(carry_labels(found, [labels] * 5, 0.01), labels, atol=1e-3, rtol=0)


def test_the_disc_leaves_out_its_rim():
    """All nodes alike: the matches of a query are exactly the nodes nearer than the radius."""
    frame = torch.ones(4, 11, 11) / 2
    found = top_neighbors(frame, [frame], k=9, radius=2.0, unmasked=())
    y, x = found.index[5, 5] // 11, found.index[5, 5] % 11
    assert sorted(zip(y.tolist(), x.tolist(), strict=True)) == [
        (y, x) for y in (4, 5, 6) for x in (4, 5, 6)
    ]


def test_autocast_does_not_lower_the_precision():
    query, frames = clip(3, 9, 10)
    plain = top_neighbors(query, frames, radius=3.0, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = top_neighbors(query, frames, radius=3.0, dtype=torch.float32)
    assert torch.equal(cast.similarity, plain.similarity)


@pytest.mark.slow
def test_full_size_fits_in_little_memory():
    """480 x 854 pixels and 20 frames: under 1.5 GB with torch and the context itself."""
    program = """
import torch
from scalable_binding.walk.context import Kept
from scalable_binding.walk.neighbors import top_neighbors
frames = [torch.rand(60, 107, 256).permute(2, 0, 1) for _ in range(22)]
top_neighbors(frames[-1], frames[:-1], k=10, radius=12.0)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""
    child = [sys.executable, "-c", program]
    kilobytes = int(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 1.5e6


def test_fastest_dtype_is_one_that_the_search_takes():
    assert fastest_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k: expected at least 1"),
        ({"radius": 0.0}, "radius: expected a number above 0"),
        ({"radius": math.nan}, "radius: expected a number above 0"),
        ({"counts": [1]}, "counts: expected 2 numbers"),
        ({"counts": [1, 0]}, "counts: expected 2 numbers"),
        ({"unmasked": (2,)}, "unmasked: expected positions from 0 to 1"),
        ({"tile": 0}, "tile: expected at least 1"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    query, frames = clip(2, 4, 4)
    with pytest.raises(ValueError, match=message):
        top_neighbors(query, frames, **options)


def test_frames_must_fit_the_query():
    query, frames = clip(2, 4, 4)
    with pytest.raises(ValueError, match="at least one frame"):
        top_neighbors(query, [])
    with pytest.raises(ValueError, match=r"frames\[1\]: expected the query's shape"):
        top_neighbors(query, [frames[0], frames[1][:, 1:]])


def test_temperature_must_be_positive():
    nothing = torch.zeros(1, 1, 1)
    neighbors = Neighbors(nothing, nothing.long(), nothing.long() + 1)
    with pytest.raises(ValueError, match="temperature"):
        carry_labels(neighbors, [torch.ones(1, 1, 1)], 0.0)


def test_what_is_kept_of_frames_changes_no_neighbor() -> None:
    """Along a video whose context loses and gains a frame at a time, in either precision."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(13, 14, 16, generator=generator)
    frames = [
        torch.nn.functional.normalize(
            scene.roll(t, dims=1) + 0.5 * torch.randn(13, 14, 16, generator=generator), dim=-1
        ).permute(2, 0, 1)
        for t in range(12)
    ]
    for dtype in (torch.float32, torch.bfloat16):
        kept = Kept()
        for t in range(1, 12):
            context = [frames[0], *frames[max(1, t - 4) : t]]
            options = {"k": 5, "radius": 4.0, "dtype": dtype}
            found = top_neighbors(frames[t], context, **options, kept=kept)
            expected = top_neighbors(frames[t], context, **options)
            torch.testing.assert_close(found.similarity, expected.similarity, atol=2e-3, rtol=0)
            same = (found.index == expected.index).float().mean()
            assert same == 1 if dtype == torch.float32 else same > 0.98
        assert len(kept._keys) == 4
