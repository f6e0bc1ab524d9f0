"""Simulated sequences: what drifts and what jumps, by how much, at which dates; the same again from the same seed."""

import numpy as np
import pytest

from subpixel.algorithms.multitemporal.sequence import reconstruct
from subpixel.algorithms.simulate.sequence import (drifting_abundances, drifting_endmembers, ds1, ds2,
                                                   with_abrupt_changes)

ROWS, COLS, L = 24, 30, 40
X = np.linspace(0, 1, L)
M0 = np.stack([0.5 + 0.3 * np.cos(3 * X), 0.2 + 0.6 * X, 0.7 - 0.4 * X ** 2], axis=1)
MATERIAL = np.repeat([0, 1, 2], 5)
BUNDLE = np.repeat(M0, 5, axis=1) * np.tile([0.8, 0.9, 1.0, 1.1, 1.2], 3)


def case(name, seed=0, **options):
    rng = np.random.default_rng(seed)
    return ds1(M0, ROWS, COLS, rng, **options) if name == "ds1" else ds2(BUNDLE, MATERIAL, ROWS, COLS, rng, **options)


@pytest.fixture(scope="module", params=["ds1", "ds2"])
def simulated(request):
    return request.param, case(request.param)


def test_has_the_dates_and_sizes_of_the_paper(simulated):
    name, found = simulated
    T = {"ds1": 6, "ds2": 15}[name]
    assert found.Y.shape == (T, L, ROWS * COLS) and found.A.shape == (T, 3, ROWS * COLS)
    assert found.M.shape == (T, 3, L, ROWS * COLS)


def test_abundances_lie_on_the_simplex(simulated):
    A = simulated[1].A
    assert A.min() >= 0
    np.testing.assert_allclose(A.sum(axis=1), 1, atol=1e-12)


def test_every_date_is_the_mixture_of_its_truth_with_the_noise_asked_for(simulated):
    found = simulated[1]
    clean = reconstruct(found.A, found.M)
    for Y, X in zip(found.Y, clean):
        assert 10 * np.log10(np.mean(X ** 2) / np.mean((Y - X) ** 2)) == pytest.approx(30, abs=0.3)
    np.testing.assert_allclose(case(simulated[0], snr_db=None).Y, reconstruct(found.A, found.M), atol=1e-6)


def test_the_seed_decides(simulated):
    name, found = simulated
    again, other = case(name), case(name, seed=1)
    assert np.array_equal(again.Y, found.Y) and np.array_equal(again.A, found.A)
    assert not np.array_equal(other.A, found.A)


def test_ds1_changes_at_once_between_its_dates_and_not_at_the_last():
    A = case("ds1", T=6).A
    changed = [np.abs(b - a).sum(axis=0) / 2 for a, b in zip(A, A[1:])]
    assert all((step > 0.4).any() for step in changed[:-1]) and not changed[-1].any()
    for step in changed[:-1]:
        assert 0 < (step > 0).mean() < 0.25   # two patches
    assert not np.diff(case("ds1", T=2).A, axis=0).any()


def test_patches_change_at_their_dates_only_into_what_they_were_not_and_stay():
    A0 = drifting_abundances(3, 1, ROWS, COLS, np.random.default_rng(3))
    A = with_abrupt_changes(np.broadcast_to(A0[0], (6, *A0[0].shape)), ROWS, COLS, np.random.default_rng(4), [2, 4],
                            patches=1)
    steps = np.diff(A, axis=0)
    assert [bool(step.any()) for step in steps] == [False, True, False, True, False]
    inside = steps[1].any(axis=0)
    assert 0.002 < inside.mean() < 0.1
    into = A[2][:, inside].argmax(axis=0)
    assert len(set(into)) == 1 and A[2, into[0], inside].min() >= 0.9
    assert A0[0][:, inside].sum(axis=1).argmax() != into[0]
    rows, cols = np.divmod(np.flatnonzero(inside), COLS)
    assert (np.ptp(rows) + 1) * (np.ptp(cols) + 1) <= 1.6 * inside.sum()   # compact
    np.testing.assert_allclose(A.sum(axis=1), 1)


def test_ds2_drifts_everywhere_and_jumps_in_one_patch_a_date():
    A = case("ds2").A
    for a, b in zip(A, A[1:]):
        step = np.abs(b - a).sum(axis=0) / 2
        assert (step > 0).mean() > 0.6   # patches that have changed stay
        assert 0.01 < np.median(step) < 0.25
    assert np.mean([np.abs(b - a).sum(axis=0).max() / 2 > 0.4 for a, b in zip(A, A[1:])]) > 0.8


def test_maps_of_full_persistence_stay_and_of_none_are_drawn_anew():
    still = drifting_abundances(3, 4, ROWS, COLS, np.random.default_rng(5), persistence=1.0)
    np.testing.assert_allclose(still, np.broadcast_to(still[:1], still.shape))
    anew = drifting_abundances(3, 40, 12, 12, np.random.default_rng(5), persistence=0.0, length=3)
    # correlation over time of one endmember's fraction, far from it near 1
    assert abs(np.corrcoef(anew[:-1, 0].ravel(), anew[1:, 0].ravel())[0, 1]) < 0.1
    kept = drifting_abundances(3, 40, 12, 12, np.random.default_rng(5), persistence=0.97, length=3)
    assert np.corrcoef(kept[:-1, 0].ravel(), kept[1:, 0].ravel())[0, 1] > 0.85


def test_contrast_makes_purer_pixels(simulated):
    name = simulated[0]
    pale, strong = (np.median(case(name, contrast=contrast, T=3).A.max(axis=1)) for contrast in (0.5, 6.0))
    assert pale < 0.6 < 0.9 < strong


def test_factors_start_within_15_percent_and_step_by_10_at_most():
    M = drifting_endmembers(M0, 6, 400, np.random.default_rng(6))
    factor = M / M0.T[None, :, :, None]
    assert 0.85 - 1e-6 <= factor[0].min() < 0.86 and 1.14 < factor[0].max() <= 1.15 + 1e-6
    steps = np.diff(factor, axis=0)
    assert -0.1 - 1e-6 <= steps.min() < -0.095 and 0.095 < steps.max() <= 0.1 + 1e-6
    assert abs(steps.mean()) < 0.005 and len(np.unique(factor[0, 0, 0])) > 390   # every pixel its own


def test_factors_are_two_line_segments_over_the_bands():
    factor = drifting_endmembers(np.ones((L, 2)), 3, 50, np.random.default_rng(7)).astype(np.float64)
    for steps in (factor[0], factor[1] - factor[0], factor[2] - factor[1]):
        bends = np.abs(np.diff(steps, n=2, axis=1)) > 1e-5
        assert (bends.sum(axis=1) <= 1).all() and bends.any()


def test_factors_stay_positive_over_many_dates():
    M = drifting_endmembers(M0, 120, 60, np.random.default_rng(8))
    factor = M / M0.T[None, :, :, None]
    assert factor.min() == pytest.approx(0.01, abs=1e-6)


def test_ds2_draws_every_pixels_spectra_from_its_materials():
    found = case("ds2", T=3)
    for p in range(3):
        own = BUNDLE[:, MATERIAL == p].astype(np.float32)
        distance = np.abs(found.M[:, p, :, :, None] - own[None, :, None, :]).max(axis=1)
        assert (distance.min(axis=2) == 0).all()
        drawn = distance.argmin(axis=2)
        assert set(drawn.ravel()) == set(range(5)) and (drawn[0] != drawn[1]).mean() > 0.5


@pytest.mark.parametrize(("call", "words"), [
    (lambda: case("ds1", T=1), "The number of dates is 1"), (lambda: case("ds2", T=0), "The number of dates is 0"),
    (lambda: case("ds2", persistence=1.5), "The persistence is 1.5")])
def test_bad_arguments_are_a_sentence(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert str(error.value).endswith(".")
