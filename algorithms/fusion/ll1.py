"""Coupled block-term decompositions in terms of rank (L, L, 1): what BTD-Var and its nonnegative relatives share."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, eig
from scipy.optimize import linear_sum_assignment

from ..abundances.active_set import minimise
from .pair import along_bands, both, positive
from .start import endmembers
from .sylvester import along
from .tucker import check_images

BALANCE, ITERATIONS, TRIALS = 1.0, 20, 20   # LL1, sections IV and V-C
PRIOR = 1e-3      # weight of the interpolated HSI at most, as in FUSE
STEPS = 10        # of alternating least squares on the MSI, for each trial
LARGEST = 40      # rank of a map that is chosen, for time's sake
KEPT = 3          # trials that go on to the coupled problem
SWEEPS = 1        # of the coupled problem, for each of those
SINGULAR = 1e-9   # of the largest singular value: what counts as none
EXACT = 1e-24     # of both images' energy: a cost that is rounding only
REPEATS = 10      # of the clustering of eigenvectors
WEAK = 1e-6       # of a spectrum's energy, in the abundances of materials to start from
RIDGE = 1e-10     # of a component's energy, where two components are one


@dataclass(frozen=True, eq=False)
class Blocks:
    """
    The scene sum_r (A_r B_r') o c_r, and the same maps with other spectra at the MSI's date (LL1, eqs. 7 and 12).

    Attributes
    ----------
    A : ndarray (R, I, L)
    B : ndarray (R, J, L)
    C : ndarray (K, R)
        Spectra c_r at the HSI's date.
    C_M : ndarray (K_M, R)
        Spectra in the MSI's bands at the MSI's date.
    """

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    C_M: np.ndarray

    def maps(self):
        """S_r = A_r B_r', (R, I, J)."""
        return self.A @ self.B.transpose(0, 2, 1)

    def balanced(self):
        """The same decomposition with A_r' A_r = I and |c_r| = 1, or c_r = 0."""
        norms = np.linalg.norm(self.C, axis=0)
        norms[norms == 0] = 1.0
        A, B = _orthonormal(self.A, self.B)
        return Blocks(A, B * norms[:, None, None], self.C / norms, self.C_M / norms)

    def nonnegative(self, pair):
        """
        Maps S (R, I, J) without negative values, and these blocks with A_r' A_r = I and spectra C, C_M >= 0 for S.

        A map that is mostly negative is turned over; what remains negative of it is cut off.
        """
        S = self.maps()
        turn = np.where(np.sum(np.maximum(S, 0) ** 2, axis=(1, 2)) >= np.sum(np.minimum(S, 0) ** 2, axis=(1, 2)), 1, -1)
        S = np.maximum(S * turn[:, None, None], 0)
        C, C_M = both_spectra(pair, S, nonnegative=True)
        norms = np.linalg.norm(C, axis=0)
        norms[norms == 0] = 1.0
        turned = Blocks(self.A, self.B * turn[:, None, None], C, C_M).balanced()
        return turned, S * norms[:, None, None]


def check(pair, R, L, balance, prior=0.0):
    """Raise ValueError for sizes that no decomposition has, for weights that make no cost, and for images of zeros."""
    _, I, J = pair.msi.shape
    positive("the weight of the multispectral image", balance)
    if not 0 <= prior < np.inf:
        raise ValueError(f"the weight of the interpolated image is {prior}; it must be 0 or more")
    check_images(pair)
    if R < 1 or not 1 <= L <= min(I, J):
        raise ValueError(f"{R} materials with maps of rank {L} are asked for: at least one material, and a rank from 1 "
                         f"to {min(I, J)}, the smaller side of the multispectral image")
    if R > pair.hsi[0].size:
        raise ValueError(f"{R} materials are asked for, but the hyperspectral image has {pair.hsi[0].size} pixels")


def check_start(pair, R, L, blocks):
    """Raise ValueError for blocks that are not R of rank L of the pair's size, or not finite."""
    K_M, I, J = pair.msi.shape
    for name, shape in {"A": (R, I, L), "B": (R, J, L), "C": (pair.K, R), "C_M": (K_M, R)}.items():
        part = getattr(blocks, name)
        if np.shape(part) != shape or not np.isfinite(part).all():
            raise ValueError(f"the start's {name} must be finite, of shape {shape}; it has {np.shape(part)}")


def _check_trials(trials):
    if trials < 1:
        raise ValueError(f"{trials} starts are asked for: at least one is needed")


def not_unique(pair, R, L):
    """
    Why Theorem III.1 of LL1 does not promise a unique scene, change and materials: a sentence, or None if it does.

    The promise holds for almost all factors, not for all: maps whose rows (or columns) span the same few directions,
    such as parcels on a common grid, can be mixed with each other although the theorem's numbers are right.
    """
    _, I_H, J_H = pair.hsi.shape
    K_M, I, J = pair.msi.shape
    if R == 1:
        return None
    if I_H * J_H < L * R:
        return (f"the hyperspectral image has {I_H * J_H} pixels, fewer than rank times materials, {L} x {R}: other "
                f"scenes fit both images as well")
    if I * J < L * L * R:
        return (f"the multispectral image has {I * J} pixels, fewer than the squared rank times materials, {L * L} x "
                f"{R}: other scenes fit both images as well")
    left = min(I // L, R) + min(J // L, R) + min(K_M, R)
    if left < 2 * R + 2:
        return (f"with {R} materials of rank {L}, {K_M} multispectral bands and {I} x {J} pixels other scenes may fit "
                f"both images as well ({left} is less than {2 * R + 2} in Theorem III.1); lower the rank or the number "
                f"of materials")
    return None


def map_rank(pair, R):
    """
    A rank L for R materials: the largest, up to `LARGEST`, of which Theorem III.1 still promises a unique scene.

    Where no rank has that promise (one MSI band or two, or materials without number), a quarter of the smaller side.
    """
    least = min(pair.msi.shape[1:])
    fitting = [L for L in range(1, min(LARGEST, least) + 1) if not_unique(pair, R, L) is None]
    return max(fitting, default=max(1, min(LARGEST, least // 4)))


def repeated(G, L):
    """G (R, R) with every entry blown up to an L x L block."""
    return np.kron(G, np.ones((L, L)))


def side_by_side(A):
    """Blocks (R, n, L) as one matrix (n, R L)."""
    return A.transpose(1, 0, 2).reshape(A.shape[1], -1)


def apart(A, R):
    """A matrix (n, R L) as blocks (R, n, L)."""
    return np.ascontiguousarray(A.reshape(len(A), R, -1).transpose(1, 0, 2))


def contracted(Y, C):
    """An image (K, n, m) summed over its bands with weights C (K, R): (R, n, m)."""
    return along_bands(C.T, Y)


def system(Q, B, C, C_M, balance):
    """The symmetric X2 and X4 (LR, LR) of the update of A: LL1, appendix A."""
    L = B.shape[2]
    low, high = Q @ side_by_side(B), side_by_side(B)
    return repeated(C.T @ C, L) * (low.T @ low), balance * repeated(C_M.T @ C_M, L) * (high.T @ high)


def right_side(P, Q, B, low, high, balance):
    """X5 (I, LR) of the update of A, from both images contracted with their spectra, (R, I_H, J_H) and (R, I, J)."""
    coarse = apart(Q @ side_by_side(B), len(B))
    return P.T @ side_by_side(low @ coarse) + balance * side_by_side(high @ B)


def update(eigen, P, Q, B, low, high, C, C_M, balance, drawn=None, weight=0.0):
    """
    A (R, I, L) that minimises |Y_H - sum (P A_r)(Q B_r)' o c_r|^2 + balance |Y_M - sum A_r B_r' o c_M,r|^2.

    With `drawn` (R, I, J), `weight` sum |A_r B_r' - drawn_r|^2 is added. `eigen` belongs to P'P; `low`, `high` as in
    `right_side`. The update of B is the same one with both axes exchanged.
    """
    X2, X4 = system(Q, B, C, C_M, balance)
    X5 = right_side(P, Q, B, low, high, balance)
    if drawn is not None:
        X4 += weight * diagonal(B)
        X5 += weight * side_by_side(drawn @ B)
    return apart(along(eigen, X2, X4, X5), len(B))


def diagonal(B):
    """B_r' B_r along the diagonal, (LR, LR)."""
    R, _, L = B.shape
    whole = np.zeros((R, L, R, L))
    whole[range(R), :, range(R)] = B.transpose(0, 2, 1) @ B
    return whole.reshape(R * L, R * L)


def factors(pair, blocks, balance, prior=0.0, drawn=None, weight=0.0):
    """
    A, then B, of `blocks` updated for the cost of `cost` (and `drawn` as in `update`); A_r comes back orthonormal.

    Either is updated beside an orthonormal base of the other, which spans the same maps and keeps the systems regular.
    The MSI and the interpolated HSI count as one image, whose bands have their own weights.
    """
    C, low = blocks.C, contracted(pair.hsi, blocks.C)
    high = balance * contracted(pair.msi, blocks.C_M) + prior * pair.upsample(low)
    fine = np.concatenate([np.sqrt(balance) * blocks.C_M, np.sqrt(prior) * C])
    B = np.linalg.qr(blocks.B)[0]
    A = np.linalg.qr(update(pair.rows, pair.P1, pair.P2, B, low, high, C, fine, 1.0, drawn, weight))[0]
    turned = [None if X is None else X.transpose(0, 2, 1) for X in (low, high, drawn)]
    B = update(pair.columns, pair.P2, pair.P1, A, *turned[:2], C, fine, 1.0, turned[2], weight)
    return replace(blocks, A=A, B=B)


def spectra(Y, S, nonnegative=False):
    """C (K, R) that minimises |Y - sum S_r o c_r|^2 for maps S (R, n, m), of least norm where it is not unique."""
    Y, S = Y.reshape(len(Y), -1), S.reshape(len(S), -1)
    return _weights(S @ S.T, S @ Y.T, nonnegative)


def _weights(G, T, nonnegative):
    if nonnegative:
        return minimise(G + RIDGE * np.trace(G) / len(G) * np.eye(len(G)), T, False).T
    return (np.linalg.pinv(G, rcond=1e-14, hermitian=True) @ T).T


def both_spectra(pair, S, nonnegative=False, prior=0.0):
    """C and C_M for maps S on the MSI's grid, which minimise `cost`."""
    low, flat = pair.degrade(S).reshape(len(S), -1), S.reshape(len(S), -1)
    taken = low + prior * _gathered(pair, S).reshape(low.shape)
    C = _weights(low @ low.T + prior * flat @ flat.T, taken @ pair.Y_H.T, nonnegative)
    return C, spectra(pair.msi, S, nonnegative)


def cost(pair, S, C, C_M, balance, prior=0.0):
    """
    |Y_H - sum (P1 S_r P2') o c_r|^2 + balance |Y_M - sum S_r o c_M,r|^2: LL1, eq. 16, for any maps S.

    With `prior` that many times the scene's squared distance from the interpolated HSI is added, see `misfits`.
    """
    misfit, distance = misfits(pair, S, C, C_M, balance, interpolated_energy(pair) if prior else None)
    return misfit + prior * distance


def misfits(pair, S, C, C_M, balance, energy=None):
    """
    Both parts of `cost`: the images' misfit, and |Y_H x1 U1 x2 U2 - sum S_r o c_r|^2, the distance of the scene from
    the interpolated HSI. `energy` is `interpolated_energy`; without it the second is not worked out, and given as 0.
    """
    low = pair.Y_H - C @ pair.degrade(S).reshape(len(S), -1)
    high = pair.Y_M - C_M @ S.reshape(len(S), -1)
    misfit = np.vdot(low, low) + balance * np.vdot(high, high)
    if energy is None:
        return misfit, 0.0
    flat = S.reshape(len(S), -1)
    mixed = np.vdot(contracted(pair.hsi, C), _gathered(pair, S))
    return misfit, max(energy - 2 * mixed + np.vdot(C.T @ C, flat @ flat.T), 0.0)


def interpolated_energy(pair):
    """|Y_H x1 U1 x2 U2|^2."""
    return np.vdot(both(pair.U1.T @ pair.U1, pair.U2.T @ pair.U2, pair.hsi), pair.hsi)


def rounding(pair, balance):
    """The cost below which only rounding is left."""
    return EXACT * (np.vdot(pair.hsi, pair.hsi) + balance * np.vdot(pair.msi, pair.msi))


def _gathered(pair, S):
    """The adjoint of interpolation: S (R, I, J) to (R, I_H, J_H)."""
    return both(pair.U1.T, pair.U2.T, S)


def believed(pair, R, prior, misfit, distance):
    """
    Weight of the interpolated HSI beside the misfit: `prior`, or less where both images fit better than that.

    `misfit` and `distance` are those of `misfits`, for R materials.

    The ratio of two variances bounds it: the images' misfit per value, and the scene's distance from the interpolated
    HSI per pixel and material, as that distance lies in the span of R spectra. Data that fit exactly are left alone.

    Where only the place of things changed (one crop became another), two materials take nearly the same C_M; only the
    HSI tells them apart, and below its resolution nothing. There, the MSI's noise and what the model does not explain
    divide one from the other, the more the longer the iterations: the cost falls, and the scene gets worse.
    """
    misfit, distance = misfit * R * pair.msi[0].size, distance * (pair.hsi.size + pair.msi.size)
    return prior if misfit >= prior * distance else misfit / distance


def start(pair, R, L, balance=BALANCE, trials=TRIALS, seed=0):
    """
    Blocks to start from, the best of some trials: BTDRec, Algorithm 3 of LL1.

    A trial decomposes the MSI alone, and gets both kinds of spectra by least squares. It works on the MSI compressed
    to its leading row and column directions, LR of each at most, which hold all of an image of this model. Every fifth
    trial, from the first, begins with generalised eigenvectors (Theorem 4.1 of De Lathauwer 2008) of two random
    mixtures of the MSI's bands: those of G_1' v = w G_2' v belong to R materials by L, and V^-T and G_1' V are A and B
    up to a change of base within each material. They are told apart by the spectra that they get by least squares, in
    groups of L. The other trials begin with random factors; so do all where the MSI does not have LR directions along
    both axes or no two bands, for which there are no such eigenvectors. `STEPS` steps of alternating least squares on
    the MSI follow. The `KEPT` of the least total cost go on to `SWEEPS` sweeps of the coupled problem, and the best of
    those is given.

    Departures: the paper's trials are all by eigenvectors (its published program's are random), and all run to their
    end. Without noise eigenvectors give the exact decomposition of data of this model; with noise they are no better
    than random factors after a few steps.

    Raises
    ------
    ValueError
        No trials.

    References
    ----------
    LL1 (Prevost et al. 2021), section IV-C; De Lathauwer, SIAM J. Matrix Anal. Appl. 30(3), 2008, parts II and III.
    """
    _check_trials(trials)
    rng = np.random.default_rng(seed)
    core, U1, U2 = compressed(pair.msi, R * L)
    definite = len(core) > 1 and _regular(core, R * L)
    candidates = []
    for trial in range(trials):
        made = by_eigenvectors(core, R, L, rng) if definite and trial % 5 == 0 else None
        A, B = made or (rng.standard_normal((R, core.shape[1], L)), rng.standard_normal((R, core.shape[2], L)))
        A, B = alternate(core, A, B, STEPS)
        A, B = U1 @ A, U2 @ B
        S = A @ B.transpose(0, 2, 1)
        C, C_M = both_spectra(pair, S)
        candidates.append((cost(pair, S, C, C_M, balance), Blocks(A, B, C, C_M).balanced()))
    candidates.sort(key=lambda candidate: candidate[0])
    best = []
    for _, begun in candidates[:KEPT]:
        for _ in range(SWEEPS):
            begun = sweep(pair, begun, balance)
        best.append((cost(pair, begun.maps(), begun.C, begun.C_M, balance), begun))
    return min(best, key=lambda candidate: candidate[0])[1]


def from_materials(pair, R, L, materials=None, seed=0, restarts=TRIALS):
    """
    Blocks to start from that are made of spectra (K, R): `materials`, or those that VCA finds in the HSI.

    Their abundances in the HSI, by nonnegative least squares, and the MSI at the HSI's resolution give the spectra C_M,
    whatever changed; these give abundances on the MSI's grid, which are cut to rank L.

    Raises
    ------
    ValueError
        Materials of another shape or not finite, or no restarts.
    """
    S, C, C_M = material_maps(pair, R, materials, seed, restarts)
    A, values, B = np.linalg.svd(S, full_matrices=False)
    return Blocks(A[:, :, :L], B[:, :L].transpose(0, 2, 1) * values[:, None, :L], C, C_M)


def material_maps(pair, R, materials=None, seed=0, restarts=TRIALS):
    """Abundances (R, I, J), C and C_M of `from_materials`, none of them negative."""
    _check_trials(restarts)
    C = np.maximum(endmembers(pair, R, materials, seed, restarts), 0)
    if C.shape[1] != R:
        raise ValueError(f"{R} materials are asked for, but there are {C.shape[1]}")
    low = _fractions(pair.Y_H, C).reshape(R, *pair.hsi.shape[1:])
    C_M = spectra(pair.degrade(pair.msi), low, nonnegative=True)
    return _fractions(pair.Y_M, C_M).reshape(R, *pair.msi.shape[1:]), C, C_M


def _fractions(Y, C):
    G = C.T @ C
    return minimise(G + WEAK * np.trace(G) / len(G) * np.eye(len(G)), C.T @ Y, False)


def sweep(pair, blocks, balance, prior=0.0):
    """A, B, C and C_M, each the exact minimum of `cost` with the others as they are, with norms balanced."""
    blocks = factors(pair, blocks, balance, prior)
    C, C_M = both_spectra(pair, blocks.maps(), prior=prior)
    return replace(blocks, C=C, C_M=C_M).balanced()


def compressed(Y, size):
    """Y (K, I, J) in its leading `size` row and column directions: core (K, i, j), bases (I, i), (J, j)."""
    U1 = _leading(Y.transpose(1, 0, 2).reshape(Y.shape[1], -1), size)
    U2 = _leading(Y.transpose(2, 0, 1).reshape(Y.shape[2], -1), size)
    return U1.T @ Y @ U2, U1, U2


def by_eigenvectors(core, R, L, rng):
    """
    A and B (R, LR, L) of a core (K, LR, LR) = sum_r (A_r B_r') o c_r, by generalised eigenvectors.

    None where the mixtures of bands drawn do not determine them.
    """
    G1, G2 = np.tensordot(rng.standard_normal((2, len(core))), core, 1)
    try:
        values, vectors = eig(G1.T, G2.T)
        upper = values.imag >= 0
        V = np.concatenate([vectors[:, upper].real, vectors[:, values.imag > 0].imag], axis=1)
        if V.shape[1] != R * L or not np.isfinite(V).all():
            return None
        A, B = np.linalg.inv(V).T, G1.T @ V
    except (LinAlgError, ValueError):
        return None
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        return None
    norms = np.linalg.norm(A, axis=0)
    A, B = A / norms, B * norms
    T = np.einsum("kij,il,jl->kl", core, A, B, optimize=True)
    C = T @ np.linalg.pinv((A.T @ A) * (B.T @ B), hermitian=True)
    groups = grouped(C, R, L, rng)
    return A[:, groups].transpose(1, 0, 2), B[:, groups].transpose(1, 0, 2)


def grouped(C, R, L, rng):
    """Indices (R, L): the columns of C (K, RL) in R groups of L, by their directions, up to sign."""
    norms = np.linalg.norm(C, axis=0)
    U = C / np.where(norms > 0, norms, 1)
    best = None
    for _ in range(REPEATS):
        centres = [U[:, rng.integers(R * L)]]
        while len(centres) < R:   # the next one far from those there are
            far = np.maximum(1 - np.max(np.square(np.stack(centres) @ U), axis=0), 0)
            centres.append(U[:, rng.choice(R * L, p=far / far.sum()) if far.sum() > 0 else rng.integers(R * L)])
        centres = np.stack(centres, axis=1)
        before = None
        while True:
            near = np.square(centres.T @ U)
            columns = linear_sum_assignment(-np.repeat(near, L, axis=0))[1].reshape(R, L)
            score = np.take_along_axis(near, columns, axis=1).sum()
            if before is not None and score <= before + 1e-12:
                break
            before = score
            centres = np.stack([np.linalg.svd(U[:, group] * norms[group])[0][:, 0] for group in columns], axis=1)
        if best is None or score > best[0]:
            best = score, columns
    return best[1]


def alternate(core, A, B, steps):
    """`steps` of alternating least squares for core (K, i, j) = sum_r (A_r B_r') o c_r: A and B."""
    R, _, L = A.shape
    for _ in range(steps):
        C = spectra(core, A @ B.transpose(0, 2, 1))
        C /= np.maximum(np.linalg.norm(C, axis=0), 1e-300)
        inner, G = contracted(core, C), repeated(C.T @ C, L)
        B, A = _orthonormal(B, A)
        A, B = _orthonormal(_regression(A, B, inner, G), B)
        B = _regression(B, A, inner.transpose(0, 2, 1), G)
    return A, B


def _regression(A, B, inner, G):
    """The least-squares A, drawn a little to the one before where B does not determine it: without bias in the end."""
    b = side_by_side(B)
    X4 = G * (b.T @ b)
    ridge = RIDGE * np.trace(X4) / len(X4)
    X5 = side_by_side(inner @ B) + ridge * side_by_side(A)
    return apart(np.linalg.solve(X4 + ridge * np.eye(len(X4)), X5.T).T, len(B))


def _orthonormal(A, B):
    """A_r with orthonormal columns, and the B_r that leaves A_r B_r' as it is."""
    Q, T = np.linalg.qr(A)
    return Q, B @ T.transpose(0, 2, 1)


def _leading(X, size):
    """Orthonormal directions of the rows of X, `size` of them at most."""
    return np.linalg.eigh(X @ X.T)[1][:, ::-1][:, :size]


def _regular(core, size):
    """Whether both axes of a core have `size` directions."""
    if min(core.shape[1:]) < size:
        return False
    return all(values[-1] > SINGULAR * values[0] for values in
               (np.linalg.svd(core.transpose(axes).reshape(size, -1), compute_uv=False)
                for axes in ((1, 0, 2), (2, 0, 1))))


def scales_to_one(S):
    """
    Positive factors t (R,) that bring sum_r t_r S_r, for S (R, I, J) not negative, nearest to one everywhere.

    A map that least squares would rather leave out is given a maximum of one; a map of zeros a factor of one.
    """
    S = S.reshape(len(S), -1)
    largest = S.max(axis=1)
    unit = S / np.where(largest > 0, largest, 1)[:, None]
    G = unit @ unit.T
    t = minimise(G + RIDGE * max(np.trace(G), 1e-300) / len(G) * np.eye(len(G)), unit.sum(axis=1)[:, None], False)[:, 0]
    return np.where(t > 1e-6, t, 1) / np.where(largest > 0, largest, 1)

