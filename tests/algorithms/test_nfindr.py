"""N-FINDR: a volume that only grows, up to a simplex that no replacement makes larger."""

import numpy as np
import pytest
from extraction import planted

from subpixel.algorithms.endmembers.nfindr import nfindr, nfindr_select
from subpixel.algorithms.endmembers.simplex import coordinates, reduction
from subpixel.algorithms.endmembers.vca import vca_projection, vca_select
from subpixel.algorithms.pixels import moments


def reduced(Y, P):
    return coordinates(Y, reduction(moments(Y), P).apply)


@pytest.mark.parametrize("seed", range(5))
def test_volume_never_decreases_and_ends_where_no_replacement_helps(seed):
    X = reduced(planted(6, seed, snr_db=15)[0], 6)
    found = nfindr_select(X, 6, np.random.default_rng(seed))
    assert len(found.log_volumes) > 1 and np.all(np.diff(found.log_volumes) > 0)
    assert np.array_equal(found.vertices, X[:, found.indices])
    assert np.abs(np.linalg.inv(found.vertices) @ X).max() <= 1 + 1e-9


def test_many_endmembers_do_not_overflow():
    Y = np.random.default_rng(0).random((200, 1000)) * 1e4
    found = nfindr(Y, 40, np.random.default_rng(0))
    assert len(set(found.indices)) == 40 and np.isfinite(found.log_volumes).all()


def test_the_first_restart_is_the_run_without_restarts_so_volume_never_falls():
    X = reduced(5 + np.random.default_rng(1).standard_normal((8, 2000)), 6)
    volumes = [nfindr_select(X, 6, np.random.default_rng(3), restarts).log_volumes[-1] for restarts in (1, 5, 20)]
    assert volumes == sorted(volumes) and volumes[0] < volumes[2]


@pytest.mark.parametrize("method", ["vca", "nfindr"])
def test_restarts_reduce_the_spread_over_seeds(method):
    # a ball has no corners, so every run ends elsewhere
    Y = 5 + np.random.default_rng(2).standard_normal((8, 2000))
    axes, X = vca_projection(moments(Y), 6), reduced(Y, 6)

    def volume(seed, restarts):
        rng = np.random.default_rng(seed)
        if method == "vca":
            chosen = vca_select(axes.apply(Y), 6, rng, affine=not axes.projective, restarts=restarts)
        else:
            chosen = nfindr_select(X, 6, rng, restarts).indices
        return np.linalg.slogdet(X[:, chosen])[1]

    one, many = (np.array([volume(seed, restarts) for seed in range(10)]) for restarts in (1, 30))
    assert many.std() < one.std() / 2 and many.mean() > one.mean()
