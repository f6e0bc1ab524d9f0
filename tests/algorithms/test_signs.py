"""Bases, and what is drawn in them, do not hang on the signs that LAPACK gives to eigenvectors."""

import numpy as np
import pytest
import scipy.linalg

from subpixel.algorithms.endmembers.simplex import reduction
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.pixels import moments, signs
from subpixel.algorithms.prepare import mnf as module
from subpixel.algorithms.rank.hysime import hysime

P = 4


def turned(eigh):
    """An eigensolver that gives every other eigenvector with the other sign."""
    def solve(*matrices):
        values, vectors = eigh(*matrices)
        return values, vectors * np.where(np.arange(len(values)) % 2, 1, -1)
    return solve


def scene(sigma, L=60, N=1500):
    rng = np.random.default_rng(6)
    Y = rng.uniform(0.1, 1.0, (L, P)) @ rng.dirichlet(np.ones(P), N).T
    return Y + sigma * rng.standard_normal(Y.shape)


def by_vca(projective):
    def find(Y):
        found = vca(Y, P, np.random.default_rng(0))
        assert found.projective == projective
        return found.indices
    return find


@pytest.mark.parametrize("find, sigma", [
    (by_vca(True), 0.0), (by_vca(False), 0.15),
    (lambda Y: reduction(moments(Y), P).U, 0.01),
    (lambda Y: hysime(moments(Y), np.full(len(Y), 1e-4)).E, 0.01),
    (lambda Y: module.mnf(moments(Y), 1e-4 * np.eye(len(Y))).V[:, :P - 1], 0.01)],
    ids=["VCA, projective", "VCA, affine", "reduction", "HySime", "MNF"])
def test_the_same_is_found_with_other_signs(find, sigma, monkeypatch):
    Y = scene(sigma)
    first = find(Y)
    assert first.size
    monkeypatch.setattr(np.linalg, "eigh", turned(np.linalg.eigh))
    monkeypatch.setattr(module, "eigh", turned(scipy.linalg.eigh))
    np.testing.assert_array_equal(find(Y), first)


def test_the_largest_entry_becomes_positive():
    U = np.array([[1.0, 0.5], [-2.0, 0.1]])
    np.testing.assert_array_equal(U * signs(U), [[-1, 0.5], [2, 0.1]])
    assert signs(np.empty((3, 0))).shape == (0,)
