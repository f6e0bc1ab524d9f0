"""Penalties on a nonnegative factor, and majorisers of them whose minimum is a multiplicative step."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Penalty:
    """
    Weights of the regularisers of a factor F (P, k): its P rows are endmembers over bands, or abundances over pixels.

    Attributes
    ----------
    sparsity : float
        Of ||F||_1, (3.2.10).
    smoothness : float
        Of the sum of the squared differences of neighbours within each row, (3.2.11).
    orthogonality : float
        Of ||F F^T - I||_F^2, (3.2.12).
    volume : float
        Of det(F F^T), (3.2.13).

    Notes
    -----
    At F', with t = F / F' and a data term whose majoriser has the derivative F' (D t^p - N t^-q), every regulariser
    adds A t^c - B with A, B >= 0 and A - B its gradient at F':

    ============== ================================= ============================== ==============================
    regulariser    A                                 c                              B
    ============== ================================= ============================== ==============================
    sparsity       1                                 0 (linear)                     0
    smoothness     4 n f                             1: (f - g)^2 <= 2 (f - m)^2    4 (m + m'), m the mean of f'
                                                     + 2 (g - m)^2                  and its neighbour in F'
    orthogonality  4 F F^T F                         3: a monomial of degree 4 is   4 f: -||F||^2 is concave
                                                     at most its mean of t^4
    volume         2 d f, d the squared volume of    1: row by row it is d times    2 d V f, V the projection onto
                   the other rows                    ||f||^2 - ||V f||^2            the others: -||V f||^2 is concave
    ============== ================================= ============================== ==============================

    (n neighbours; negative values of 2 d V f go to A.) Since t^(c + 1) / (c + 1) lies above t^(b + 1) / (b + 1) less a
    constant for b <= c, all powers may be raised to the largest, so that t = ((N + B) / (D + A))^(1 / (max(p, c) + q))
    minimises a majoriser of the whole: the rule of the split gradient (3.2.26) with an exponent, for any beta.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 3.2. The majorisers are derived here.
    """

    sparsity: float = 0.0
    smoothness: float = 0.0
    orthogonality: float = 0.0
    volume: float = 0.0

    def __post_init__(self):
        for name, weight in vars(self).items():
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"The weight of the {name} is {weight:g}; it must be a number of at least 0.")

    def __bool__(self):
        return any(vars(self).values())

    @property
    def shrinks(self):
        """Whether the smaller the factor, the less is paid: nothing then holds its scale but the other factor's."""
        return bool(self) and not self.orthogonality

    def times(self, number):
        """All weights times a number."""
        return Penalty(**{name: number * weight for name, weight in vars(self).items()})

    def value(self, F):
        """What the factor pays."""
        cost = self.sparsity * F.sum()
        if self.smoothness:
            cost += self.smoothness * np.square(np.diff(F, axis=1)).sum()
        if self.orthogonality:
            cost += self.orthogonality * np.square(F @ F.T - np.eye(len(F))).sum()
        if self.volume:
            cost += self.volume * np.linalg.det(F @ F.T)
        return float(cost)

    def parts(self, F, rows):
        """A, B and the largest power c for some rows of F; one row at a time where there is a volume."""
        A, B, power = np.full((len(rows), F.shape[1]), float(self.sparsity)), 0.0, 0
        if self.smoothness:
            own, beside, neighbours = F[rows], np.zeros((len(rows), F.shape[1])), np.zeros(F.shape[1])
            beside[:, 1:] += own[:, :-1]
            beside[:, :-1] += own[:, 1:]
            neighbours[1:] += 1
            neighbours[:-1] += 1
            A, B, power = (A + 4 * self.smoothness * neighbours * own,
                           B + 2 * self.smoothness * (neighbours * own + beside), 1)
        if self.orthogonality:
            A, B, power = (A + 4 * self.orthogonality * ((F @ F.T)[rows] @ F), B + 4 * self.orthogonality * F[rows], 3)
        if self.volume:
            others = np.delete(F, rows, axis=0)
            weight = 2 * self.volume * max(np.linalg.det(others @ others.T), 0.0)
            onto = weight * (np.linalg.lstsq(others.T, F[rows].T, rcond=None)[0].T @ others)
            A, B, power = A + weight * F[rows] + np.maximum(-onto, 0), B + np.maximum(onto, 0), max(power, 1)
        return A, B, power

    def scale_weights(self, F, G, rows):
        """
        Weights w of rows of the other factor G, where F pays for diag(n) F, n the root mean square of G's rows.

        That is at most w / 2 times the row's square and a constant (A = w g, c = 1): n <= n' / 2 + n^2 / (2 n'), n^2 is
        a square itself, and the volume is det(F F^T) times the product of all n^2.
        """
        k = G.shape[1]
        n = norms(G)
        w = (self.sparsity * F[rows].sum(axis=1) / n[rows]
             + 2 * self.smoothness * np.square(np.diff(F[rows], axis=1)).sum(axis=1))
        if self.volume:
            w = w + 2 * self.volume * max(np.linalg.det(F @ F.T), 0.0) * np.square(np.delete(n, rows)).prod()
        return w / k


def norms(G):
    """Root mean square of each row."""
    return np.sqrt(np.square(G).mean(axis=1))
