"""ATGP, SGA and SiVM against the formulas that they replace."""

import numpy as np
import pytest
from extraction import planted
from scipy.linalg import qr
from scipy.spatial.distance import cdist

from subpixel.algorithms.endmembers.atgp import atgp
from subpixel.algorithms.endmembers.growing import grow_simplex
from subpixel.algorithms.endmembers.sga import sga
from subpixel.algorithms.endmembers.sivm import sivm


@pytest.mark.parametrize("seed", range(3))
def test_atgp_picks_as_column_pivoted_qr(seed):
    Y = planted(5, seed, snr_db=20)[0]
    assert np.array_equal(atgp(Y, 12), qr(Y, mode="r", pivoting=True)[1][:12])


@pytest.mark.parametrize("seed", range(3))
def test_sivm_maximises_the_volume_that_distances_give(seed):
    Y = planted(5, seed, snr_db=20)[0][:, :400]
    chosen = [int(np.linalg.norm(Y, axis=0).argmax())]
    for k in range(1, 6):
        C = np.ones((k + 1, k + 1))
        C[:k, :k] = cdist(Y[:, chosen].T, Y[:, chosen].T, "sqeuclidean")
        C[k, k] = 0
        d = np.vstack([cdist(Y[:, chosen].T, Y.T, "sqeuclidean"), np.ones(Y.shape[1])])
        chosen.append(int(np.einsum("kn,kn->n", d, np.linalg.solve(C, d)).argmax()))
    assert sivm(Y, 6).tolist() == chosen


@pytest.mark.parametrize("seed", range(3))
def test_sga_maximises_the_volume_by_gram_determinants(seed):
    Y = planted(5, seed, snr_db=20)[0][:, :300]
    chosen = [int(np.linalg.norm(Y - Y.mean(axis=1, keepdims=True), axis=0).argmax())]
    for _ in range(4):
        edges = [Y[:, chosen[1:] + [n]] - Y[:, chosen[:1]] for n in range(Y.shape[1])]
        chosen.append(int(np.argmax([np.linalg.det(E.T @ E) for E in edges])))
    assert sga(Y, 5).tolist() == chosen


def test_sga_is_sivm_from_another_first_pixel():
    Y = planted(5, seed=3, snr_db=20)[0]
    assert np.array_equal(sga(Y, 5), grow_simplex(Y, 5, Y.mean(axis=1)))
    # centred on its mean, the scene's farthest pixel from the origin is that from the mean
    assert np.array_equal(sivm(Y - Y.mean(axis=1, keepdims=True), 5), sga(Y, 5))


def test_a_rare_target_outside_the_principal_axes_is_found():
    Y = planted(3, seed=4, side=60)[0]
    Y[:, 77] += 0.3 * (-1.0) ** np.arange(len(Y))
    assert 77 in atgp(Y, 4) and 77 in sga(Y, 4) and 77 in sivm(Y, 4)


def test_bright_pixels_come_first_in_atgp_and_none_twice():
    Y = planted(4, seed=5)[0]
    chosen = atgp(Y, 4)
    assert chosen[0] == np.linalg.norm(Y, axis=0).argmax() and len(set(chosen)) == 4
