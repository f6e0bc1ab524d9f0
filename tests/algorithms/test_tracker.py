"""The tracker: its patches, its dictionary against a batch, its likelihood, and targets whose way is known."""

import numpy as np
import pytest
from scipy.optimize import nnls

from subpixel.algorithms.state_estimation.tracker import Dictionary, likelihood, patches, systematic, track

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
