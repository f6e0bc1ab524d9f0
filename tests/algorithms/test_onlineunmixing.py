"""OU: the constraints, each image's cost, its limits, recovery of a sequence, masked pixels."""

import numpy as np
import pytest
from variable_scenes import error, fields, smooth_spectra

from subpixel.algorithms.abundances.active_set import minimise
from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.multitemporal.fclssequence import fclssequence
from subpixel.algorithms.multitemporal.onlineunmixing import adapt, onlineunmixing, onto_balls

M = smooth_spectra()
L, P = M.shape
T, SHAPE = 4, (12, 13)
N = SHAPE[0] * SHAPE[1]


def rng(seed=1):
    return np.random.default_rng(seed)


def sequence(departure=0.0, noise=0.005, seed=1):
    """Images (T, L, N), abundances (T, P, N) with pure pixels, and endmembers (T, L, P)."""
    draw = rng(seed)
    A = np.stack([fields(shape=SHAPE, seed=seed + t) for t in range(T)])
    A[:, :, :P] = np.eye(P)
    M_t = M * (1 + departure * draw.standard_normal((T, 1, P)))
    return M_t @ A + noise * draw.standard_normal((T, L, N)), A, M_t


def wrong(size=0.1, seed=5):
    """Endmembers to start from that hold something of each other."""
    return M @ ((1 - size) * np.eye(P) + size / P) * (1 + 0.02 * rng(seed).standard_normal(M.shape))


def test_the_bounds_hold():
    Y, _, _ = sequence(departure=0.2)
    found = onlineunmixing(Y, wrong(), sigma=0.1, kappa=0.03)
    # dM_t is not given back, but what dates differ by is: two are 2 sigma apart at most
    size = np.linalg.norm(wrong())
    apart = np.linalg.norm(found.M[:, None] - found.M[None], axis=(2, 3))
    assert 0.05 * size < apart.max() <= 0.2 * size * (1 + 1e-9)
    assert np.abs(found.A.sum(axis=1) - 1).max() < 1e-5 and found.A.min() >= 0


def test_the_bound_of_the_mean_departure_holds_back():
    """Spectra that all dates share differ from M only by the mean departure, which kappa bounds: it changes M."""
    Y, _, _ = sequence(departure=0.2)
    free, bound = (onlineunmixing(Y, wrong(), sigma=0.3, kappa=kappa, beta=0.0, epochs=3).M for kappa in (0.3, 0.0))
    assert np.linalg.norm(free - bound) > 1e-4 * np.linalg.norm(bound)


def test_images_that_tell_no_endmembers_are_refused():
    with pytest.raises(ValueError, match=r"\.$"):
        onlineunmixing(np.zeros((2, len(wrong()), 5)), wrong(), sigma=0.0, beta=0.0)


@pytest.mark.parametrize("radius, distance, other", [(1, 0, 0.5), (1, 0.8, 0.5), (0.8, 1.1, 0.6), (0.4, 0.4, 0.9)])
def test_the_nearest_point_of_two_balls(radius, distance, other):
    centre = np.zeros((3, 2))
    centre[0, 0] = distance
    draw = rng()
    inside = draw.standard_normal((200_000, 3, 2)) * 0.3 + centre / 2
    inside = inside[(np.linalg.norm(inside, axis=(1, 2)) <= radius)
                    & (np.linalg.norm(inside - centre, axis=(1, 2)) <= other)]
    assert len(inside) > 20
    for X in draw.standard_normal((20, 3, 2)):
        near = onto_balls(X, radius, centre, other)
        assert np.linalg.norm(near) <= radius * (1 + 1e-12)
        assert np.linalg.norm(near - centre) <= other * (1 + 1e-12)
        # the definition of a projection: no point of the set lies on the far side
        assert np.einsum("ij,nij->n", X - near, inside - near).max() < 1e-12


@pytest.mark.parametrize("ties", [False, True])
def test_an_images_cost_never_rises(ties):
    Y, A, _ = sequence(departure=0.1)
    past = (np.full(N, 0.3), A[1], 5.0, 0.01 * M) if ties else (0.0, 0.0, 0.0, 0.0)
    start = np.full((P, N), 1 / P)
    A_t, dM, costs = adapt(Y[0], wrong(), start, np.zeros((L, P)), (0.2, 0.05 * M, 0.4), 200, past)
    assert costs[-1] < 0.5 * costs[0] and np.diff(costs).max() <= 1e-9 * costs[0]
    fit = np.square(Y[0] - (wrong() + dM) @ A_t).sum()
    more = np.sum(past[0] * np.square(A_t - past[1])) + past[2] * np.square(dM - past[3]).sum()
    assert np.isclose(costs[-1], (fit + more) / 2, rtol=1e-9)
    assert np.linalg.norm(dM) <= 0.2 + 1e-12 and np.linalg.norm(dM - 0.05 * M) <= 0.4 + 1e-12


def test_without_departures_it_is_blind_unmixing_of_all_images_together():
    Y, A, _ = sequence()
    Y[1:] = Y[0]
    found = onlineunmixing(Y, wrong(), sigma=0.0, beta=0.0, epochs=300, tolerance=1e-7)
    assert np.array_equal(found.M, np.stack([found.M[0]] * T))
    E, image = wrong(), Y[0]
    for _ in range(1000):
        a = fcls(image, E).A
        E = minimise(a @ a.T, a @ image.T, sum_to_one=False).T
    direct = np.linalg.norm(image - E @ fcls(image, E).A)
    ours = np.linalg.norm(image - found.M[0] @ found.A[0])
    assert abs(ours - direct) < 0.01 * direct
    assert direct < 0.9 * np.linalg.norm(image - wrong() @ fcls(image, wrong()).A)


def test_a_sequence_whose_endmembers_change_brightness_is_recovered():
    Y, A, M_t = sequence(departure=0.15)
    found = onlineunmixing(Y, wrong(), sigma=0.2, kappa=0.1, beta=1e-4)
    start = fclssequence(Y, M=wrong())
    assert error(found.A, A) < 0.5 * error(start.A, A)
    assert error(found.M, M_t) < 0.4 * error(start.M, M_t)
    assert error(found.M, M_t) < 0.5 * error(onlineunmixing(Y, wrong(), sigma=0.0, beta=1e-4).M, M_t)


def test_units_do_not_matter():
    Y, _, _ = sequence(departure=0.05)
    one, other = onlineunmixing(Y, wrong()), onlineunmixing(1000 * Y, 1000 * wrong())
    assert np.abs(one.A - other.A).max() < 1e-5 and np.allclose(1000 * one.M, other.M, rtol=1e-6)


def test_same_seed_same_result():
    Y = sequence(departure=0.05)[0].astype(np.float32)
    one, same, other = (onlineunmixing(Y, wrong(), epochs=3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.A, same.A) and np.array_equal(one.M, same.M)
    assert not np.array_equal(one.M, other.M)
    assert np.abs(one.A - other.A).max() < 0.1


@pytest.mark.parametrize("junk", [np.nan, -32768.0, np.inf])
def test_pixels_that_are_not_valid_never_matter(junk):
    Y, _, _ = sequence(departure=0.05)
    valid = rng(3).random((T, N)) > 0.2
    dirty = np.where(valid[:, None], Y, junk)
    clean, found = (onlineunmixing(X, wrong(), valid, epochs=3, alpha=0.1, gamma=0.1) for X in (Y, dirty))
    assert np.array_equal(clean.A, found.A, equal_nan=True) and np.array_equal(clean.M, found.M)
    assert np.array_equal(np.isnan(found.A).any(axis=1), ~valid)


def test_what_it_says_of_its_end():
    Y, _, _ = sequence()
    calls = []
    short = onlineunmixing(Y, wrong(), epochs=2, tolerance=0.0, callback=lambda *args: calls.append(args))
    assert [number for number, _ in calls] == [1, 2] and tuple(cost for _, cost in calls) == short.costs
    assert not short.converged and short.costs[1] < short.costs[0]
    assert len(onlineunmixing(Y, wrong(), callback=lambda *_: True).costs) == 1
    assert onlineunmixing(Y, wrong(), tolerance=0.5).converged


@pytest.mark.parametrize("change, sentence", [
    (dict(sigma=-1.0), "sigma is -1"), (dict(beta=np.nan), "beta is nan"), (dict(rho=0.0), "rho is 0"),
    (dict(M0=M[1:]), "resample"), (dict(M0=-M), "reflectance or radiance"), (dict(Y=sequence()[0][:1]), "at least two"),
    (dict(Y=np.full((T, L, N), np.nan)), "not finite")])
def test_bad_arguments(change, sentence):
    arguments = dict(Y=sequence()[0], M0=M) | change
    with pytest.raises(ValueError, match=sentence):
        onlineunmixing(**arguments)
