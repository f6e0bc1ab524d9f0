"""The tracker: its patches, its dictionary against a batch, its likelihood, and targets whose way is known."""

import numpy as np
import pytest
from scipy.optimize import nnls

from subpixel.algorithms.state_estimation.tracker import (Dictionary, _distinct, _estimate, _residuals, _Scale,
                                                          likelihood, patches, systematic, track)

ROWS, COLS = 48, 60
EVERYTHING = np.ones(9, dtype=bool)


def movie(T=12, step=(2.0, 1.0), noise=0.03, contrast=0.5, bands=2, seed=0):
    """Images of a bright (or dark) spot on an uneven ground, and its boxes (T, 4)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLS] + 0.5
    ground, frames, boxes = 0.4 + 0.05 * np.sin(x / 9) + 0.05 * np.cos(y / 7), [], []
    for t in range(T):
        box = (14 + step[0] * t, 13 + step[1] * t, 10.0, 8.0)
        spot = np.clip(1.2 - ((x - box[0]) / 5) ** 2 - ((y - box[1]) / 4) ** 2, 0, 1)
        frames.append(np.stack([ground + contrast * spot * (1 - 0.2 * band) for band in range(bands)])
                      + rng.normal(0, noise, (bands, ROWS, COLS)))
        boxes.append(box)
    return frames, np.array(boxes)


def apart(found, boxes):
    """Pixels between centres, (T,)."""
    return np.hypot(*(found.boxes - boxes)[:, :2].T)


def test_patches_of_a_plane_are_the_plane_at_the_samples():
    rows, cols = np.mgrid[:20, :30] + 0.5
    frame = np.stack([2 * cols + 3 * rows, 5 - cols])
    boxes = np.array([[12.3, 9.1, 7.0, 5.0], [20.0, 6.5, 3.0, 9.0]])
    y, seen = patches(frame, boxes, 4)
    steps = (np.arange(4) + 0.5) / 4 - 0.5
    for box, patch in zip(boxes, y):
        x, v = np.meshgrid(box[0] + box[2] * steps, box[1] + box[3] * steps)
        assert np.allclose(patch, [(2 * x + 3 * v).ravel(), (5 - x).ravel()])
    assert seen.all()


def test_patches_know_what_is_outside_or_masked():
    frame = np.ones((1, 10, 10))
    frame[0, 4, 4] = np.nan
    y, seen = patches(frame, np.array([[0.0, 5.0, 4.0, 4.0], [4.5, 4.5, 4.0, 4.0], [8.0, 8.0, 4.0, 4.0]]), 4)
    assert (seen[0].reshape(4, 4)[:, :2] == 0).all() and seen[0].reshape(4, 4)[:, 2:].all()
    assert not seen[1].reshape(4, 4)[1:3, 1:3].any() and not y[1, 0, ~seen[1]].any()
    assert seen[2].all()   # to the very edge


def test_dictionary_holds_the_first_patches_as_they_are():
    rng, made = np.random.default_rng(1), Dictionary(3)
    Y = rng.random((3, 2, 9))
    for y in Y:
        made.learn(y, EVERYTHING)
    assert np.allclose(made.W.T, np.concatenate([Y, 1 - Y], axis=1).reshape(3, -1))


def test_renewed_dictionary_is_that_of_a_batch_with_the_same_coefficients():
    """The statistics are those of all patches, and W is their least squares with W >= 0, row by row."""
    rng, made = np.random.default_rng(2), Dictionary(3)
    parts, columns, H = rng.random((4, 2, 9)), [], []
    for number, weights in enumerate(rng.dirichlet(np.ones(4), 25)):
        y = np.clip(np.tensordot(weights, parts, 1) + rng.normal(0, 0.02, (2, 9)), 0, 1)
        H.append(np.eye(3)[number] if number < 3 else made.coefficients(y[None], EVERYTHING[None])[0][:, 0])
        columns.append(np.concatenate([y, 1 - y]).ravel())
        made.learn(y, EVERYTHING)
    Y, H = np.array(columns).T, np.array(H).T
    assert np.allclose(made.A, H @ H.T) and np.allclose(made.B, Y @ H.T)
    batch = np.array([nnls(H.T, row)[0] for row in Y])
    assert np.linalg.norm(Y - made.W @ H) == pytest.approx(np.linalg.norm(Y - batch @ H), rel=1e-6)
    assert made.W.min() >= 0 and made.W.shape == (36, 3)


def test_coefficients_are_nonnegative_least_squares_of_what_is_seen():
    rng, made = np.random.default_rng(3), Dictionary(3)
    for y in rng.random((3, 2, 9)):
        made.learn(y, EVERYTHING)
    y, seen = rng.random((5, 2, 9)), rng.random((5, 9)) < 0.7
    for mask in (seen, np.ones_like(seen)):
        h, r = made.coefficients(np.where(mask[:, None], y, 0), mask)
        for number in range(5):
            rows = np.tile(mask[number], 4)
            answer, distance = nnls(made.W[rows], np.concatenate([y[number], 1 - y[number]]).ravel()[rows])
            assert np.allclose(h[:, number], answer, atol=1e-4)
            assert r[number] == pytest.approx(distance ** 2 / rows.sum(), rel=1e-4)


def test_what_is_not_seen_is_learned_as_the_dictionary_makes_it():
    rng, made = np.random.default_rng(6), Dictionary(3)
    (first, second), seen = rng.random((2, 2, 9)), np.arange(9) < 6
    made.learn(np.where(seen, first, 0), seen)
    values = np.where(seen, first, 0.5)
    np.testing.assert_array_equal(made.W[:, 0], np.concatenate([values, 1 - values]).ravel())
    second = np.where(seen, 0.4 * second, 0)
    h = made.coefficients(second[None], seen[None])[0]
    made.learn(second, seen)
    there = np.concatenate([second, 1 - second]).ravel()
    np.testing.assert_allclose(made.W[:, 1], np.where(np.tile(seen, 4), there, made.W[:, 0] * h[0, 0]))


def test_residuals_are_the_dictionarys_where_half_of_a_box_is_seen():
    frames, boxes = movie(T=1)
    frame = np.clip(frames[0], 0, 1)
    frame[:, :, 44:] = np.nan
    around = boxes[0] + np.array([[0, 0, 0, 0], [3, -2, 1, 2], [28, 0, 0, 0], [32, 0, 0, 0], [70, 0, 0, 0]])
    made = Dictionary(2)
    y, seen = patches(frame, around, 6)
    made.learn(y[0], seen[0])
    found = _residuals(made, frame, around, 6)
    np.testing.assert_allclose(found[:3], made.coefficients(y, seen)[1][:3])
    assert np.isnan(found[3:]).all() and 0.5 < seen[2].mean() < 1 and 0 < seen[3].mean() < 0.5


def test_confidence_is_by_how_much_a_box_is_better_explained_than_any_place():
    assert _distinct(0.01, 0.04, []) == pytest.approx(0.75) and _distinct(0.05, 0.04, []) == 0
    assert _distinct(0.01, 0.04, [0.01, 0.0025]) == pytest.approx(np.log(4) / np.log(8))
    assert _distinct(0.001, 0.04, [0.01]) == 1 and _distinct(0.05, 0.04, [0.01]) == 0
    assert _distinct(0.01, 1.0, [0.0]) == pytest.approx(0.5)   # counts as 1e-4 of elsewhere
    assert _distinct(0.01, 0.04, [0.05]) == 0


def test_confidence_falls_with_the_distance_of_particles_and_a_lost_box_is_the_forward_models():
    frames, boxes = movie(T=1)
    frame, made = np.clip(frames[0], 0, 1), Dictionary(2)
    made.learn(*(part[0] for part in patches(frame, boxes[:1], 8)))

    def estimated(offset, weights, lost=0.4):
        x = boxes[0] + np.array([[1.0], [-1.0]]) * np.array(offset)
        return _estimate(made, frame, x, np.array(weights), 8, np.random.default_rng(0), lost, [])
    (*_, near, found), (*_, aside, _), (*_, above, _) = (estimated(offset, (0.5, 0.5)) for offset in (
        (0, 0, 0, 0), (4, 0, 0, 0), (0, 4, 0, 0)))
    assert found and aside == pytest.approx(near * np.exp(-0.16)) and above == pytest.approx(near * np.exp(-0.25))
    skewed, lost = estimated((2, 0, 0, 0), (0.9, 0.1), 0.0), estimated((2, 0, 0, 0), (0.9, 0.1), 1.0)
    assert skewed[-1] and not lost[-1]
    np.testing.assert_allclose([skewed[0][0], lost[0][0]], boxes[0, 0] + np.array([1.6, 0]))
    np.testing.assert_allclose([skewed[1][0, 0], lost[1][0, 0]], [4 - 1.6**2, 4])
    assert skewed[4] == pytest.approx(1 / 0.82)


def test_elsewhere_is_anywhere_in_the_image():
    """A strip of which the first tenth looks like the target, and the rest does not."""
    rng = np.random.default_rng(0)
    frame, made = rng.random((1, 10, 200)), Dictionary(1)
    frame[:, :, :20] = 0.2
    made.learn(np.full((1, 16), 0.2), np.ones(16, bool))
    box = np.array([[10.0, 5.0, 4.0, 4.0]])
    _, _, r, elsewhere, *_ = _estimate(made, frame, box, np.ones(1), 4, rng, 0.4, [])
    assert r < 1e-6 and elsewhere > 0.03


def test_bands_are_scaled_by_what_is_around_the_box_and_cut_off():
    rng = np.random.default_rng(0)
    frame = np.stack([rng.uniform(5, 7, (40, 60)), rng.uniform(-100, 100, (40, 60))])
    frame[:, :, 40:] *= 50
    frame[0, 10, 10] = np.nan
    scale = _Scale(frame, np.array([12.0, 12.0, 6.0, 6.0]))
    np.testing.assert_allclose(scale.low.ravel(), [5.02, -98], rtol=0.02)
    np.testing.assert_allclose(scale.range.ravel(), [1.96, 196], rtol=0.02)
    scaled = scale(frame)
    assert np.nanmin(scaled) == 0 and np.nanmax(scaled) == 1 and np.isnan(scaled).sum() == 1


def test_memory_stays_as_it_is():
    rng, made = np.random.default_rng(4), Dictionary(2)
    for number, y in enumerate(rng.random((40, 1, 9))):
        made.learn(y, EVERYTHING)
        if number >= 1:
            assert (made.W.shape, made.A.shape, made.B.shape) == ((18, 2), (2, 2), (18, 2))


def test_likelihood_is_the_exponential_of_the_residual():
    weights = likelihood(np.array([0.1, 0.3, np.nan]), 5.0)
    assert weights[0] / weights[1] == pytest.approx(np.exp(1.0)) and weights.sum() == pytest.approx(1)
    assert weights[2] == 0 and likelihood(np.array([np.nan]), 5.0) is None


def test_systematic_drawing_is_within_one_of_the_weights():
    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.full(200, 0.2))
    for _ in range(20):
        counts = np.bincount(systematic(weights, rng), minlength=200)
        assert (np.abs(counts - 200 * weights) < 1).all() and counts.sum() == 200
    mean = np.mean([np.bincount(systematic(weights, rng), minlength=200) for _ in range(2000)], axis=0)
    assert np.abs(mean - 200 * weights).max() < 0.06


@pytest.mark.parametrize("contrast", (0.5, -0.3), ids=("bright", "dark"))
def test_follows_a_target(contrast):
    frames, boxes = movie(contrast=contrast)
    found = track(frames, boxes[0], np.random.default_rng(0), spread=(3, 3, 0.2, 0.2))
    assert found.found.all() and found.confidence.min() > 0.7
    assert apart(found, boxes).max() < 1.5
    assert np.hypot(*(boxes[-1] - boxes[0])[:2]) > 20


def test_the_same_seed_gives_the_same_track():
    frames, boxes = movie(T=4)
    first, second, other = (track(frames, boxes[0], np.random.default_rng(seed)).boxes for seed in (1, 1, 2))
    assert (first == second).all() and not (first == other).all()


def test_a_target_behind_a_cloud_is_lost_uncertain_and_found_again():
    frames, boxes = movie(step=(1.0, 0.5))
    for t in (5, 6):
        frames[t][:] = np.nan
    found = track(frames, boxes[0], np.random.default_rng(0), spread=(2, 2, 0.2, 0.2))
    assert found.found.tolist() == [t not in (5, 6) for t in range(12)]
    assert np.isnan(found.residual[5:7]).all() and (found.confidence[5:7] == 0).all()
    spread = found.covariance[:, 0, 0]
    assert spread[6] > spread[5] > spread[4] and spread[7] < spread[6] / 3
    assert apart(found, boxes)[7:].max() < 2


def test_where_nothing_is_seen_the_target_is_lost_whatever_confidence_is_enough():
    frames, boxes = movie(step=(1.0, 0.5))
    for t in (5, 6):
        frames[t][:] = np.nan
    found = track(frames, boxes[0], np.random.default_rng(0), spread=(2, 2, 0.2, 0.2), lost=0.0)
    assert found.found.tolist() == [t not in (5, 6) for t in range(12)]
    assert found.confidence[7:].min() > 0.5 and apart(found, boxes)[7:].max() < 2


def test_a_target_that_leaves_is_lost_and_nothing_is_learned_of_what_is_left():
    frames, boxes = movie()
    gone, _ = movie(contrast=0.0, seed=7)
    found = track(frames[:6] + gone[6:], boxes[0], np.random.default_rng(0), spread=(3, 3, 0.2, 0.2))
    assert found.found[:6].all() and not found.found[6:].any()


def test_missing_pixels_in_the_target_do_not_hide_it():
    frames, boxes = movie()
    rng = np.random.default_rng(8)
    for frame in frames:
        frame[:, rng.random((ROWS, COLS)) < 0.05] = np.nan
    found = track(frames, boxes[0], np.random.default_rng(0), spread=(3, 3, 0.2, 0.2))
    assert found.found.all() and apart(found, boxes).max() < 1.5


def test_units_of_the_bands_do_not_matter():
    frames, boxes = movie(T=5)
    scaled = [frame * np.array([1e4, 0.01])[:, None, None] - 3 for frame in frames]
    first, second = (track(given, boxes[0], np.random.default_rng(0)).boxes for given in (frames, scaled))
    assert np.allclose(first, second, atol=1e-6)


def test_longer_intervals_let_the_target_go_farther():
    frames, boxes = movie(T=3, step=(1.0, 0.5))
    frames[1][:] = np.nan
    short, long = (track(frames, boxes[0], np.random.default_rng(0), intervals=np.array([interval, 1.0]))
                   for interval in (1.0, 9.0))
    assert long.covariance[1, 0, 0] == pytest.approx(9 * short.covariance[1, 0, 0], rel=1e-9)
    assert np.sqrt(short.covariance[1, 0, 0]) == pytest.approx(2.0, rel=0.1)


def test_a_velocity_changes_with_the_root_of_the_interval_and_goes_on_for_all_of_it():
    frames, boxes = movie(T=3, step=(1.0, 0.5))
    frames[1][:] = np.nan
    short, long = (track(frames, boxes[0], np.random.default_rng(0), intervals=np.array([interval, 1.0]),
                         spread=(0, 0, 0, 0), acceleration=0.5) for interval in (1.0, 4.0))
    assert np.sqrt(short.covariance[1, 0, 0]) == pytest.approx(0.5, rel=0.1)
    assert long.covariance[1, 0, 0] == pytest.approx(64 * short.covariance[1, 0, 0], rel=1e-9)


def test_boxes_stay_within_the_size_of_the_image():
    frames, boxes = movie(T=2)
    frames[1][:] = np.nan
    found = track(frames, boxes[0], np.random.default_rng(0), spread=(1, 1, 50, 50), particles=4000, size=3)
    steps = 50 * np.random.default_rng(1).normal(size=10**6)
    expected = [np.clip(size + steps, 3, most).mean() for size, most in ((10, COLS), (8, ROWS))]
    np.testing.assert_allclose(found.boxes[1, 2:], expected, rtol=0.05)


def test_every_image_is_told():
    frames, boxes = movie(T=4)
    told = []
    track(frames, boxes[0], np.random.default_rng(0), particles=50, callback=told.append)
    assert told == [1, 2, 3, 4]


def test_a_velocity_carries_the_target_through_a_gap():
    frames, boxes = movie(step=(2.5, 1.5))
    for t in (7, 8, 9):
        frames[t][:] = np.nan
    off = [apart(track(frames, boxes[0], np.random.default_rng(0), spread=(1, 1, 0.1, 0.1), acceleration=speed), boxes)
           for speed in (0.0, 1.0)]
    assert off[1][9] < 3 < off[0][9] and off[1][-1] < 1.5


def test_large_batches_of_particles_are_the_same_in_parts(monkeypatch):
    from subpixel.algorithms.state_estimation import tracker
    frames, boxes = movie(T=4)
    whole = track(frames, boxes[0], np.random.default_rng(0)).boxes
    monkeypatch.setattr(tracker, "CHUNK", 2000)
    assert np.allclose(whole, track(frames, boxes[0], np.random.default_rng(0)).boxes)


@pytest.mark.parametrize("box, words", [
    ((3.0, 20.0, 10.0, 8.0), "reaches from column -2.0"), ((20.0, 46.0, 10.0, 8.0), "48 rows: draw it within"),
    ((20.0, 20.0, 2.5, 8.0), "at least 3 x 3 pixels"), ((20.0, np.nan, 5.0, 8.0), "must be the column and row")])
def test_refuses_boxes(box, words):
    frames, _ = movie(T=2)
    with pytest.raises(ValueError, match=words):
        track(frames, box, np.random.default_rng(0))


@pytest.mark.parametrize("options, words", [
    ({"spread": (1.0, -1.0, 0.0, 0.0)}, "four numbers of 0"), ({"spread": (0.0,) * 4}, "one is above 0"),
    ({"particles": 1}, "number of particles is 1"), ({"rank": 0}, "rank is 0"), ({"size": 1}, "size of a patch is 1"),
    ({"sharpness": 0.0}, "sharpness of the likelihood is 0"), ({"lost": 1.5}, "is lost is 1.5"),
    ({"acceleration": -1.0}, "acceleration is -1")])
def test_refuses_numbers(options, words):
    frames, boxes = movie(T=2)
    with pytest.raises(ValueError, match=words):
        track(frames, boxes[0], np.random.default_rng(0), **options)


def test_refuses_images_that_tell_nothing():
    frames, boxes = movie(T=2)
    with pytest.raises(ValueError, match="Image 2 has the shape"):
        track([frames[0], frames[1][:, :-1]], boxes[0], np.random.default_rng(0))
    flat = frames[0].copy()
    flat[1] = 7
    with pytest.raises(ValueError, match="Band 2 has one value, 7"):
        track([flat], boxes[0], np.random.default_rng(0))
    masked = frames[0].copy()
    masked[:, 9:15, 9:19] = np.nan
    with pytest.raises(ValueError, match="% of the box in the first image is seen"):
        track([masked], boxes[0], np.random.default_rng(0))
    with pytest.raises(ValueError, match="Every pixel in and around the box"):
        track([np.full_like(masked, np.nan)], boxes[0], np.random.default_rng(0))
