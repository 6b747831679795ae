"""k-means of whole trajectories, against loops and scikit-learn."""

import pytest
import torch

from carml.trajectories import blobs
from reference import mixture as reference
from scalable_binding.carml.clustering import assign, cluster, refine, units_of
from scalable_binding.errors import UserError


def test_trajectory_goes_to_the_center_that_all_of_its_states_are_nearest_to():
    trajectories, centers = blobs(), torch.randn(6, 3, dtype=torch.float64)
    labels, _ = assign(trajectories.mean(1), centers)
    assert labels.tolist() == reference.squared_distances(trajectories, centers).argmin(1).tolist()


def test_distortion_is_the_mean_squared_distance_of_states():
    trajectories = blobs()
    found = cluster(trajectories, 4, torch.Generator().manual_seed(1))
    distances = reference.squared_distances(trajectories, found.centers)
    assert found.distortion == pytest.approx(float(distances.min(1).values.mean()) / 5)


def test_lloyd_gives_scikit_learns_centers_from_the_same_start():
    sklearn = pytest.importorskip("sklearn.cluster")
    points = blobs(200, 1)[:, 0]
    ours = refine(points, points[:6], 50)
    theirs = sklearn.KMeans(6, init=points[:6].numpy(), n_init=1, tol=0.0, algorithm="lloyd")
    theirs.fit(points.numpy())
    assert ours.labels.tolist() == theirs.labels_.tolist()
    assert torch.allclose(ours.centers, torch.from_numpy(theirs.cluster_centers_))
    assert ours.distortion * len(points) == pytest.approx(theirs.inertia_)


def test_more_starts_are_no_worse():
    trajectories = blobs(60, 2, 2)
    one = cluster(trajectories, 12, torch.Generator().manual_seed(0), starts=1)
    ten = cluster(trajectories, 12, torch.Generator().manual_seed(0), starts=10)
    assert ten.distortion <= one.distortion


def test_empty_cluster_starts_again_where_points_are_far_from_their_centers():
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]], dtype=torch.float64)
    far = torch.tensor([[0.0, 0.5], [-500.0, -500.0]], dtype=torch.float64)
    found = refine(points, far, 10)
    assert found.labels.tolist() == [0, 0, 1]
    assert found.centers[1].tolist() == [9.0, 9.0]


def test_same_points_everywhere_are_no_trouble():
    found = cluster(torch.ones(5, 2, 3), 4, torch.Generator().manual_seed(0))
    assert found.distortion == 0
    assert bool(torch.isfinite(found.centers).all())


def test_fewer_trajectories_than_clusters_are_refused():
    with pytest.raises(UserError, match=r"at least as many as components.*enlarge the reservoir"):
        cluster(torch.zeros(3, 2, 1), 4, torch.Generator())


def test_what_never_changed_has_no_unit_of_its_own():
    assert units_of(torch.tensor([4.0, 0.0, 1e-14])).tolist() == [2.0, 1.0, 1.0]
