"""Series of images with planted events of known class, date and strength over backgrounds that follow the seasons."""

from dataclasses import dataclass

import numpy as np

from .scene import add_noise, correlation_length, random_field, spherical

COURSES = {"abrupt": (1, 0.75, 0.5, 0.3, 0.15), "plateau": (1, 1, 1, 0, 0), "gradual": (0.25, 0.5, 0.75, 1, 0.5)}
REACH = 5                  # dates of the longest course
SMALLEST_PATCH = 4         # pixels
LARGEST_PATCH = 0.01       # of the scene
SINGLES = 0.05             # of the event pixels stand alone
LEAST_BASE, MOST_BASE = 0.1, 0.3    # what a season leaves of a material at its lowest, as a share of its fraction
JITTER = 0.1               # standard deviation of what sets a pixel apart from its neighbours, and a year from others
PHASE = 0.06               # of a year, standard deviation of the smooth part of the seasons' phase


@dataclass(frozen=True)
class EventSeries:
    """
    Attributes
    ----------
    Y : ndarray (T, L, N) float32
        Images with noise, never negative; pixels in row-major order.
    M : ndarray (L, P)
        The materials' spectra.
    share : ndarray (T, N) float32
        What the event covers of each pixel at each date: strength times course.
    label : ndarray (N,) of int
        0 for no event, otherwise the class, 1..C.
    date : ndarray (N,) of int
        The date, from 0, at which the pixel's event begins; -1 for no event.
    strength : ndarray (N,)
        Share of the pixel that the event covers where its course is 1; 0 for no event.
    names : list of C str
    courses : ndarray (C, 5)
        Of each class from its date on; 0 where it is over.
    material : ndarray (C,) of int
        The material that each class shows, 0..P-1.
    """

    Y: np.ndarray
    M: np.ndarray
    share: np.ndarray
    label: np.ndarray
    date: np.ndarray
    strength: np.ndarray
    names: list
    courses: np.ndarray
    material: np.ndarray

    @property
    def S(self):
        """The events' part of the images (T, L, N), float32: share times the spectrum of the class's material."""
        E = np.zeros((len(self.M), len(self.label)), dtype=np.float32)
        planted = self.label > 0
        E[:, planted] = self.M[:, self.material[self.label[planted] - 1]]
        return self.share[:, None] * E


def event_series(M, rows, cols, rng, T=24, classes=3, share=0.3, strength=0.5, spread=0.2, snr=30.0, period=24.0,
                 seasonal=1, contrast=1.0, callback=None):
    """
    Simulate a series of images with planted events.

    Without events a pixel is B(t) = M A(t): all materials everywhere, in smooth fields (the softmax of Gaussian fields
    and of a little noise of each pixel's own). The first `seasonal` materials follow the year (`seasonal_abundances`).
    An event of class l that begins at date d shows the material e_l, one of those without a season, by a course c_l:

        Y(t) = (1 - s c_l(t - d)) B(t) + s c_l(t - d) M[:, e_l] + noise.

    Three courses alternate: "abrupt" (1, .75, .5, .3, .15), "plateau" (1, 1, 1) and "gradual" (.25, .5, .75, 1, .5).
    Abrupt and gradual events show the same material, which backgrounds hold too, so only the course tells them apart;
    plateaus show the next one. From the fourth class on each round of three moves on by one material.

    Events lie in patches of 4 pixels to a hundredth of the scene, of log-uniform size and uneven outline, and a
    twentieth of their pixels stand alone. A patch has one class, that of the fewest pixels so far, and one date,
    uniform among those from which the course ends within the series.

    Parameters
    ----------
    M : ndarray (L, P)
        The materials' spectra, not negative.
    rows, cols : int
    rng : numpy.random.Generator
    T : int
        Dates, at least 5.
    classes : int
        Classes of events, at most three for each material without a season.
    share : float
        Of the pixels that have an event, above 0 and at most 1.
    strength, spread : float
        An event covers, where its course is 1, a share of the pixel uniform on [strength - spread, strength + spread],
        which lies in (0, 1].
    snr : float or None
        Of each image in dB; see `scene.add_noise`.
    period : float
        Dates in a year.
    seasonal : int
        How many materials follow the season, 0 to P - 1.
    contrast : float
        Of the maps: larger gives purer backgrounds.
    callback : callable(int, None), optional
        Called after each date.

    Returns
    -------
    EventSeries
        Where noise makes a value negative it is set to 0, which few values are: it cuts the noise of the darkest.

    Raises
    ------
    ValueError
        An argument outside its range.
    """
    M = np.asarray(M, dtype=np.float64)
    _check(M, rows * cols, T, classes, share, strength, spread, period, seasonal)
    kinds = [list(COURSES)[number % 3] for number in range(classes)]
    names = [kind if classes <= 3 else f"{kind} {number // 3 + 1}" for number, kind in enumerate(kinds)]
    courses = np.array([COURSES[kind] for kind in kinds], dtype=np.float64)
    others = np.arange(seasonal, M.shape[1])
    material = np.array([others[(number // 3 + (kind == "plateau")) % len(others)]
                         for number, kind in enumerate(kinds)])

    label, date = _plant(rows, cols, rng, round(share * rows * cols), [T - np.count_nonzero(c) for c in courses])
    s = np.where(label > 0, rng.uniform(strength - spread, strength + spread, label.size), 0.0)
    covered = np.zeros((T, label.size), dtype=np.float32)
    planted = np.flatnonzero(label)
    for step in range(REACH):
        level = courses[label[planted] - 1, step]
        going = level > 0
        covered[date[planted[going]] + step, planted[going]] = s[planted[going]] * level[going]

    E = np.zeros((len(M), label.size), dtype=np.float32)
    E[:, planted] = M[:, material[label[planted] - 1]]
    Y = np.empty((T, len(M), label.size), dtype=np.float32)
    for t, A in enumerate(seasonal_abundances(M.shape[1], rows, cols, rng, T, period, seasonal, contrast)):
        X = (1 - covered[t]) * (M @ A) + covered[t] * E
        Y[t] = np.maximum(add_noise(X, snr, rng), 0)
        if callback:
            callback(t, None)
    return EventSeries(Y, M, covered, label, date, s, names, courses, material)


def _check(M, N, T, classes, share, strength, spread, period, seasonal):
    P = M.shape[1]
    if M.min() < 0:
        raise ValueError(f"A spectrum has the value {M.min():.4g}: spectra must not be negative, so leave such spectra "
                         "or bands out.")
    if T < REACH:
        raise ValueError(f"The number of dates is {T}: the events' courses need at least {REACH}.")
    if not 0 <= seasonal < P:
        raise ValueError(f"{seasonal} of {P} materials are to follow the season: it must be 0 to {P - 1}, as events "
                         "show one without a season.")
    if not 1 <= classes <= 3 * (P - seasonal):
        raise ValueError(f"The number of event classes is {classes}: with {P - seasonal} materials without a season it "
                         f"must be 1 to {3 * (P - seasonal)}.")
    if not 0 < share <= 1:
        raise ValueError(f"The share of event pixels is {share:g}: it must be above 0 and at most 1.")
    if round(share * N) < classes:
        raise ValueError(f"A share of {share:g} of {N} pixels is {round(share * N)} event pixels for {classes} "
                         "classes: enlarge the scene or the share.")
    if spread < 0 or not 0 < strength - spread <= strength + spread <= 1:
        raise ValueError(f"Strengths from {strength - spread:.3g} to {strength + spread:.3g} are asked for: they must "
                         "be above 0 and at most 1, so lessen the spread.")
    if not period > 0:
        raise ValueError(f"A year has {period:g} dates: it must be a positive number.")


def _plant(rows, cols, rng, count, last):
    """Classes and dates (N,) of `count` event pixels in patches and alone; class l begins at `last[l - 1]` at most."""
    N = rows * cols
    label, date, sizes = np.zeros(N, dtype=np.int64), np.full(N, -1, dtype=np.int64), np.zeros(len(last))
    free, free_in_row = np.ones((rows, cols), dtype=bool), np.full(rows, cols)
    singles = round(SINGLES * count)
    left = count
    while left:
        if left > singles:
            size = np.exp(rng.uniform(np.log(SMALLEST_PATCH), np.log(max(SMALLEST_PATCH, LARGEST_PATCH * N))))
            size = min(round(size), left - singles, max(1, (count - singles) // len(last)))
        else:
            size = 1
        patch = _patch(free, *_nth_free(free, free_in_row, rng.integers(N - count + left)), size, rng)
        number = sizes.argmin()
        label[patch], date[patch] = number + 1, rng.integers(last[number] + 1)
        free.ravel()[patch] = False
        free_in_row -= np.bincount(patch // cols, minlength=rows)
        sizes[number] += len(patch)
        left -= len(patch)
    return label, date


def _nth_free(free, free_in_row, n):
    """Row and column of the n-th (from 0) of the `free` pixels, in row-major order, without a look at all of them."""
    upto = np.cumsum(free_in_row)
    row = int(np.searchsorted(upto, n, side="right"))
    return row, int(np.flatnonzero(free[row])[n - upto[row] + free_in_row[row]])


def _patch(free, row, col, size, rng):
    """Positions of at most `size` of the `free` pixels (rows, cols) around one, within an outline of three waves."""
    reach = int(np.ceil(2 * np.sqrt(size)))
    top, left = max(row - reach, 0), max(col - reach, 0)
    part = free[top:row + reach + 1, left:col + reach + 1]
    rows, cols = np.nonzero(part)
    down, across = rows + top - row, cols + left - col
    angle = np.arctan2(down, across)
    outline = 1 + sum(0.15 * np.cos(wave * angle + rng.uniform(0, 2 * np.pi)) for wave in (2, 3, 4))
    nearest = np.argsort(np.hypot(down, across) / outline, kind="stable")[:size]
    return (rows[nearest] + top) * free.shape[1] + cols[nearest] + left


def seasonal_abundances(P, rows, cols, rng, T, period, seasonal=1, contrast=1.0):
    """
    Yield the abundances (P, N) of each date: smooth fields of all materials, of which the first ones follow the year.

    A seasonal material's fraction is A(t) = base + amplitude season(t - phase) with season(t) = ((1 + cos(2 pi t /
    period)) / 2)^2. Its base is 0.1 to 0.3 of the fraction that the softmax gives it, its amplitude the rest and, where
    that leaves room, up to half of what the others have; both, and the phase, are smooth fields. Each pixel has a
    phase, and each year an amplitude, a little of its own. What others have left they share in constant proportions:
    fractions are not negative and sum to one.
    """
    N, length = rows * cols, correlation_length(None, rows, cols)

    def field():
        return random_field(rows, cols, length, spherical, rng).ravel()

    z = np.stack([contrast * field() + JITTER * rng.standard_normal(N) for _ in range(P)])
    A = np.exp(z - z.max(axis=0))
    A /= A.sum(axis=0)
    most, others = A[:seasonal], A[seasonal:] / A[seasonal:].sum(axis=0)
    if not seasonal:
        yield from (A for _ in range(T))
        return

    def fields():
        return np.stack([field() for _ in range(seasonal)])

    base = most * (LEAST_BASE + (MOST_BASE - LEAST_BASE) / (1 + np.exp(-fields())))
    peak = most + (1 - most.sum(axis=0)) / seasonal * 0.5 / (1 + np.exp(-fields()))
    phase = period * (0.5 + PHASE * (fields() + 0.3 * rng.standard_normal((seasonal, N))))
    years = int(np.ceil(T / period)) + 1
    vigour = np.clip(1 - JITTER * np.abs(rng.standard_normal((years, 1, N))), 0.5, 1)
    for t in range(T):
        season = ((1 + np.cos(2 * np.pi * (t - phase) / period)) / 2) ** 2
        now = base + (peak - base) * vigour[int(t / period)] * season
        yield np.concatenate([now, (1 - now.sum(axis=0)) * others])


def draw_samples(series, rng, per_class, free):
    """
    Draw pixels to learn events from: so many of each class and so many without an event.

    Returns
    -------
    ndarray (C * per_class + free,) of int
        Pixels, those of class 1 first and those without an event last.

    Raises
    ------
    ValueError
        A class, or what has no event, has fewer pixels than are asked for.
    """
    drawn = []
    for number, count in [*((number, per_class) for number in range(1, len(series.names) + 1)), (0, free)]:
        pixels = np.flatnonzero(series.label == number)
        if len(pixels) < count:
            what = f"have the event {series.names[number - 1]}" if number else "have no event"
            raise ValueError(f"{len(pixels)} pixels {what}, and {count} samples are asked for: ask for fewer, "
                             "change the share of event pixels, or simulate a larger scene.")
        drawn.append(rng.choice(pixels, count, replace=False))
    return np.concatenate(drawn)
