"""Series of maps whose dynamics are known, with noise, cloud gaps and abrupt changes, for what estimates states."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from ..state_estimation.model import Differential, Logistic, fitzhugh_nagumo, intervals, lorenz
from .scene import correlation_length, random_field, spherical

YEAR = 365.25
CASES = {"walk": ("value",), "seasonal": ("index",), "logistic": ("vegetation",), "fitzhughnagumo": ("x", "y"),
         "lorenz": ("x", "y", "z")}
STEPS = {"walk": 0.3}                                      # standard deviation of random steps in a year; others 0
PACE = {"fitzhughnagumo": 0.01, "lorenz": 0.004}           # units of a system's time in a day
START = {"fitzhughnagumo": ((0.1, 0.2), 0.3), "lorenz": ((-5.686, -8.492, 17.845), 1.0)}   # mean, standard deviation
LONGEST = 0.01             # unit of a system's time in one Runge-Kutta step
DROP = {"walk": lambda x: x - 0.3, "seasonal": lambda x: 0.5 * x, "logistic": lambda x: 0.2 * x}
OVERCAST = 0.9             # of the pixels that clouds hide at one date, at most


@dataclass(frozen=True)
class SimulatedStates:
    """
    Attributes
    ----------
    Y : ndarray (T, L, N) float32
        What is observed: the truth with noise, NaN under clouds; pixels in row-major order.
    X : ndarray (T, L, N) float32
        The truth.
    valid : ndarray (T, N) of bool
    date : ndarray (N,) of int
        The date, from 0, at which the pixel changes at once; -1 for none.
    noise : ndarray (L,)
        Standard deviation of the noise of each component.
    names : list of L str
    parameters : dict of str to ndarray (N,)
        Maps of what the dynamics of each pixel start from and depend on.
    """

    Y: np.ndarray
    X: np.ndarray
    valid: np.ndarray
    date: np.ndarray
    noise: np.ndarray
    names: list
    parameters: dict


def simulate_states(case, rows, cols, days, rng, *, noise=0.2, gaps=0.3, change=0.1, rate=4.0, steps=None, pace=None,
                    rest=False, length=None):
    """
    Simulate a series of maps by known dynamics.

    - "walk": a level, 0.5 on average, that takes random steps.
    - "seasonal": a level of 0.3 to 0.7 with a wave of a year and one of half a year.
    - "logistic": a fraction that grows, or with a negative rate decays, by dx/dt = r x (1 - x / K), from 0.05 to 0.25
      (of K 0.6 to 0.9 where it decays, and what steps bring above K goes on from K); r is within a third of `rate`, K
      0.7 to 0.95.
    - "fitzhughnagumo", "lorenz": the systems (6.4.26) and Lorenz '63, from states that differ a little.

    What differs from pixel to pixel is a smooth field, and so are random steps. A share of the pixels, in patches,
    changes at once at a date of the middle half of the series, one for each patch: a walk falls by 0.3, a season's
    level to half, a fraction to a fifth, from which it goes on by the same dynamics; the two systems do not change.

    Parameters
    ----------
    case : str
        One of `CASES`.
    rows, cols : int
    days : ndarray (T,)
        Rising.
    rng : numpy.random.Generator
    noise : float
        Standard deviation of an observation's noise, as a share of that of the truth over pixels and dates.
    gaps : float
        Share of the values that clouds hide, 0 to 0.8: where a smooth field of each date, more or less clouded than
        others, is largest. No date is hidden but for nine tenths.
    change : float
        Share of the pixels that change at once, 0 to 1.
    rate : float
        Of logistic growth, in a year.
    steps : float, optional
        Standard deviation of random steps in a year, in units of the state; by default 0.3 for a walk, otherwise 0.
    pace : float, optional
        Units of a system's time in a day; by default 0.01 for FitzHugh-Nagumo, 0.004 for Lorenz.
    rest : bool
        Give a fraction a second component, what it lacks to 1.
    length : float, optional
        Distance in pixels beyond which fields are independent; a quarter of the longer side by default.

    Returns
    -------
    SimulatedStates
        Observed fractions are cut to 0 and 1.

    Raises
    ------
    ValueError
        An unknown case, shares outside their range, fewer than four dates, dates that are equal or not in order, a rest
        where there is no fraction, or states that grow beyond all numbers.

    References
    ----------
    Thesis, sections 6.4.5 and 6.5.2: the two systems and the start of Lorenz's. It simulates single series; maps,
    clouds and changes are this function's own.
    """
    _check(case, days, noise, gaps, change, steps, rest)
    field = _fields(rows, cols, correlation_length(length, rows, cols), rng)
    moves = intervals(days)
    steps = STEPS.get(case, 0.0) if steps is None else steps
    date = _changes(field, rows, cols, len(moves), change if case in DROP else 0.0, rng)
    make = {"walk": _walk, "seasonal": _seasonal, "logistic": _logistic}.get(case, _system)
    start, go, show, parameters = make(case, field, rate, PACE.get(case) if pace is None else pace)
    x, X = start, []
    for t, move in enumerate(moves):
        if t:
            with np.errstate(over="ignore", invalid="ignore"):
                x = go(x, move)
            if steps:
                x = x + steps * np.sqrt(move / YEAR) * np.stack([field() for _ in x])
            x = np.where(date == t, DROP[case](x), x) if (date == t).any() else x
            x = np.clip(x, 0, 1) if case == "logistic" else x
            if not np.isfinite(x).all():
                raise ValueError(f"The states have grown beyond all numbers at date {t + 1}: take smaller random steps "
                                 f"(or, of a system, a slower pace).")
        X.append(show(x, days[t] - days[0]))
    X = np.array(X)
    sigma = noise * X.std(axis=(0, 2))
    Y = X + sigma[:, None] * rng.standard_normal(X.shape)
    names = list(CASES[case])
    if case == "logistic":
        Y = np.clip(Y, 0, 1)
    if rest:
        Y, X = (np.concatenate([each, 1 - each], axis=1) for each in (Y, X))
        sigma, names = np.repeat(sigma, 2), [*names, "other"]
    valid = ~_clouds(field, len(moves), gaps, rng)
    Y = np.where(valid[:, None], Y, np.nan)
    return SimulatedStates(Y.astype(np.float32), X.astype(np.float32), valid, date, sigma, names, parameters)


def _fields(rows, cols, length, rng):
    """What draws a smooth field (N,) of mean 0 and variance 1."""
    return lambda: random_field(rows, cols, length, spherical, rng).ravel()


def _between(field, low, high):
    """A field (N,) between two values, most often in their middle."""
    return low + (high - low) / (1 + np.exp(-field()))


def _walk(case, field, rate, pace):
    start = 0.5 + 0.15 * field()
    return start[None], lambda x, move: x, lambda x, day: x, {"start": start}


def _seasonal(case, field, rate, pace):
    level, amplitude, second = _between(field, 0.3, 0.7), _between(field, 0.1, 0.3), _between(field, 0.0, 0.1)
    peak = YEAR / 2 + 30 * field()

    def show(x, day):
        angle = 2 * np.pi * (day - peak) / YEAR
        return x + amplitude * np.cos(angle) + second * np.cos(2 * angle)
    return level[None], lambda x, move: x, show, {"level": level, "amplitude": amplitude, "second amplitude": second,
                                                  "day of the peak": peak}


def _logistic(case, field, rate, pace):
    capacity, speed = _between(field, 0.7, 0.95), rate * _between(field, 2 / 3, 4 / 3)
    start = _between(field, 0.05, 0.25) if rate >= 0 else capacity * _between(field, 0.6, 0.9)
    dynamics = Logistic(speed / YEAR, capacity, limits=(0.0, 1.0 if rate >= 0 else capacity))
    return start[None], dynamics.step, lambda x, day: x, {"start": start, "rate": speed, "capacity": capacity}


def _system(case, field, rate, pace):
    (mean, spread), function = START[case], {"fitzhughnagumo": fitzhugh_nagumo, "lorenz": lorenz}[case]
    system = Differential(function, len(mean), np.zeros((len(mean),) * 2), longest=LONGEST)
    start = np.stack([centre + spread * field() for centre in mean])
    return (start, lambda x, move: system.step(x.T, pace * move).T, lambda x, day: x,
            {f"start {name}": each for name, each in zip(CASES[case], start)})


def _changes(field, rows, cols, T, share, rng):
    """Dates (N,) of a change in patches that hold a share of the pixels; -1 for none."""
    date = np.full(rows * cols, -1)
    count = round(share * rows * cols)
    if count:
        changed = np.zeros(rows * cols, bool)
        changed[np.argsort(-field(), kind="stable")[:count]] = True
        patch, patches = label(changed.reshape(rows, cols))
        dates = rng.integers(max(1, T // 4), max(2, T - T // 4), size=patches)
        date[changed] = dates[patch.ravel()[changed] - 1]
    return date


def _clouds(field, T, share, rng):
    """Where (T, N) clouds are: the share of all values, in smooth patches, more at some dates than at others."""
    thickness = np.stack([field() + rng.standard_normal() for _ in range(T)])
    hidden = np.zeros(thickness.shape, bool)
    most = int(OVERCAST * thickness.shape[1])
    allowed = np.argsort(np.argsort(-thickness, axis=1, kind="stable"), axis=1) < most   # no date is hidden entirely
    order = np.argsort(np.where(allowed, -thickness, np.inf).ravel(), kind="stable")
    hidden.ravel()[order[:round(share * thickness.size)]] = True
    return hidden & allowed


def _check(case, days, noise, gaps, change, steps, rest):
    if case not in CASES:
        raise ValueError(f"There are no dynamics {case!r}: choose one of {', '.join(CASES)}.")
    if len(days) < 4:
        raise ValueError(f"The number of dates is {len(days)}: a series of states has at least 4.")
    if not 0 <= gaps <= 0.8:
        raise ValueError(f"The share of gaps is {gaps:g}: it must be between 0 and 0.8.")
    if not 0 <= change <= 1:
        raise ValueError(f"The share of pixels that change is {change:g}: it must be between 0 and 1.")
    if noise < 0 or (steps is not None and steps < 0):
        raise ValueError(f"The noise is {noise:g} and the random steps are {steps if steps is not None else 0:g}: "
                         f"neither may be negative.")
    if rest and case != "logistic":
        raise ValueError(f"The dynamics {case} are no fraction's, which alone has a rest to one.")
