"""PPI: votes go to vertices of the convex hull, and endmembers differ."""

import numpy as np
import pytest
from extraction import planted
from scipy.spatial import ConvexHull

from subpixel.algorithms.endmembers.ppi import ppi
from subpixel.algorithms.endmembers.simplex import coordinates, reduction
from subpixel.algorithms.pixels import moments


def test_without_noise_only_the_corners_get_votes():
    Y, X, M, places = planted(4, seed=0, pure_pixels=True)
    found = ppi(Y, 4, np.random.default_rng(0), skewers=500)
    assert np.array_equal(found.voted, np.sort(places))
    assert found.votes.sum() == 2 * 500


def test_interior_pixels_never_get_a_vote():
    Y = planted(4, seed=1, snr_db=20)[0]
    found = ppi(Y, 4, np.random.default_rng(0), skewers=3000)
    hull = ConvexHull(coordinates(Y, reduction(moments(Y), 4).apply)[:3].T)
    assert set(found.voted) <= set(hull.vertices)
    assert len(found.voted) > 10


def test_nearly_equal_spectra_are_merged():
    def nearest(seed, **options):
        E = ppi(planted(4, seed, snr_db=15)[0], 4, np.random.default_rng(0), skewers=500, **options).E
        E = E / np.linalg.norm(E, axis=0)
        return np.degrees(np.arccos((E.T @ E)[np.triu_indices(4, 1)].max()))

    assert min(nearest(seed, angle=0.0) for seed in range(5)) < 10
    assert min(nearest(seed, angle=np.deg2rad(10)) for seed in range(5)) >= 10


def test_most_votes_come_first():
    Y = planted(4, seed=3, snr_db=20)[0]
    found = ppi(Y, 4, np.random.default_rng(0), skewers=2000)
    votes = dict(zip(found.voted, found.votes))
    assert found.votes.max() == votes[found.indices[0]]
    assert [votes[i] for i in found.indices] == sorted((votes[i] for i in found.indices), reverse=True)


def test_too_large_an_angle_is_a_sentence():
    with pytest.raises(ValueError, match="differ by 80 degrees or more, too few for 4 endmembers"):
        ppi(planted(4, seed=4)[0], 4, np.random.default_rng(0), skewers=100, angle=np.deg2rad(80))
