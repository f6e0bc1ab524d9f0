"""From samples to backgrounds, events and patterns."""

from functools import cache

import numpy as np
import pytest

from subpixel.algorithms.events.deepnmfd import DeepNMFD
from subpixel.algorithms.events.learning import Features, courses_of, take_apart
from subpixel.algorithms.events.network import Settings
from subpixel.algorithms.events.padnmf import PadNMF
from subpixel.algorithms.simulate.events import event_series
from subpixel.algorithms.unfolding.multiplicative import first

T, LENGTH = 16, 5


@cache
def scene(snr=None, strength=0.7):
    """Series (m, N, T) of 900 pixels with planted events."""
    x = np.linspace(0, 1, 6)
    M = np.array([0.05 + 0.5 / (1 + np.exp(-(x - 0.5) * 20)), 0.1 + 0.3 * x, 0.25 + 0.15 * np.sin(3 * x),
                  0.06 - 0.03 * x]).T
    made = event_series(M, 30, 30, np.random.default_rng(3), T=T, strength=strength, spread=0.05, snr=snr)
    return made, np.ascontiguousarray(made.Y.transpose(1, 2, 0))


def samples(made, per_class=8, free=40, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(made.label == k), per_class if k else free, replace=False)
                           for k in range(4)])


def seen(X):
    return np.ones(X.shape[1:], bool)


def test_features_are_relative_means_of_groups_of_bands():
    X = np.arange(1, 31, dtype=float).reshape(5, 2, 3)
    features = Features.of(X, seen(X), 2)
    assert features.groups.tolist() == [0, 0, 0, 1, 1]
    assert np.allclose(features(X, seen(X)), [X[:3].mean(axis=0) / X[:3].mean(axis=0).max(),
                                              X[3:].mean(axis=0) / X[3:].mean(axis=0).max()], rtol=2e-3)
    assert Features.of(X, seen(X), 12).groups.tolist() == [0, 1, 2, 3, 4]
    valid = seen(X)
    valid[1, 2] = False
    known = Features.of(X, valid, 2).scale
    X[:, 1, 2] = 1e6
    assert np.array_equal(Features.of(X, valid, 2).scale, known) and not np.array_equal(known, features.scale)
    assert (features(X, valid)[:, 1, 2] == 0).all() and (features(X, valid)[:, 0] > 0).all()


def test_a_band_of_zeros_is_named():
    X = np.ones((3, 2, 4))
    X[1] = 0
    with pytest.raises(ValueError, match="Band 2 of those used is 0"):
        Features.of(X, seen(X), 12)


def test_changes_are_gains_and_losses_against_the_background():
    made, X = scene()
    free = np.flatnonzero(made.label == 0)
    features = Features.of(X, seen(X), 12)
    V, _ = courses_of(features(X[:, free], seen(X)[free]), seen(X)[free], None, LENGTH, 8, np.random.default_rng(0))
    changes = Features(features.groups, features.scale, V)(X, seen(X))
    assert changes.shape == (12, 900, T) and changes.min() >= 0
    assert (np.minimum(changes[:6], changes[6:]) == 0).all()
    lasting = np.arange(T) - made.date[:, None]
    during = (made.label > 0)[:, None] & (lasting >= 0) & (lasting < 3)
    assert changes[:, during].mean() > 4 * changes[:, made.label == 0].mean()


def test_samples_are_taken_apart():
    made, X = scene()
    q = samples(made)
    features = Features.of(X, seen(X), 12)
    F = features(X, seen(X))
    others = np.setdiff1d(np.arange(900), q)
    found = take_apart(F[:, q], seen(F)[q], made.label[q], made.date[q], LENGTH, np.random.default_rng(0),
                       unlabelled=(F[:, others], seen(F)[others]))
    assert found.patterns.shape == (3, 6, LENGTH) and found.patterns.min() >= 0
    planted = np.flatnonzero(made.label[q])
    assert (found.S[:, made.label[q] == 0] == 0).all() and (found.S <= found.X + 1e-6).all()
    for event in planted:
        since = np.arange(T) - made.date[q][event]
        assert (found.S[:, event, (since < 0) | (since >= LENGTH)] == 0).all()
        d = made.date[q][event]
        pattern = found.patterns[made.label[q][event] - 1][:, :T - d]
        S = found.S[:, event, d:d + LENGTH]
        free = S < found.X[:, event, d:d + LENGTH] - 1e-6
        ratio = S[free & (pattern > 0)] / pattern[free & (pattern > 0)]
        assert ratio.size and np.allclose(ratio, ratio[0], rtol=1e-3)   # a multiple of its class's pattern
    course = found.patterns.sum(axis=1)
    assert course[0].argmax() == 0 and course[2].argmax() == 3          # abrupt, gradual
    assert course[1, 3:].max() < 0.35 * course[1, :3].min()             # a plateau of three dates
    series, valid = found.free
    assert len(valid) == 40 + round(0.6 * len(others)) == series.shape[1]


def test_patterns_and_strengths_are_of_the_dates_that_are_seen():
    X, valid, label = np.ones((2, 12, 10)), np.ones((12, 10), bool), np.repeat([0, 1], 6)
    course = np.array([[1.0, 2, 3, 0.5], [0, 1, 0, 0]])
    X[:, 6:, 3:7] += course[:, None]
    valid[6:9, 4] = False
    found = take_apart(X, valid, label, np.where(label, 3, -1), 4, np.random.default_rng(0), backgrounds=1)
    assert np.allclose(found.patterns[0], course * [1, 1, 1, 0], atol=1e-3)   # little is left at the last date: over
    assert np.allclose(found.strength, 1, atol=1e-3)


def test_backgrounds_make_the_mean_of_their_series_and_bridge_dates_that_none_has():
    rng = np.random.default_rng(0)
    course = np.array([[1.0, 2, 3, 4, 5, 6, 6, 6], [6, 5, 4, 3, 2, 1, 1, 1]])
    X, valid = course[:, None] * rng.uniform(0.5, 1.5, (1, 30, 1)), rng.random((30, 8)) > 0.2
    valid[:, 3] = False
    V, _ = courses_of(np.where(valid, X, 0), valid, None, 2, 3, rng)
    assert np.allclose(V.sum(axis=0), X.mean(axis=1), rtol=1e-3)


def test_unlabelled_events_are_left_out_of_the_backgrounds():
    made, X = scene()
    features = Features.of(X, seen(X), 12)
    F = features(X, seen(X)).astype(float)
    free, others = np.flatnonzero(made.label == 0)[:20], np.arange(900)
    _, (hosts, _) = courses_of(F[:, free], seen(F)[free], (F[:, others], seen(F)[others]), LENGTH, 6,
                               np.random.default_rng(0))
    kept = [int(np.abs(F - series[:, None]).sum(axis=(0, 2)).argmin()) for series in hosts[:, 20:].transpose(1, 0, 2)]
    assert (made.label[kept] > 0).mean() < 0.25 * (made.label > 0).mean()


def test_dates_that_are_not_given_are_found():
    made, X = scene()
    q = samples(made)
    features = Features.of(X, seen(X), 12)
    courses, _ = courses_of(features(X, seen(X))[:, made.label == 0][:, ::3], seen(X)[made.label == 0][::3], None,
                            LENGTH, 6, np.random.default_rng(0))
    F = Features(features.groups, features.scale, courses)(X, seen(X))
    hidden = np.where(np.arange(len(q)) % 2, made.date[q], -1)
    found = take_apart(F[:, q], seen(F)[q], made.label[q], hidden, LENGTH, np.random.default_rng(0))
    planted = made.label[q] > 0
    assert (found.date[~planted] == -1).all()
    assert (np.abs(found.date - made.date[q])[planted] <= 1).mean() > 0.85
    assert (found.date == made.date[q])[planted & (hidden >= 0)].all()


def test_an_event_of_unknown_date_begins_where_its_pattern_does():
    rng = np.random.default_rng(1)
    X, valid, label = np.ones((2, 40, 16)), np.ones((40, 16), bool), np.repeat([0, 1], 20)
    date = np.where(label, rng.integers(2, 9, 40), -1)
    for q in range(20, 40):
        X[0, q, date[q]:date[q] + 3] += [3.0, 2, 2]
    X += rng.uniform(0, 0.1, X.shape)
    found = take_apart(X, valid, label, np.full(40, -1), 6, np.random.default_rng(0), backgrounds=1)
    assert np.array_equal(found.date, date)
    assert np.allclose(found.patterns[0, 0], [3, 2, 2, 0, 0, 0], atol=0.1)


def test_mixtures_move_events_to_other_series_and_dates():
    made, X = scene()
    q = samples(made)
    features = Features.of(X, seen(X), 12)
    F = features(X, seen(X))
    found = take_apart(F[:, q], seen(F)[q], made.label[q], made.date[q], LENGTH, np.random.default_rng(0))
    mixed, S, valid = found.mixtures(300, np.random.default_rng(1), changes=False)
    assert mixed.min() >= 0 and (S <= mixed + 1e-6).all() and S.min() >= 0
    without = S.max(axis=(0, 2)) == 0
    assert without[:100].all() and without[100:].mean() < 0.2   # darkening samples have no gain to move
    for series in mixed[:, :100].transpose(1, 0, 2)[::10]:      # those without an event are series that there are
        assert np.abs(found.free[0] - series[:, None]).max(axis=(0, 2)).min() < 1e-6
    begins = (S.max(axis=0) > 0).argmax(axis=1)[~without]
    assert len(set(begins.tolist())) > 8 and begins.max() == T - 3   # of events of five dates, half is left
    again = found.mixtures(300, np.random.default_rng(1), changes=False)
    assert np.array_equal(mixed, again[0])


def test_mixtures_have_the_gaps_of_the_series_that_they_are_made_of():
    made, X = scene()
    q = samples(made)
    valid = np.random.default_rng(2).uniform(size=(len(q), T)) > 0.2
    F = Features.of(X, seen(X), 12)(X, seen(X))[:, q]
    found = take_apart(F, valid, made.label[q], made.date[q], LENGTH, np.random.default_rng(0))
    mixed, S, known = found.mixtures(100, np.random.default_rng(1), changes=False)
    assert {tuple(row) for row in known} <= {tuple(row) for row in valid[made.label[q] == 0]} and not known.all()
    assert not mixed[:, ~known].any() and not S[:, ~known].any() and S.any()


def test_no_mixtures_leave_the_samples():
    made, X = scene()
    q = samples(made)
    settings = Settings(length=LENGTH, K=4, C=1, mixtures=0)
    told = []
    net, found, losses = DeepNMFD.learn(X[:, q], seen(X)[q], made.label[q], made.date[q], np.random.default_rng(0),
                                        settings, epochs=2, callback=lambda *epoch: told.append(epoch))
    assert told == [(1, losses[1]), (2, losses[2])] and (net.limits > 0).all()
    y, S = net.series(found.X, found.valid), net.series(found.S, found.valid).X   # untrained, per sample
    untrained = DeepNMFD(settings, net.features, net.patterns, net.backgrounds)
    H = untrained.network.inference(first(y, net.loss.D.shape[2]), y)
    assert losses[0] == pytest.approx(float(untrained.loss(H, y, S)) / len(q), rel=1e-4)


def test_gains_and_losses_of_mixtures_cancel():
    made, X = scene()
    q = samples(made)
    features = Features.of(X, seen(X), 12)
    courses, _ = courses_of(features(X, seen(X))[:, q[:40]], seen(X)[q[:40]], None, LENGTH, 6, np.random.default_rng(0))
    F = Features(features.groups, features.scale, courses)(X, seen(X))
    found = take_apart(F[:, q], seen(F)[q], made.label[q], made.date[q], LENGTH, np.random.default_rng(0))
    mixed, S, _ = found.mixtures(200, np.random.default_rng(1), changes=True)
    assert (np.minimum(mixed[:6], mixed[6:]) < 1e-6).all()
    assert (S <= mixed + 1e-6).all()


@pytest.mark.parametrize("kind", [PadNMF, DeepNMFD])
def test_events_planted_without_noise_are_found_at_their_dates(kind):
    """Every class at every date from which half of it is seen, in series that the model can be."""
    rng = np.random.default_rng(6)
    patterns = np.zeros((3, 20, LENGTH))
    for k, course in enumerate([(1, 0.75, 0.5, 0.3, 0.15), (1, 1, 1, 0, 0), (0.25, 0.5, 0.75, 1, 0.5)]):
        patterns[k] = rng.uniform(0.2, 1, 20)[:, None] * np.array(course)
    backgrounds = rng.uniform(0.2, 1, (3, 20, T))
    net = kind(Settings(length=LENGTH, K=600, C=0, changes=False), Features(np.arange(20), np.ones(20), None),
               patterns, backgrounds, limits=np.full(3, 0.1))
    date = np.tile(np.arange(T - 2), 3)
    event = np.repeat([1, 2, 3], T - 2)
    X = np.einsum("jmt,jq->mqt", backgrounds, rng.uniform(0.2, 1, (3, len(date))))
    for q, (k, d) in enumerate(zip(event, date)):
        X[:, q, d:d + LENGTH] += rng.uniform(0.5, 1.5) * patterns[k - 1][:, :T - d]
    found = net.detect(X, seen(X))
    assert (found.event == event).mean() > 0.95
    whole = date <= T - LENGTH
    assert (found.date == date)[(found.event == event) & whole].all()
    assert (found.date == date)[found.event == event].mean() > 0.95


@pytest.mark.parametrize("kind", [PadNMF, DeepNMFD])
def test_events_are_learned_from_few_samples(kind):
    made, X = scene()
    q = samples(made)
    others = np.setdiff1d(np.arange(900), q)
    net, found, losses = kind.learn(X[:, q], seen(X)[q], made.label[q], made.date[q], np.random.default_rng(0),
                                    Settings(K=60, C=5, mixtures=200), unlabelled=(X[:, others], seen(X)[others]),
                                    epochs=8, batch=200)
    assert min(losses) < 0.9 * losses[0]
    detected = net.detect(X[:, others], seen(X)[others])
    right = (made.label[others] > 0) & (detected.event == made.label[others])
    assert right.sum() > 0.5 * (made.label[others] > 0).sum()
    assert (np.abs(detected.date - made.date[others]) <= 1)[right].mean() > 0.8
    assert (detected.event[made.label[others] == 0] > 0).mean() < 0.2


def test_missing_dates_of_samples_take_no_part():
    made, X = scene()
    q = samples(made)
    valid = np.random.default_rng(2).uniform(size=(len(q), T)) > 0.1
    F = Features.of(X, seen(X), 12)(X, seen(X))[:, q]
    one = take_apart(F, valid, made.label[q], made.date[q], LENGTH, np.random.default_rng(0))
    two = take_apart(np.where(valid, F, 55.0).astype(F.dtype), valid, made.label[q], made.date[q], LENGTH,
                     np.random.default_rng(0))
    assert np.array_equal(one.patterns, two.patterns) and np.array_equal(one.backgrounds, two.backgrounds)
    assert (one.S[:, ~valid] == 0).all()


@pytest.mark.parametrize("change, message", [
    (dict(length=T + 1), "last 17 dates, and the series has 16"),
    (dict(label=lambda label: np.where(label == 0, 1, label)), "free of events"),
    (dict(label=lambda label: np.where((label == 2) & (np.cumsum(label == 2) > 1), 0, label)), "Class 2 has 1 sample"),
    (dict(label=np.zeros_like), "0 samples"),
    (dict(X=lambda X: X - 0.5), "negative"),
])
def test_samples_that_teach_nothing_are_refused(change, message):
    made, X = scene()
    q = samples(made)
    F = Features.of(X, seen(X), 12)(X, seen(X))[:, q]
    with pytest.raises(ValueError, match=message):
        take_apart(change.get("X", lambda X: X)(F), seen(F), change.get("label", lambda label: label)(made.label[q]),
                   made.date[q], change.get("length", LENGTH), np.random.default_rng(0))


def learned(batch=50, **settings):
    made, X = scene()
    q = samples(made)
    net, found, _ = DeepNMFD.learn(X[:, q], seen(X)[q], made.label[q], made.date[q], np.random.default_rng(0),
                                   Settings(K=20, C=2, mixtures=60, **settings), epochs=1, batch=batch)
    return net, net.shown(found.X, found.valid)[0], found, X[:, q], seen(X)[q]


def test_thresholds_come_from_the_event_free_samples():
    for rule, limit in (("max", lambda index: index.max(axis=1)),
                        ("mean", lambda index: np.exp(np.log(index).mean(axis=1)))):
        net, index, found, X, valid = learned(threshold=rule, beta=None)
        assert np.allclose(net.limits, limit(index[:, found.label == 0]))
        assert np.allclose(net.detect(X, valid).index, index / net.limits[:, None], rtol=1e-3)


def test_uncertainty_is_reduced_where_that_is_asked_for():
    net, index, found, X, valid = learned(beta=1.0)
    assert np.allclose(net.uncertainty.A[:, 1], index[:, found.label == 2].mean(axis=1))
    latent = net.uncertainty.latent(index)
    assert np.allclose(net.limits, latent[:, found.label == 0].max(axis=1))
    assert np.allclose(net.detect(X, valid).index, latent / net.limits[:, None], rtol=1e-3, atol=1e-6)
    assert learned()[0].uncertainty.beta == 2 and learned(beta=None)[0].uncertainty is None


def test_settings_change_what_is_learned():
    base = learned()[0]
    for change in (dict(backgrounds=3), dict(groups=3), dict(sparsity=1.0), dict(fidelity=0.0), dict(length=4),
                   dict(batch=500)):
        other = learned(**change)[0]
        assert other.network.own[0].shape != base.network.own[0].shape or \
            not np.allclose(other.network.own[0], base.network.own[0])
    assert learned(changes=False)[0].features.courses is None
    assert len(learned(groups=3)[0].features.scale) == 3
