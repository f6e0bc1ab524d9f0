"""Nonnegative matrix factor deconvolution: patterns that last several dates, and when each begins in every series."""

from dataclasses import dataclass

import numpy as np

from ..blind.divergence import TINY, check_nonnegative, divergence, exponent

PERFECT = 1e-14   # a cost below this share of that at the start is zero to rounding
TRIAL = 50        # iterations of each of several starts, of which the best goes on


@dataclass(frozen=True)
class Deconvolution:
    """
    Patterns and activations found together, and how the iteration ended.

    Attributes
    ----------
    W : list of ndarray (m, r_j)
        Patterns of unit Frobenius norm, but for those that were kept fixed; column r is the course at lag r.
    H : ndarray (J, Q, n)
        Activations, in the units of the data.
    costs : ndarray (iterations + 1,)
        At the start and after each iteration.
    iterations : int
    converged : bool
        False if the iteration ended at its limit or was stopped.
    """

    W: list
    H: np.ndarray
    costs: np.ndarray
    iterations: int
    converged: bool


def stacked(H, lengths):
    """
    Every row of activations delayed by 0 to r_j - 1 dates, zeros shifted in: (sum r_j, Q, n) of `H` (J, Q, n).

    With the patterns side by side, (m, sum r_j), the convolution (3.3.2) is one matrix product.
    """
    n, rows, row = H.shape[2], np.zeros((sum(lengths), *H.shape[1:]), H.dtype), 0
    for h, length in zip(H, lengths):
        for lag in range(length):
            rows[row + lag, :, lag:] = h[:, :n - lag]
        row += length
    return rows


def reconstruction(W, H):
    """W * H of (3.3.2), (m, Q, n): the sum of all patterns, each begun as strongly as `H` (J, Q, n) says."""
    rows = stacked(H, [w.shape[1] for w in W])
    return (np.hstack(W) @ rows.reshape(len(rows), -1)).reshape(-1, *H.shape[1:])


def correlation(W, Z):
    """
    The adjoint of `reconstruction` in H: sum_r W(j)_r^T Z shifted left by r dates, (J, Q, n) of `Z` (m, Q, n).
    """
    n, row = Z.shape[2], 0
    rows = (np.hstack(W).T @ Z.reshape(len(Z), -1)).reshape(-1, *Z.shape[1:])
    result = np.zeros((len(W), *Z.shape[1:]), rows.dtype)
    for total, w in zip(result, W):
        for lag in range(w.shape[1]):
            total[:, :n - lag] += rows[row + lag, :, lag:]
        row += w.shape[1]
    return result


def seen(valid, lengths):
    """Where (J, Q, n) a pattern of so many dates would show at a valid date at least, of `valid` (Q, n)."""
    result = np.repeat(valid[None], len(lengths), axis=0)
    for known, length in zip(result, lengths):
        for lag in range(1, length):
            known[:, :-lag] |= valid[:, lag:]
    return result


def nmfd(X, lengths, rng, *, beta=1, start=None, starts=1, fixed=(), sparsity=0.0, valid=None, iterations=1000,
         tolerance=1e-5, callback=None):
    """
    Nonnegative matrix factor deconvolution of many series that share their patterns::

        min D_beta(X, W * H) + alpha sum_j ||W(j)||_F ||H(j)||_1   subject to W, H >= 0

    Parameters
    ----------
    X : ndarray (m, Q, n)
        m features of Q series at n dates, not negative. Patterns do not reach from one series into the next.
    lengths : sequence of int
        r_j, how many dates each of the J patterns lasts, at most n.
    rng : numpy.random.Generator
        For the start.
    beta : float
        Of the divergence, see `divergence`.
    start : (list of ndarray (m, r_j), ndarray (J, Q, n)), optional
        Initial patterns and activations; uniform random ones by default. What is zero there stays zero, which is how
        known dates are imposed.
    starts : int
        Random starts, of which the one with the least cost after 50 iterations goes on. Many end in a local minimum, in
        which two patterns share an event between them.
    fixed : sequence of int
        Patterns of `start` that are not changed.
    sparsity : float
        alpha, in units of the data to the power beta - 1.
    valid : ndarray (Q, n) of bool, optional
        Dates of a series that count. Others take no part, and their values are not looked at.
    iterations, tolerance
        The iteration ends when the relative change of the cost is at most the tolerance, or after so many.
    callback : callable(iteration, cost) -> bool or None, optional
        After each iteration; true stops.

    Returns
    -------
    Deconvolution
        An activation whose pattern would fall on dates that are not valid alone is 0.

    Raises
    ------
    ValueError
        Data that are negative or not finite, patterns longer than the series or of no length, or a start that does not
        fit.

    Notes
    -----
    W * H is linear in all H together, with the delayed patterns as one large dictionary, and linear in all W together,
    with the delayed activations as its counterpart. So each of the two steps is that of NMF, joint over j with one
    reconstruction, and with its exponent gamma(beta) (3.2.34) it minimises a majoriser: the cost never rises, for any
    beta. For 1 <= beta <= 2 the exponent is 1 and the steps are (3.3.10) and (3.3.11).

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 3.3.1. P. Smaragdis, Non-negative matrix factor
    deconvolution, ICA 2004. Departures: the exponent; the newest H in (3.3.11); the penalty weighs activations by the
    norm of their pattern, so that patterns can be normalised after each sweep without a change of the cost. Its step in
    W majorises the norm by a square, with the exponent of squared penalties (3.2.45). The Frobenius norm is taken since
    with sums alone the penalty would only scale the answer for beta = 1.
    """
    X, valid = check_series(X, beta, valid)
    check_lengths(lengths, X.shape[2])
    if start is None and len(fixed):
        raise ValueError("Patterns are to be kept fixed, but none are given. Give them as a start.")
    if start is None and starts > 1:
        trials = [nmfd(X, lengths, rng, beta=beta, sparsity=sparsity, valid=valid, iterations=min(TRIAL, iterations),
                       tolerance=0) for _ in range(starts)]
        best = min(trials, key=lambda found: found.costs[-1])
        start = best.W, best.H
    W, H = _random_start(X, lengths, valid, rng) if start is None else check_start(X, lengths, start)
    free = np.repeat([j not in fixed for j in range(len(lengths))], lengths)
    edges = np.cumsum([0, *lengths])
    slow = exponent(beta, squared=sparsity > 0)

    def normalise(W, H):
        scale = np.array([1.0 if j in fixed else norm(w) or 1.0 for j, w in enumerate(W)], H.dtype)
        return [w / s for w, s in zip(W, scale)], H * scale[:, None, None]

    def cost_of(W, H, V):
        return misfit(X, V, beta, valid) + sparsity * sum(norm(w) * float(h.sum(dtype=np.float64))
                                                          for w, h in zip(W, H))

    W, H = normalise(W, H)
    V = floored(reconstruction(W, H))
    costs, converged = [cost_of(W, H, V)], False
    while len(costs) <= iterations and not converged:
        H = activation_step(X, W, H, V, beta=beta, sparsity=sparsity, valid=valid)
        V = floored(reconstruction(W, H))
        penalty = 0.0 if not sparsity else np.hstack([
            w * (sparsity * h.sum() / max(norm(w), TINY)) for w, h in zip(W, H)])
        stepped = pattern_step(X, W, H, V, beta=beta, penalty=penalty, power=slow, valid=valid)
        stepped = np.where(free, stepped, np.hstack(W))
        W, H = normalise([stepped[:, a:b] for a, b in zip(edges, edges[1:])], H)
        V = floored(reconstruction(W, H))
        cost = cost_of(W, H, V)
        converged = abs(costs[-1] - cost) <= max(tolerance * abs(costs[-1]), PERFECT * costs[0])
        costs.append(cost)
        if callback is not None and callback(len(costs) - 1, cost):
            break
    return Deconvolution(W, H, np.array(costs), len(costs) - 1, converged)


def activations(X, W, *, valid=None, sparsity=0.0, beta=1, iterations=500, tolerance=1e-4):
    """
    When known patterns begin, and how strongly: (3.3.10) in H alone, each series by itself.

    Parameters
    ----------
    X : ndarray (m, Q, n)
    W : list of ndarray (m, r_j)
    valid, sparsity, beta
        See `nmfd`.
    iterations, tolerance
        A series is finished when a step changes its activations by at most this share of their norm, or after so many.

    Returns
    -------
    H : ndarray (J, Q, n)
        Which series are given together does not matter; a series without any valid date has no activation.

    Raises
    ------
    ValueError
        As `nmfd`, or patterns with another number of features.
    """
    X, valid = check_series(X, beta, valid, empty=True)
    check_lengths([w.shape[1] for w in W], X.shape[2])
    if {len(w) for w in W} != {len(X)}:
        raise ValueError(f"The patterns have {len(W[0])} features and the data {len(X)}. Give patterns of the same "
                         f"features.")
    W = [w.astype(X.dtype, copy=False) for w in W]
    total = sum(float(w.sum()) for w in W)
    H = np.repeat((X.sum(axis=(0, 2)) / X.shape[2] / max(total, TINY))[None], len(W), axis=0)
    H = np.repeat(H[:, :, None], X.shape[2], axis=2)
    left = np.arange(X.shape[1])
    for _ in range(iterations):
        part, good, h = X[:, left], None if valid is None else valid[left], H[:, left]
        H[:, left] = new = activation_step(part, W, h, floored(reconstruction(W, h)), beta=beta, sparsity=sparsity,
                                           valid=good)
        moved = np.square(new - h).sum(axis=(0, 2)) > tolerance**2 * np.square(h).sum(axis=(0, 2))
        left = left[moved]
        if not len(left):
            break
    return H


def activation_step(X, W, H, V, *, beta=1, sparsity=0.0, penalty=None, power=None, valid=None):
    """
    One step (3.3.10) of all activations together.

    Parameters
    ----------
    V : ndarray (m, Q, n)
        `floored(reconstruction(W, H))`.
    sparsity : float
        alpha of `nmfd`.
    penalty : ndarray that broadcasts to H, optional
        Gradient of a penalty instead of that of `sparsity`, which joins the denominator.
    power : float, optional
        Exponent; by default gamma(beta).
    """
    if penalty is None:
        penalty = sparsity * np.array([norm(w) for w in W], H.dtype)[:, None, None]
    data, model = _pulls(X, V, beta, valid)
    below = correlation(W if beta != 1 else [w.sum(axis=0, keepdims=True) for w in W], model)
    return _stepped(H, correlation(W, data), below + penalty, exponent(beta) if power is None else power)


def pattern_step(X, W, H, V, *, beta=1, penalty=0.0, power=None, valid=None):
    """One step (3.3.11) of all patterns together, side by side (m, sum r_j); see `activation_step`."""
    rows = stacked(H, [w.shape[1] for w in W])
    rows = rows.reshape(len(rows), -1).T
    data, model = _pulls(X, V, beta, valid)
    above, below = (part.reshape(len(part), -1) @ rows for part in (data, model))
    return _stepped(np.hstack(W), above, below + penalty, exponent(beta) if power is None else power)


def _pulls(X, V, beta, valid):
    """X V^(beta-2) and V^(beta-1) at valid dates; the latter is (1, Q, n) for beta = 1: all features are alike."""
    if beta == 1:
        data, model = X / V, np.ones((1, *X.shape[1:]), X.dtype)
    elif beta == 2:
        data, model = X, V
    else:
        power = V ** (beta - 2)
        data, model = X * power, V * power
    return (data, model) if valid is None else (data * valid, model * valid)


def _stepped(factor, above, below, power):
    ratio = above / np.maximum(below, TINY)
    result = (factor * (ratio if power == 1 else ratio ** power)).astype(factor.dtype, copy=False)
    result[result < TINY] = 0   # before numbers become subnormal, with which products take many times as long
    return result


def floored(V):
    """A reconstruction of at least 1e-16, in place: epsilon of (3.2.38)."""
    return np.maximum(V, TINY, out=V)


def norm(w):
    """Frobenius norm, summed in float64."""
    return float(np.sqrt(np.square(w, dtype=np.float64).sum()))


def misfit(X, V, beta, valid=None):
    """D_beta(X, V) over the valid dates."""
    return divergence(X, V, beta) if valid is None else divergence(X[:, valid], V[:, valid], beta)


def check_series(X, beta, valid=None, empty=False):
    """
    Data in float32 or float64 with 0 where not valid, and the mask (Q, n), None where all dates are valid.

    Float64 for beta < 0, where V^(beta-2) can pass float32's range.

    Raises ValueError where they are no series, cannot be factorised, or do not fit; `empty` allows data of zeros alone.
    """
    X = np.asarray(X)
    X = X if X.dtype == np.float32 and beta >= 0 else X.astype(np.float64, copy=False)
    if X.ndim != 3:
        raise ValueError(f"The data have the shape {X.shape}; they need features, series and dates.")
    if valid is not None:
        valid = np.asarray(valid, bool)
        if valid.shape != X.shape[1:]:
            raise ValueError(f"The mask of valid dates has the shape {valid.shape}; the data need {X.shape[1:]}.")
        X, valid = (X, None) if valid.all() else (np.where(valid, X, X.dtype.type(0)), valid)
    counted = X if valid is None else X[:, valid]
    if counted.size and (counted.any() or not empty):
        check_nonnegative(counted, beta)
    elif not empty:
        raise ValueError("No date of any series is valid: there is nothing to factorise.")
    return X, valid


def check_lengths(lengths, n):
    """Raise ValueError where there is no pattern, or one that is longer than series of n dates or has no length."""
    if not len(lengths):
        raise ValueError("No pattern is asked for. Ask for at least one.")
    for length in lengths:
        if not 1 <= length <= n:
            raise ValueError(f"A pattern of {length} dates cannot be found in series of {n} dates. Choose a length of "
                             f"1 to {n}, or give more dates.")


def check_start(X, lengths, start):
    """Patterns and activations to start from, as copies in the type of the data; ValueError where they do not fit."""
    W, H = start
    W, H = [np.array(w, X.dtype) for w in W], np.array(H, X.dtype)
    wanted = [(len(X), length) for length in lengths], (len(lengths), *X.shape[1:])
    if ([w.shape for w in W], H.shape) != wanted:
        raise ValueError(f"The start has patterns of {[w.shape for w in W]} and activations of {H.shape}; "
                         f"{wanted[0]} and {wanted[1]} are needed.")
    if any(not np.isfinite(part).all() or (part < 0).any() for part in (*W, H)):
        raise ValueError("The start holds values that are negative or not finite. Give values of at least 0.")
    return W, H


def _random_start(X, lengths, valid, rng):
    """Uniform patterns and activations whose reconstruction has the mean of the data."""
    W = [rng.random((len(X), length), dtype=X.dtype) for length in lengths]
    H = rng.random((len(lengths), *X.shape[1:]), dtype=X.dtype)
    mean, share = X.mean(dtype=np.float64), 1.0 if valid is None else valid.mean()
    return W, H * X.dtype.type(mean / share / reconstruction(W, H).mean(dtype=np.float64))
