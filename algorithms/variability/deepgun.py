"""DeepGUn: every pixel's endmembers come from generators that were learned from the scene's pure pixels."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from .. import pixels
from ..device import device, one_thread_each
from .autoencoder import EPOCHS, FIDELITY, Decoders, train
from .model import WORKERS, VariableUnmixing, alternate, begin, relative_change
from .spatial import TotalVariation, abundance_step

PURE = 100         # pixels that a material is learned from
FEWEST = 3         # spectra that do: two latent numbers need as many to be told apart
HEADROOM = 1.05    # a spectrum's largest possible value, in units of the largest that was seen
PIXELS = 1024      # whose latent numbers are sought together
STEPS = 30         # of that search, at most
STILL = 1e-3       # and a step, in units of the latent numbers' standard deviation, with which it ends
DAMPING = 1e-3     # of its first step, in units of the largest curvature
EASED = 5.0        # how much weaker it is after a step that was taken,
RAISED = 4.0       # and stronger after one that was not


@dataclass(frozen=True)
class Generator:
    """
    Spectra of P materials as functions of H latent numbers each, m_k = f_k(z_k).

    Attributes
    ----------
    decoders : Decoders
        float32, on the processor, with values in (0, 1).
    z_ref : ndarray (P, H)
        Latent numbers of the reference endmembers.
    scale : float
        What the decoders' values are multiplied by to be in the data's units.
    spread : ndarray (P, 2)
        How much each material's spectra vary, and how much what the generator makes of them does (see `variation`).
    """

    decoders: Decoders
    z_ref: np.ndarray
    scale: float
    spread: np.ndarray

    def references(self):
        """f_k(z_ref,k) as (L, P)."""
        return self.spectra(self.z_ref[:, :, None].astype(np.float64))[:, :, 0].T

    def spectra(self, z):
        """Spectra (P, L, n) in the data's units, in the type of the latent numbers `z` (P, H, n)."""
        z = torch.from_numpy(np.ascontiguousarray(z)).mT
        made = self.decoders.to(z.dtype).spectra(z).mul_(self.scale)
        return made.mT.contiguous().numpy()


@dataclass(frozen=True)
class GenerativeUnmixing(VariableUnmixing):
    """
    `VariableUnmixing` with the latent numbers that the endmembers are made from.

    Attributes
    ----------
    z : ndarray (P, H, N)
        Those of every material and pixel; `z_ref` where there are no data.
    z_ref : ndarray (P, H)
        Those of the reference.
    """

    z: np.ndarray
    z_ref: np.ndarray


def pure_pixels(Y, M0, count=PURE):
    """
    The pixels most like each reference endmember by spectral angle, in one pass.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks
        Pixels that are zero or not finite are passed over. Besides them, P count L numbers are held in memory.
    M0 : ndarray (L, P)
    count : int
        At most so many for each endmember. A pixel belongs only to the endmember that it is most like, so that no
        two materials share one.

    Returns
    -------
    list of P ndarrays (L, n_k)
        The most similar first; of equal ones the earlier.

    References
    ----------
    Borsoi et al., 2020 (see `deepgun`), section on the extraction of pure pixels. Departure: there a pixel may belong
    to several materials.
    """
    U = np.asarray(M0, dtype=np.float64)
    U = (U / np.linalg.norm(U, axis=0)).T
    bundles = [np.empty((U.shape[1], 0)) for _ in U]
    cosines = [np.empty(0) for _ in U]
    for block in pixels.blocks(Y):
        for part in pixels.blocks(block):
            size = np.linalg.norm(part.astype(np.float64, copy=False), axis=0)
            part = part[:, np.isfinite(size) & (size > 0)].astype(np.float64, copy=False)
            alike = U @ part / np.linalg.norm(part, axis=0)
            nearest = alike.argmax(axis=0)
            for k, bundle in enumerate(bundles):
                new = np.flatnonzero(nearest == k)
                together = np.concatenate([cosines[k], alike[k, new]])
                best = np.argsort(-together, kind="stable")[:count]
                kept, added = best < len(cosines[k]), best - len(cosines[k])
                spectra = np.empty((len(part), len(best)))
                spectra[:, kept], spectra[:, ~kept] = bundle[:, best[kept]], part[:, new[added[~kept]]]
                bundles[k], cosines[k] = spectra, together[best]
    return bundles


def variation(spectra):
    """Root mean square distance of spectra (L, n) from their mean, relative to its size."""
    mean = spectra.mean(axis=1, keepdims=True)
    return float(np.linalg.norm(spectra - mean) / (np.linalg.norm(mean) * spectra.shape[1]**0.5))


@one_thread_each()
def learn(bundles, M0, *, seed=0, epochs=EPOCHS, fidelity=FIDELITY, names=None):
    """
    One generator per material, from several spectra of each.

    Parameters
    ----------
    bundles : sequence of P ndarrays (L, n_k)
        Spectra of each material: from `pure_pixels`, or measured.
    M0 : ndarray (L, P)
        Reference endmembers, in the same units.
    seed : int
        Each material starts from it, so that the order of the materials does not matter.
    epochs : int
    fidelity : float
        How faithful the generators are to the spectra, rather than simple (see `autoencoder.train`); 1 as published.
        Too small, and a material whose spectra differ little does not vary at all: `Generator.spread` tells.
    names : sequence of P str, optional
        What errors call the materials.

    Returns
    -------
    Generator

    Raises
    ------
    ValueError
        A material with fewer than three spectra, spectra that are not finite or of another number of bands.

    Notes
    -----
    A decoder ends in a sigmoid: it makes values between 0 and 1, which here stand for 0 and 1.05 times the largest
    value of all bundles and references. Values below zero, which it cannot make, are learned as zero.
    """
    M0 = np.asarray(M0, dtype=np.float64)
    names = [f"endmember {k + 1}" for k in range(M0.shape[1])] if names is None else names
    bundles = [np.asarray(bundle, dtype=np.float64) for bundle in bundles]
    for name, value in dict(epochs=epochs, fidelity=fidelity).items():
        if not value > 0:
            raise ValueError(f"The number {name} is {value:g}: it must be above zero.")
    _check(bundles, M0, names)
    scale = HEADROOM * float(max(M0.max(), *(bundle.max() for bundle in bundles)))
    if scale <= 0:
        raise ValueError("None of the materials' spectra has a positive value: positive ones are needed, such as "
                         "reflectance or radiance.")
    shown = [np.clip(bundle.T / scale, 0, 1) for bundle in bundles]
    models = [train(X, seed, epochs, fidelity) for X in shown]
    z_ref = [model.encode(_floats(np.clip(m / scale, 0, 1)))[0].numpy() for model, m in zip(models, M0.T)]
    spread = [(variation(X.T), variation(model.decode(model.encode(_floats(X))[0]).double().numpy().T))
              for model, X in zip(models, shown)]
    return Generator(Decoders.of(models), np.stack(z_ref), scale, np.array(spread))


def _floats(X):
    return torch.as_tensor(X, dtype=torch.float32)


def _check(bundles, M0, names):
    """Refuse spectra that no generator can be learned from."""
    if len(bundles) != M0.shape[1]:
        raise ValueError(f"There are spectra of {len(bundles)} materials for {M0.shape[1]} reference endmembers: give "
                         f"those of every one.")
    for bundle, name in zip(bundles, names):
        if bundle.ndim != 2 or len(bundle) != len(M0):
            raise ValueError(f"The spectra of {name} have the shape {bundle.shape}, the reference endmembers have "
                             f"{len(M0)} bands: resample them to the image's bands.")
        if bundle.shape[1] < FEWEST:
            many = {0: "no spectrum", 1: "a single spectrum"}.get(bundle.shape[1], f"only {bundle.shape[1]} spectra")
            raise ValueError(f"There is {many} of {name}: DeepGUn learns how each material varies from {FEWEST} or "
                             f"more, better from {PURE}. Give more spectra of it, leave it out, or use a method that "
                             f"needs one spectrum per material, such as ELMM.")
        if not np.isfinite(bundle).all():
            raise ValueError(f"The spectra of {name} hold values that are not finite. Leave those spectra or bands "
                             f"out.")


@one_thread_each()
def deepgun(Y, M0, shape, valid=None, *, generator=None, lambda_z=0.1, lambda_a=0.01, iterations=8, tolerance=1e-3,
            seed=0, callback=None):
    """
    Abundances, and endmembers from learned generators, of every pixel (deep generative endmember modelling).

    With M_n = [f_1(z_1n) ... f_P(z_Pn)], find A on the simplex and z of least cost::

        1/2 sum_n (||y_n - M_n a_n||^2 + lambda_z sum_k ||z_kn - z_ref,k||^2) + lambda_a (||D_h A||_1 + ||D_v A||_1)

    by turns: z by damped Gauss-Newton steps, pixel by pixel, none of which raises the cost (`_Latent`), and A
    (`SpatialAbundances`).

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of the whole image, row-major.
    M0 : ndarray (L, P)
        Reference endmembers, in the units of `Y`. Both are divided by their largest value.
    shape : (int, int)
        Rows and columns.
    valid : ndarray (N,) of bool, optional
        Where `Y` holds data; elsewhere the total variation fills in.
    generator : Generator, optional
        From `learn`, once for all parts of a scene; learned from the pure pixels of `Y` by default.
    lambda_z : float
        How strictly endmembers keep to the reference.
    lambda_a : float
        Total variation of the abundances; 0 leaves each pixel to itself.
    iterations : int
    tolerance : float
        Relative change of A and of z below which it ends.
    seed : int
        Of the learning.
    callback : callable(iteration, cost) -> bool or None, optional

    Returns
    -------
    GenerativeUnmixing
        Its `reference` is what the generators make of `M0`, f(z_ref), so that the endmembers' departure from it is
        what varies between pixels. It lies nearer to the mean of the spectra learned from than `M0` does.

    Notes
    -----
    It starts from z_ref and the fully constrained least squares of `M0`. Where a_k is near zero, z_k stays near
    z_ref,k.

    The fidelity of 30 is a compromise. RMSE of abundances for 1, 10, 30, 100 and 1000 after 50 epochs: Samson 0.239,
    0.234, 0.247, 0.267, 0.279 (FCLS 0.284); Jasper Ridge 0.193, 0.197, 0.200, 0.204, 0.204 (0.200); ULTRA-V's DC0
    0.060, 0.061, 0.066, 0.071, 0.082 (0.104); CUR-HU's SD1 0.072, 0.087, 0.089, 0.090, 0.089 (0.094); 30 bands, with
    20 % of brightness and 15 % of tilt, 0.072, 0.072, 0.062, 0.062, 0.069 (0.076). With 1, of all their materials one
    of DC0 varies by a quarter or more of what its spectra do; with 10, one of Samson's and two of Jasper Ridge's but
    none of the last scene's; with 30 all but Samson's water and one of Jasper Ridge's. 200 epochs serve the simulated
    scenes (0.057, 0.078 and 0.048 with 30), not the real ones (0.264 and 0.201).

    To shift the generators so that f(z_ref) is `M0` costs abundances: with VCA's single pixels as `M0`, errors of
    0.283 instead of 0.234 on Samson and 0.093 instead of 0.087 on SD1 (fidelity 10). Hence they are not shifted.

    References
    ----------
    R. A. Borsoi, T. Imbiriba, J. C. M. Bermudez, Deep generative endmember modeling: an application to unsupervised
    spectral unmixing, IEEE Transactions on Computational Imaging 6, 2020. Departures: the 1/2 stands before lambda_z
    too, so that its 0.1 means what it does in the released code (in the paper's formula it would be 0.05); data are
    scaled, as above, the generators' as in `learn`; a fidelity of 30 in place of 1; z starts at z_ref and not at zero,
    and is sought with exact derivatives where the code has numerical ones; the learning starts from the data (see
    `autoencoder.train`); no differences across the image's edges, and no last step for A with a stricter tolerance.
    """
    problem = begin(Y, M0, shape, valid, dict(lambda_z=lambda_z), dict(lambda_a=lambda_a), start="fcls")
    if generator is None:
        generator = learn(pure_pixels(problem.Y, problem.M0), problem.M0, seed=seed)
    else:
        generator = replace(generator, scale=generator.scale / problem.scale)
    _check_sizes(generator, problem.M0)
    latent = _Latent(problem, generator, lambda_z)
    prior = TotalVariation(lambda_a, shape)
    A = np.where(problem.valid, problem.A, 1 / problem.P)
    abundances = abundance_step(prior, A, shape)

    def cost(H, c):
        return problem.misfit(H, c, A) + latent.cost() + prior.cost(A)

    def step():
        nonlocal A
        moved = latent.improve(A)
        H, c = problem.normal_equations(latent.endmembers)
        old, A = A, abundances(H, c)
        return cost(H, c), max(relative_change(old, A), moved)

    costs, converged = alternate(step, cost(*problem.normal_equations(latent.endmembers)), iterations=iterations,
                                 tolerance=tolerance, callback=callback)
    return problem.result(A, generator.references(), latent.endmembers, costs, converged, GenerativeUnmixing,
                          z=latent.z, z_ref=generator.z_ref)


def _check_sizes(generator, M0):
    P, L = generator.decoders.sizes
    if (L, P) != M0.shape:
        raise ValueError(f"The generators make {P} materials in {L} bands, the endmembers are {M0.shape[1]} in "
                         f"{len(M0)}: learn them from the same materials and bands.")


class _Latent:
    """
    The latent numbers z (P, H, N) of all pixels, from z_ref on, for a generator in the problem's units.

    Each pixel's cost 1/2 ||y - M(z) a||^2 + lambda_z/2 ||z - z_ref||^2 has P H unknowns only, so that Gauss-Newton
    steps need one system of that size. They are damped (Levenberg and Marquardt) where the cost would not fall.
    """

    def __init__(self, problem, generator, weight):
        self._problem, self._generator, self._weight = problem, generator, weight
        self._type = torch.from_numpy(np.empty(0, problem.Y.dtype)).dtype
        self._decoders = generator.decoders.to(device(), self._type)
        self._reference = self._tensor(generator.z_ref)
        self.z = np.repeat(generator.z_ref[:, :, None].astype(problem.Y.dtype), problem.N, axis=2)

    def _tensor(self, X):
        return torch.from_numpy(np.ascontiguousarray(X)).to(device(), self._type)

    def endmembers(self, part):
        """M (P, L, n) of a slice of the pixels, in the problem's units."""
        z = self._tensor(self.z[:, :, part]).mT
        return (self._decoders.spectra(z) * self._generator.scale).mT.contiguous().cpu().numpy()

    def cost(self):
        """lambda_z/2 sum ||z - z_ref||^2."""
        return self._weight / 2 * float(np.square(self.z - self._generator.z_ref[:, :, None], dtype=np.float64).sum())

    def improve(self, A):
        """Make z fit the abundances `A` (P, N) better, in every valid pixel; returns its relative change."""
        old = self.z
        self.z = old.copy()
        wanted = np.flatnonzero(self._problem.valid)

        def descend(start):
            part = wanted[start:start + PIXELS]
            z, y, a = (self._tensor(X[..., part]) for X in (old, self._problem.Y, A))
            self.z[:, :, part] = self._descend(z.permute(2, 0, 1), y.mT, a.mT).permute(1, 2, 0).cpu().numpy()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(descend, range(0, wanted.size, PIXELS)))
        return relative_change(old, self.z)

    def _descend(self, z, y, a):
        """Latent numbers of no higher cost than `z` (n, P, H), for pixels `y` (n, L) and abundances `a` (n, P)."""
        z = z.clone()
        cost, slope, curvature = self._expansion(z, y, a)
        damping = DAMPING * curvature.diagonal(dim1=1, dim2=2).amax(dim=1)
        moving = torch.arange(len(z), device=z.device)
        for _ in range(STEPS):
            matrix = curvature + torch.diag_embed(damping[:, None].expand_as(slope))
            step = torch.linalg.solve_ex(matrix, slope)[0].reshape(-1, *z.shape[1:])
            trial = z[moving] - step
            new = self._expansion(trial, y[moving], a[moving])
            better = new[0] < cost
            z[moving[better]] = trial[better]
            for known, found in zip((cost, slope, curvature), new):
                known[better] = found[better]
            damping = torch.where(better, damping / EASED, damping * RAISED)
            on = ~(step.abs().amax(dim=(1, 2)) <= STILL)   # true too for a step that rounding made NaN
            moving, cost, slope, curvature, damping = (X[on] for X in (moving, cost, slope, curvature, damping))
            if not len(moving):
                break
        return z

    def _expansion(self, z, y, a):
        """
        Each pixel's cost (n,), its gradient (n, P H), and the Gauss-Newton approximation of its Hessian.

        Parameters
        ----------
        z : tensor (n, P, H)
        y : tensor (n, L)
        a : tensor (n, P)
        """
        n, shares = len(z), (self._generator.scale * a).T
        f, J = self._decoders.jets(z.transpose(0, 1))
        excess = torch.einsum("pn,pnl->nl", shares, f) - y
        J = (J * shares[:, :, None, None]).transpose(0, 1).reshape(n, -1, y.shape[1])
        apart = (z - self._reference).reshape(n, -1)
        cost = (excess.square().sum(dim=1) + self._weight * apart.square().sum(dim=1)) / 2
        slope = torch.bmm(J, excess[:, :, None])[:, :, 0] + self._weight * apart
        curvature = torch.bmm(J, J.mT)
        curvature.diagonal(dim1=1, dim2=2).add_(self._weight)
        return cost, slope, curvature
