"""Series with planted events: courses, dates, shares and strengths as asked for; backgrounds follow seasons."""

import numpy as np
import pytest

from subpixel.algorithms.simulate.events import (COURSES, _nth_free, draw_samples, event_series,
                                                  seasonal_abundances)

ROWS, COLS, L, P, T = 40, 50, 12, 4, 24
X = np.linspace(0, 1, L)
M = np.stack([0.3 + 0.2 * np.sin(5 * X), 0.2 + 0.5 * X, 0.6 - 0.4 * X, 0.4 + 0.2 * np.cos(9 * X)], axis=1)


def series(seed=0, **options):
    return event_series(M, ROWS, COLS, np.random.default_rng(seed), **{"T": T, **options})


@pytest.fixture(scope="module")
def clean():
    return series(snr=None)


def test_has_the_share_of_events_evenly_among_classes(clean):
    counts = np.bincount(clean.label)
    assert clean.Y.shape == (T, L, ROWS * COLS) and clean.Y.dtype == np.float32
    assert counts[1:].sum() == round(0.3 * ROWS * COLS) and np.ptp(counts[1:]) <= 20   # a patch
    none = clean.label == 0
    assert (clean.date[none] == -1).all() and not clean.strength[none].any() and not clean.share[:, none].any()


def test_an_event_covers_strength_times_course_from_its_date(clean):
    for pixel in np.flatnonzero(clean.label)[::7]:
        course = clean.courses[clean.label[pixel] - 1]
        date = clean.date[pixel]
        assert date + np.count_nonzero(course) <= T
        expected = np.zeros(T)
        for step, level in enumerate(course[course > 0]):
            expected[date + step] = clean.strength[pixel] * level
        np.testing.assert_allclose(clean.share[:, pixel], expected, atol=1e-6)


def test_strengths_and_dates_spread_evenly(clean):
    planted = clean.label > 0
    s = clean.strength[planted]
    assert 0.3 <= s.min() < 0.32 and 0.68 < s.max() <= 0.7 and s.mean() == pytest.approx(0.5, abs=0.02)
    for number, course in enumerate(clean.courses, 1):
        dates = clean.date[clean.label == number]
        last = T - np.count_nonzero(course)
        assert dates.min() >= 0 and dates.max() <= last and len(set(dates)) > 0.5 * last


def test_abrupt_and_gradual_events_share_a_material_which_backgrounds_hold(clean):
    assert clean.names == list(COURSES)
    assert clean.material.tolist() == [1, 2, 1]
    A = np.stack(list(seasonal_abundances(P, ROWS, COLS, np.random.default_rng(1), T, 24.0)))
    assert np.quantile(A[:, 1:3], 0.02) > 0.01


def test_images_are_background_and_event(clean):
    quiet = (clean.share == 0).all(axis=0)
    for t in range(T):   # an image without its event's part is a mixture on the simplex, as without noise it must be
        rest = (clean.Y[t] - clean.S[t]) / (1 - clean.share[t])
        A = np.linalg.lstsq(np.vstack([M, np.full((1, P), 10.0)]),
                            np.vstack([rest, np.full((1, rest.shape[1]), 10.0)]), rcond=None)[0]
        assert A.min() > -1e-3 and np.abs(A.sum(axis=0) - 1).max() < 1e-3
        assert np.abs(M @ A - rest).max() < 1e-4
    assert not clean.S[:, :, quiet].any() and quiet.mean() == pytest.approx(0.7)


def test_patches_are_of_one_class_and_date_and_some_pixels_stand_alone(clean):
    label, date = clean.label.reshape(ROWS, COLS), clean.date.reshape(ROWS, COLS)
    same = (label[:, 1:] == label[:, :-1]) & (date[:, 1:] == date[:, :-1]) & (label[:, 1:] > 0)
    assert same.sum() > 0.5 * (label > 0).sum()
    key = np.pad(np.where(label > 0, label * 100 + date, -1), 1, constant_values=-1)
    alone = np.ones_like(label, dtype=bool)
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        alone &= key[1:-1, 1:-1] != key[1 + down:ROWS + 1 + down, 1 + across:COLS + 1 + across]
    assert 0.03 < (alone & (label > 0)).sum() / (label > 0).sum() < 0.15


def test_abundances_lie_on_the_simplex_and_only_the_seasonal_ones_follow_the_year():
    A = np.stack(list(seasonal_abundances(P, ROWS, COLS, np.random.default_rng(1), 48, 24.0, seasonal=2)))
    assert A.min() > 0
    np.testing.assert_allclose(A.sum(axis=1), 1, atol=1e-12)
    low, high = A[:, :2].min(axis=0), A[:, :2].max(axis=0)
    assert np.median(high / low) > 3
    ratio = A[:, 2] / A[:, 3]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape))
    first, second = A[:24, 0], A[24:, 0]   # one year like the other, but not the same
    assert 1e-3 < np.abs(first - second).max() and np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95
    image = A[12, 0].reshape(ROWS, COLS)
    assert np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("period", [12.0, 24.0])
def test_seasons_peak_in_the_middle_of_each_period(period):
    A = np.stack(list(seasonal_abundances(P, ROWS, COLS, np.random.default_rng(1), 24, period)))[:, 0].mean(axis=1)
    assert abs(int(A[:int(period)].argmax()) - period / 2) <= 1 and A[:int(period)].min() < 0.5 * A.max()


def test_settings_of_the_backgrounds_and_strengths_count(clean):
    for change in (dict(period=12.0), dict(contrast=0.2)):
        other = series(snr=None, **change)
        assert np.array_equal(other.share, clean.share) and not np.allclose(other.Y, clean.Y, atol=0.01)
    still = series(snr=None, seasonal=0)
    assert np.ptp(still.Y[:, :, still.label == 0], axis=0).max() == 0
    even = series(spread=0.0, strength=0.4)
    assert (even.strength[even.label > 0] == 0.4).all()


def test_every_date_is_told():
    dates = []
    series(callback=lambda t, _: dates.append(t))
    assert dates == list(range(T))


def test_without_a_season_backgrounds_stay():
    A = list(seasonal_abundances(P, ROWS, COLS, np.random.default_rng(1), 3, 24.0, seasonal=0))
    assert np.array_equal(A[0], A[2])


def test_noise_is_as_asked_for_and_never_negative(clean):
    noisy = series()
    assert np.array_equal(noisy.label, clean.label)
    error = np.mean((noisy.Y - series(snr=200.0).Y).astype(np.float64) ** 2)
    assert 10 * np.log10(np.mean(noisy.Y.astype(np.float64) ** 2) / error) == pytest.approx(30, abs=0.3)
    loud = series(snr=0.0).Y
    assert loud.min() == 0 and (loud == 0).mean() > 0.05


def test_the_seed_decides():
    again, other = series(), series(seed=1)
    assert np.array_equal(series().Y, again.Y)
    assert not np.array_equal(again.label, other.label)


def test_more_classes_go_round_with_other_materials_and_none_is_twice():
    found = series(classes=9)
    assert found.names[:4] == ["abrupt 1", "plateau 1", "gradual 1", "abrupt 2"]
    kinds = [(tuple(course), material) for course, material in zip(found.courses.tolist(), found.material)]
    assert len(set(kinds)) == 9 and set(found.material) == {1, 2, 3}


def test_every_class_has_pixels_however_few():
    for count in (3, 4, 5, 7):
        found = event_series(M, 1, 50, np.random.default_rng(0), share=count / 50)
        assert (np.bincount(found.label, minlength=4)[1:] > 0).all() and (found.label > 0).sum() == count


def test_free_pixels_are_counted_in_row_major_order():
    free = np.random.default_rng(0).random((6, 7)) < 0.3
    free[2] = free[0] = False
    expected = np.flatnonzero(free)
    found = [_nth_free(free, free.sum(axis=1), n) for n in range(len(expected))]
    assert [row * 7 + col for row, col in found] == expected.tolist()


def test_every_pixel_can_have_an_event():
    full = series(share=1.0)
    assert full.label.all() and (full.date >= 0).all() and full.strength.all()
    for number, course in enumerate(full.courses, 1):   # from the first date to the last that leaves its whole course
        dates = full.date[full.label == number]
        assert dates.min() == 0 and dates.max() == T - np.count_nonzero(course)


def test_samples_are_so_many_of_each_class(clean):
    pixels = draw_samples(clean, np.random.default_rng(0), 10, 30)
    assert clean.label[pixels].tolist() == [1] * 10 + [2] * 10 + [3] * 10 + [0] * 30
    assert len(set(pixels)) == 60
    fewest = np.bincount(clean.label)[1:].min()
    assert len(set(draw_samples(clean, np.random.default_rng(0), fewest, 1400))) == 3 * fewest + 1400
    with pytest.raises(ValueError, match="pixels have the event abrupt, and 5000"):
        draw_samples(clean, np.random.default_rng(0), 5000, 0)
    with pytest.raises(ValueError, match="pixels have no event, and 5000 .* change the share of event pixels"):
        draw_samples(clean, np.random.default_rng(0), 1, 5000)


@pytest.mark.parametrize(("options", "words"), [
    ({"T": 4}, "dates is 4"), ({"classes": 10}, "classes is 10"), ({"classes": 0}, "classes is 0"),
    ({"share": 0.0}, "share of event pixels is 0"), ({"share": 1.5}, "is 1.5"), ({"share": 0.001}, "is 2 event pixels"),
    ({"strength": 0.9}, "Strengths from 0.7 to 1.1"), ({"strength": 0.2}, "Strengths from 0 to 0.4"),
    ({"seasonal": 4}, "4 of 4 materials"), ({"period": 0.0}, "A year has 0 dates")])
def test_bad_arguments_are_a_sentence(options, words):
    with pytest.raises(ValueError, match=words) as error:
        series(**options)
    assert str(error.value).endswith(".")


def test_negative_spectra_are_a_sentence():
    with pytest.raises(ValueError, match="A spectrum has the value -0.1"):
        event_series(M - M.min() - 0.1, 5, 5, np.random.default_rng(0))
