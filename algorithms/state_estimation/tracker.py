"""A box that follows a moving target through images: a particle filter whose likelihood is an NMF of the target."""

from dataclasses import dataclass

import numpy as np

from ..abundances.active_set import minimise

SMALLEST = 3.0        # pixels of a box in each direction, at least
SURROUNDINGS = 3.0    # times the box: where the range of each band is taken
SEEN = 0.5            # share of a patch that must be seen
RIDGE = 1e-6          # of the mean squared length of a dictionary's columns
SWEEPS = 100          # over a dictionary's columns, at most, for each new patch
SETTLED = 1e-6        # of a dictionary's length, by which it still moves when it has settled
FLOOR = 1e-4          # of the residual elsewhere: what a residual counts as at least
ELSEWHERE = 200       # boxes that tell how well the dictionary explains any part of an image
CHUNK = 2**22         # numbers of the patches that are looked at together


@dataclass(frozen=True)
class Track:
    """
    Where the target is at each of T dates.

    Attributes
    ----------
    boxes : ndarray (T, 4)
        Column and row of the centre, width and height, in pixels; (0, 0) is the first pixel's outer corner.
    covariance : ndarray (T, 4, 4)
        Of the boxes, (5.4.22).
    residual, elsewhere : ndarray (T,)
        Mean squared residual (5.4.29) of the box, and of boxes of its size anywhere in the image (median), in squared
        ranges of the bands; NaN where too little is seen.
    effective : ndarray (T,)
        Effective number of particles, 1 / sum of squared weights.
    confidence : ndarray (T,)
        0 to 1, see `track`.
    found : ndarray (T,) of bool
        False where the target is lost: there the box is the forward model's mean, and nothing is learned.
    """

    boxes: np.ndarray
    covariance: np.ndarray
    residual: np.ndarray
    elsewhere: np.ndarray
    effective: np.ndarray
    confidence: np.ndarray
    found: np.ndarray


def track(frames, box, rng, *, intervals=None, spread=(2.0, 2.0, 0.2, 0.2), acceleration=0.0, particles=500, size=12,
          rank=5, sharpness=500.0, lost=0.4, callback=None):
    """
    Follow a target from a box in the first image.

    State-space model (5.4.23)-(5.4.24): the state is the box, its forward model a random walk, and the observation the
    patch of the image under the box, resampled bilinearly to `size` x `size` samples whatever the box. Likelihood
    (5.4.28)-(5.4.30): exp(-C r) with r the mean squared residual of the patch to a nonnegative dictionary W of earlier
    patches of the target, by nonnegative least squares. Particles are drawn again at each date (5.4.20), by systematic
    sampling.

    Parameters
    ----------
    frames : iterable of T ndarray (B, rows, cols)
        NaN where a pixel is masked. One is held at a time.
    box : (float, float, float, float)
        As in `Track.boxes`, at the first date.
    rng : numpy.random.Generator
    intervals : ndarray (T - 1,), optional
        Between dates, in the unit of `spread` and `acceleration`: the variances of the steps are in proportion. By
        default 1.
    spread : (float, float, float, float)
        Standard deviations of the steps of column, row, width and height in one interval of 1, in pixels.
    acceleration : float
        Standard deviation of the steps of a velocity of the centre, in pixels per interval, that the box goes on with.
        0 for the thesis's random walk.
    particles : int
    size : int
        Samples across a patch. Boxes of many more pixels are not averaged, but looked at in so many places.
    rank : int
        Columns of the dictionary at most.
    sharpness : float
        C. With noise of variance s^2 in ranges of a band, C = size^2 B / s^2 is the exact one; smaller is more patient
        with changes that the dictionary does not know.
    lost : float
        Confidence below which the target is lost; where no particle or not the mean box sees enough it is in any case.
    callback : callable(date) -> None, optional
        After each image, from 1.

    Returns
    -------
    Track

    Raises
    ------
    ValueError
        A box that is not within the first image, smaller than 3 x 3 pixels or mostly masked; a band without contrast
        around it; numbers out of their range; images of different shapes.

    Notes
    -----
    Patches. Nonnegative least squares explain a patch of zeros by nothing at all, without residual: dark places would
    attract every box, and a dark target have no signature. So each band is brought to 0..1 by its 1st and 99th
    percentile around the first box (three times its size), cut off there, which also removes negative values, and a
    patch holds both the value v and 1 - v of each sample. The residual is divided by the number of values.

    Masked samples, and those outside the image, take no part in least squares and residual. A box of which less than
    half is seen has no weight.

    Confidence is not the thesis's: log(r' / r) / log(r' / u), between 0 and 1, times exp(-(sx / w)^2 - (sy / h)^2),
    with r the residual of the mean box, r' the median residual of 200 boxes of its size anywhere in the image, u the
    geometric mean of the residuals of earlier boxes with the target, and sx, sy the standard deviations of the
    particles: 1 where the box is explained as well as ever, 0 where no better than any place. All residuals count as at
    least 1e-4 r'. The first date has 1; the second, without u, has 1 - r / r' instead of the quotient. Where it is too
    low, the particles are not drawn again, so that they spread until some meet the target.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 5.4, (5.4.15)-(5.4.30). Departures: the patches, the
    confidence, the intervals and the velocity; `Dictionary` in place of the regularised NMF that the thesis refers to.
    """
    spread = np.asarray(spread, dtype=np.float64)
    _check_numbers(spread, acceleration, particles, size, rank, sharpness, lost)
    frames, box = iter(frames), np.asarray(box, dtype=np.float64)
    first = np.asarray(next(frames))
    _check_box(box, first.shape[1:])
    scale = _Scale(first, box)
    frame = scale(first)
    y, seen = patches(frame, box[None], size)
    if seen.mean() < SEEN:
        raise ValueError(f"Only {100 * seen.mean():.0f} % of the box in the first image is seen, the rest is masked: "
                         f"start from an image that shows the target.")
    dictionary = Dictionary(rank)
    dictionary.learn(y[0], seen[0])
    x, v = np.tile(box, (particles, 1)), np.zeros((particles, 2))
    rows = [(box, np.zeros((4, 4)), 0.0, np.nan, float(particles), 1.0, True)]
    usual = []
    for number, following in enumerate(frames):
        if callback is not None:
            callback(number + 1)
        if np.shape(following) != first.shape:
            raise ValueError(f"Image {number + 2} has the shape {np.shape(following)} and the first {first.shape}: all "
                             f"must have the same bands, rows and columns.")
        frame, interval = scale(np.asarray(following)), 1.0 if intervals is None else float(intervals[number])
        v = v + acceleration * np.sqrt(interval) * rng.standard_normal(v.shape)
        x = x + spread * np.sqrt(interval) * rng.standard_normal(x.shape)
        x[:, :2] += interval * v
        x[:, 2:] = np.clip(x[:, 2:], SMALLEST, frame.shape[:0:-1])
        weights = likelihood(_residuals(dictionary, frame, x, size), sharpness)
        row = _estimate(dictionary, frame, x, weights, size, rng, lost, usual)
        rows.append(row)
        if row[-1]:
            usual.append(row[2])
            (y,), (seen,) = patches(frame, row[0][None], size)
            dictionary.learn(y, seen)
            drawn = systematic(weights, rng)
            x, v = x[drawn], v[drawn]
    if callback is not None:
        callback(len(rows))
    return Track(*(np.array(values) for values in zip(*rows)))


def patches(frame, boxes, size):
    """
    What an image shows under boxes, (5.4.24), resampled bilinearly to size x size samples.

    Parameters
    ----------
    frame : ndarray (B, rows, cols)
        NaN where masked.
    boxes : ndarray (N, 4)
    size : int

    Returns
    -------
    y : ndarray (N, B, size^2)
        0 where nothing is seen.
    seen : ndarray (N, size^2) of bool
        False for samples outside the image, or between pixels of which one is masked.
    """
    rows, cols = frame.shape[1:]
    steps = (np.arange(size) + 0.5) / size - 0.5
    u, v = (boxes[:, axis, None] + boxes[:, axis + 2, None] * steps for axis in (0, 1))
    inside = ((u >= 0) & (u <= cols))[:, None, :] & ((v >= 0) & (v <= rows))[:, :, None]
    (left, right, fu), (top, bottom, fv) = _neighbours(u, cols), _neighbours(v, rows)
    fu, fv = fu[:, None, :], fv[:, :, None]
    y = 0.0
    for line, share in ((top, 1 - fv), (bottom, fv)):
        for column, part in ((left, 1 - fu), (right, fu)):
            y = y + share * part * frame[:, line[:, :, None], column[:, None, :]]
    seen = inside & np.isfinite(y).all(axis=0)
    y = np.where(seen, y, 0.0).transpose(1, 0, 2, 3)
    return y.reshape(len(boxes), len(frame), -1), seen.reshape(len(boxes), -1)


def _neighbours(position, length):
    """The pixels before and after positions, and how far between their centres these are, 0 to 1."""
    position = np.clip(position - 0.5, 0, length - 1)
    before = np.minimum(np.floor(position).astype(np.intp), max(length - 2, 0))
    return before, np.minimum(before + 1, length - 1), position - before


class Dictionary:
    """
    A nonnegative dictionary W (m, r) of patches, renewed with each of them in constant memory, (5.4.27).

    While there are no more patches than columns they are the columns: that is exact. Later ones add their coefficients
    h, by least squares to the W of their time, to the statistics A = sum h h^T and B = sum y h^T, and W minimises
    sum ||y - W h||^2 = tr(W^T W A) - 2 tr(W^T B) + constant over W >= 0, column by column until it settles. Given the
    coefficients, that is the answer of a batch of all patches; a batch would also renew old coefficients.

    Parameters
    ----------
    rank : int
        Columns at most.

    Notes
    -----
    Patches of `patches`; both v and 1 - v of each sample are kept. Samples that are not seen are learned as what W
    makes of the others, or as 0.5 in the first patch. Least squares have a ridge of 1e-6 of the mean squared length of
    the columns, since those of a target that does not change are alike.

    References
    ----------
    Thesis, (5.4.26)-(5.4.29). J. Mairal, F. Bach, J. Ponce, G. Sapiro, Online learning for matrix factorization and
    sparse coding, JMLR 11, 2010 (statistics). A. Cichocki, A.-H. Phan, IEICE Trans. E92-A(3), 2009 (column by column).
    """

    def __init__(self, rank):
        self.rank, self.W, self.A, self.B = rank, None, None, None

    def coefficients(self, y, seen):
        """
        Nonnegative h (r, N) of patches y (N, B, S), of which `seen` (N, S) are there, and the mean squared residuals.

        The residuals (N,) are NaN where nothing is seen.
        """
        W = self.W.reshape(2, -1, seen.shape[1], self.W.shape[1])
        G = np.einsum("absp,absq->spq", W, W, optimize=True)
        if seen.all():
            G = G.sum(axis=0)
        else:
            G = (seen.astype(np.float64) @ G.reshape(len(G), -1)).reshape(-1, *G.shape[1:])
        off = np.where(seen[:, None], 1 - y, 0.0)
        values = np.stack([y, off], axis=1).reshape(len(y), -1)
        c = self.W.T @ values.T
        lift = RIDGE * np.square(self.W).sum(axis=0).mean() * np.eye(self.W.shape[1])
        h = minimise(G + lift, c, sum_to_one=False)
        Gh = G @ h if G.ndim == 2 else np.einsum("npq,qn->pn", G, h)
        r = np.square(values).sum(axis=1) + np.einsum("pn,pn->n", h, Gh - 2 * c)
        count = 2 * y.shape[1] * seen.sum(axis=1)
        return h, np.divide(np.maximum(r, 0), count, out=np.full(len(y), np.nan), where=count > 0)

    def learn(self, y, seen):
        """Take a patch y (B, S) into account, of which `seen` (S,) is there."""
        if self.W is None:
            y = np.where(seen, y, 0.5)
            self.W = np.concatenate([y.ravel(), 1 - y.ravel()])[:, None]
            self.A, self.B = np.eye(1), self.W.copy()
            return
        h = self.coefficients(y[None], seen[None])[0][:, 0]
        on, off = (self.W @ h).reshape(2, *y.shape)
        values = np.concatenate([np.where(seen, y, on).ravel(), np.where(seen, 1 - y, off).ravel()])
        if self.W.shape[1] < self.rank:
            self.W, self.B = (np.column_stack([part, values]) for part in (self.W, self.B))
            self.A = np.eye(len(self.A) + 1)
            return
        self.A += np.outer(h, h)
        self.B += np.outer(values, h)
        self._settle()

    def _settle(self):
        """The W >= 0 that minimises tr(W^T W A) - 2 tr(W^T B)."""
        for _ in range(SWEEPS):
            before = self.W.copy()
            for k in range(self.W.shape[1]):
                self.W[:, k] = np.maximum(self.W[:, k] + (self.B[:, k] - self.W @ self.A[:, k]) / self.A[k, k], 0)
            if np.linalg.norm(self.W - before) <= SETTLED * np.linalg.norm(self.W):
                return


def likelihood(residuals, sharpness):
    """
    Weights (N,) of particles by (5.4.30) and (5.4.19), from `residuals` (N,), NaN for those that see too little.

    None where no particle sees enough.
    """
    known = np.isfinite(residuals)
    if not known.any():
        return None
    weights = np.where(known, np.exp(-sharpness * (np.where(known, residuals, 0.0) - residuals[known].min())), 0.0)
    return weights / weights.sum()


def systematic(weights, rng):
    """Which particles to go on with, (N,) ascending: each floor(N w) or that many and one times, N w on average."""
    places = (np.arange(len(weights)) + rng.random()) / len(weights)
    edges = np.cumsum(weights)
    return np.searchsorted(edges / edges[-1], places, side="right")


def _residuals(dictionary, frame, boxes, size):
    """Mean squared residuals (N,) of the patches under boxes; NaN where too little is seen."""
    found, step = [], max(1, CHUNK // (2 * len(frame) * size * size))
    for start in range(0, len(boxes), step):
        y, seen = patches(frame, boxes[start:start + step], size)
        enough = seen.mean(axis=1) >= SEEN
        found.append(np.full(len(y), np.nan))
        if enough.any():
            found[-1][enough] = dictionary.coefficients(y[enough], seen[enough])[1]
    return np.concatenate(found)


def _estimate(dictionary, frame, x, weights, size, rng, lost, usual):
    """
    A row of `Track` for particles `x` (N, 4) with their weights (N,), None where none sees enough.

    `usual` holds the residuals of earlier boxes with the target.
    """
    uniform = np.full(len(x), 1 / len(x))
    box, covariance = _moments(x, uniform if weights is None else weights)
    anywhere = np.column_stack([rng.random((ELSEWHERE, 2)) * frame.shape[:0:-1], np.tile(box[2:], (ELSEWHERE, 1))])
    r, others = _residuals(dictionary, frame, box[None], size)[0], _residuals(dictionary, frame, anywhere, size)
    elsewhere = float(np.median(others[np.isfinite(others)])) if np.isfinite(others).any() else np.nan
    confidence, effective, seen = 0.0, 0.0, weights is not None and bool(np.isfinite(r))
    if weights is not None:
        effective = float(1 / np.square(weights).sum())
        if seen and elsewhere > 0:
            apart = covariance[0, 0] / box[2] ** 2 + covariance[1, 1] / box[3] ** 2
            confidence = float(_distinct(r, elsewhere, usual) * np.exp(-apart))
    found = seen and confidence >= lost
    if not found:
        box, covariance = _moments(x, uniform)
    return box, covariance, r, elsewhere, effective, confidence, found


def _distinct(residual, elsewhere, usual):
    """How much better a box is explained than any place, 0, as against as well as ever, 1."""
    if not usual:
        return max(0.0, 1 - residual / elsewhere)
    gain, best = (np.log(elsewhere) - np.log(np.maximum(r, FLOOR * elsewhere)).mean() for r in (residual, usual))
    return float(np.clip(gain / best, 0, 1)) if best > 0 else 0.0


def _moments(x, weights):
    """Mean (5.4.21) and covariance (5.4.22) of particles."""
    mean = weights @ x
    return mean, (weights[:, None] * (x - mean)).T @ (x - mean)


class _Scale:
    """Brings the bands of an image to 0..1, by their range in and around a box of the first one."""

    def __init__(self, frame, box):
        rows, cols = frame.shape[1:]
        (left, right), (top, bottom) = ((max(int(box[axis] - SURROUNDINGS * box[axis + 2] / 2), 0),
                                         min(int(np.ceil(box[axis] + SURROUNDINGS * box[axis + 2] / 2)), length))
                                        for axis, length in ((0, cols), (1, rows)))
        around = frame[:, top:bottom, left:right].reshape(len(frame), -1)
        around = around[:, np.isfinite(around).all(axis=0)]
        if not around.size:
            raise ValueError("Every pixel in and around the box in the first image is masked: start from an image that "
                             "shows the target.")
        low, high = np.percentile(around.astype(np.float64), [1, 99], axis=1)
        for band in np.flatnonzero(high <= low)[:1]:
            raise ValueError(f"Band {band + 1} has one value, {low[band]:g}, in and around the box in the first image, "
                             f"and tells nothing of the target: leave it out.")
        self.low, self.range = low[:, None, None], (high - low)[:, None, None]

    def __call__(self, frame):
        return np.clip((frame - self.low) / self.range, 0, 1)


def _check_box(box, shape):
    rows, cols = shape
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"The box is {box.tolist()}: it must be the column and row of its centre, its width and its "
                         f"height, in pixels.")
    x, y, width, height = box
    if min(width, height) < SMALLEST:
        raise ValueError(f"The box in the first image has {width:.1f} x {height:.1f} pixels, too few to know the "
                         f"target by: draw one of at least {SMALLEST:g} x {SMALLEST:g} pixels.")
    left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    if left < 0 or top < 0 or right > cols or bottom > rows:
        raise ValueError(f"The box reaches from column {left:.1f} to {right:.1f} and row {top:.1f} to {bottom:.1f}, "
                         f"and the images have {cols} columns and {rows} rows: draw it within them.")


def _check_numbers(spread, acceleration, particles, size, rank, sharpness, lost):
    if spread.shape != (4,) or not (np.isfinite(spread) & (spread >= 0)).all() or not (spread.any() or acceleration):
        raise ValueError(f"The standard deviations of the steps are {spread.tolist()}: they must be four numbers of 0 "
                         f"or more, of which one is above 0.")
    for name, value, least in (("number of particles", particles, 2), ("size of a patch", size, 2), ("rank", rank, 1)):
        if value < least:
            raise ValueError(f"The {name} is {value}: it must be at least {least}.")
    if not acceleration >= 0:
        raise ValueError(f"The acceleration is {acceleration:g}: it must be 0 or more.")
    if not sharpness > 0:
        raise ValueError(f"The sharpness of the likelihood is {sharpness:g}: it must be above 0.")
    if not 0 <= lost <= 1:
        raise ValueError(f"The confidence below which the target is lost is {lost:g}: it must be 0 to 1.")
