"""Which bands of a scene are not worth using: by what the pixels say, and by what the atmosphere takes."""

from dataclasses import dataclass

import numpy as np

REACH = 2   # neighbours on each side that a band is compared with


def in_windows(wavelengths, windows):
    """
    For each band the window that its centre lies in, as an index into `windows`, or -1.

    Parameters
    ----------
    wavelengths : ndarray (L,)
    windows : sequence of (low, high)
        In the unit of the wavelengths, both ends included.
    """
    found = np.full(len(wavelengths), -1)
    for number, (low, high) in enumerate(windows):
        if not low < high:
            raise ValueError(f"The window from {low:g} to {high:g} is empty. Give the lower wavelength first.")
        found[(found < 0) & (wavelengths >= low) & (wavelengths <= high)] = number
    return found


def neighbour_correlation(moments, order=None):
    """
    The best of each band's correlations with the two bands before and the two after it.

    Two, so that a good band between two bad ones is not taken for bad.

    Parameters
    ----------
    moments : Moments
    order : ndarray (L,) of int, optional
        The bands in the order of their wavelengths; by default as they come.

    Returns
    -------
    ndarray (L,)
        Without a sign: 1 where a neighbour tells a band completely, 0 where neither tells anything.
    """
    K = moments.K
    L = len(K)
    if L < 2:
        raise ValueError(f"Correlation with neighbours needs at least 2 bands; there are {L}.")
    order = np.arange(L) if order is None else np.asarray(order)
    deviation = np.sqrt(np.maximum(np.diag(K), 0.0))
    best = np.zeros(L)
    for distance in range(1, min(REACH, L - 1) + 1):
        one, other = order[distance:], order[:-distance]
        product = deviation[one] * deviation[other]
        with np.errstate(divide="ignore", invalid="ignore"):
            pairs = np.where(product > 0, np.abs(K[one, other]) / product, 0.0)
        best[one] = np.maximum(best[one], pairs)
        best[other] = np.maximum(best[other], pairs)
    return np.minimum(best, 1.0)


@dataclass
class Striping:
    """
    Share of a band's differences between neighbouring columns that is the same in all rows, accumulated in strips.

    A detector that is off makes its column of a pushbroom image brighter or darker from top to bottom. With
    d_rc = y_r,c+1 - y_rc and R rows, the share is the variance over c of the column means of d within the variance of
    all d, less the 1/R expected of differences without stripes: 0 without stripes, 1 where there is nothing else.
    """

    total: np.ndarray = 0.0      # per band and column pair
    squares: np.ndarray = 0.0    # per band
    count: np.ndarray = 0        # per column pair

    def add(self, cube, valid):
        """Take up full rows: `cube` (L, rows, cols), and `valid` (rows, cols), False for masked pixels."""
        both = valid[:, 1:] & valid[:, :-1]
        d = np.where(both, cube[:, :, 1:].astype(np.float64) - cube[:, :, :-1], 0.0)
        self.total = self.total + d.sum(axis=1)
        self.squares = self.squares + np.einsum("lrc,lrc->l", d, d)
        self.count = self.count + both.sum(axis=0)

    def share(self):
        """The share (L,), 0 to 1; NaN where no column pair has two valid rows."""
        used = np.asarray(self.count) > 1
        n = np.asarray(self.count)[used]
        if not used.any():
            return np.full(len(self.squares), np.nan)
        mean = self.total.sum(axis=1) / self.count.sum()
        columns = (self.total[:, used] ** 2 / n).sum(axis=1) - n.sum() * mean ** 2
        everything = self.squares - self.count.sum() * mean ** 2
        expected = used.sum() / n.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(everything > 0, columns / everything, 0.0)
        return np.clip((share - expected) / (1 - expected), 0.0, 1.0)
