"""Beta-divergences, what nonnegative factorisations minimise: Itakura-Saito, Kullback-Leibler, squared errors."""

import numpy as np

TINY = 1e-16   # epsilon of (3.2.38): no factor and no reconstruction is less


def divergence(X, Z, beta):
    """
    D_beta(X, Z) = sum of d_beta over all values, (3.2.3) and (3.2.4).

    Parameters
    ----------
    X : ndarray
        Data, not negative; positive where beta <= 0.
    Z : ndarray of the same shape
        Reconstruction, positive.
    beta : float
        0 is the Itakura-Saito divergence (Gamma noise), 1 Kullback-Leibler (Poisson), 2 half the squared error
        (Gaussian).

    Returns
    -------
    float
        Summed in float64.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 3.2.
    """
    X, Z = np.asarray(X, np.float64), np.asarray(Z, np.float64)
    if beta == 2:
        return 0.5 * float(np.square(X - Z).sum())
    if beta == 1:
        lit = X > 0
        return float((X[lit] * np.log(X[lit] / Z[lit])).sum() + (Z - X).sum())
    if beta == 0:
        ratio = X / Z
        return float((ratio - np.log(ratio) - 1).sum())
    return float((X**beta + (beta - 1) * Z**beta - beta * X * Z ** (beta - 1)).sum() / (beta * (beta - 1)))


def exponent(beta, squared=False):
    """
    gamma(beta) of (3.2.34), with which a multiplicative step minimises its majoriser.

    With a `squared` penalty, whose gradient joins the denominator, xi(beta) of (3.2.45).
    """
    if squared and beta <= 2:
        return 1 / (3 - beta)
    return 1 / (2 - beta) if beta < 1 else 1.0 if beta <= 2 else 1 / (beta - 1)


def check_nonnegative(X, beta=1):
    """
    Raise ValueError where data cannot be factorised: values that are not finite or negative, or no positive one.

    For beta <= 0 a zero is refused too, since its divergence is infinite.
    """
    if not np.isfinite(X).all():
        raise ValueError("The data hold values that are not finite. Mask them first.")
    negative = int(np.count_nonzero(X < 0))
    if negative:
        raise ValueError(f"{negative} of {X.size} values are negative, the least {float(X.min()):g}, and this method "
                         f"needs values of at least 0. Clip them to 0, or use data that are not negative.")
    if not X.any():
        raise ValueError("All values are 0: there is nothing to factorise.")
    zeros = X.size - int(np.count_nonzero(X))
    if beta <= 0 and zeros:
        raise ValueError(f"{zeros} of {X.size} values are 0, for which the divergence of beta = {beta:g} is infinite. "
                         f"Choose a beta above 0, or add a small offset to the data.")
