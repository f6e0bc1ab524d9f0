"""DEIM: the indices that Algorithm 1 gives."""

import numpy as np
import pytest

from subpixel.algorithms.endmembers.deim import deim


def basis(n, r, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, r)))[0]


def test_follows_the_projector_of_equation_15():
    W = basis(50, 6, 0)
    p = [int(np.argmax(np.abs(W[:, 0])))]
    for i in range(1, 6):
        P = np.eye(50)[:, p]
        projector = W[:, :i] @ np.linalg.inv(P.T @ W[:, :i]) @ P.T
        p.append(int(np.argmax(np.abs(W[:, i] - projector @ W[:, i]))))
    assert deim(W).tolist() == p


def test_indices_differ_and_signs_do_not_matter():
    W = basis(30, 30, 1)
    found = deim(W)
    assert sorted(found) == list(range(30))
    signs = np.where(np.random.default_rng(2).random(30) < 0.5, -1, 1)
    assert np.array_equal(deim(W * signs), found)


def test_interpolates_exactly_at_its_indices():
    W = basis(40, 5, 3)
    p = deim(W)
    s = np.random.default_rng(4).standard_normal(40)
    np.testing.assert_allclose((W @ np.linalg.solve(W[p], s[p]))[p], s[p])


def test_ties_within_rounding_go_to_the_lowest_index():
    v = np.array([0.1, 0.5, -0.5 * (1 + 1e-15), 0.5])
    assert deim(v[:, None]).tolist() == [1]


def test_dependent_or_too_many_vectors_are_a_sentence():
    v = basis(10, 1, 5)
    with pytest.raises(ValueError, match="Vector 2 of 2 depends"):
        deim(np.hstack([v, 3 * v]))
    with pytest.raises(ValueError, match="5 different rows of 3"):
        deim(np.ones((3, 5)))
