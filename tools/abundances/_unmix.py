"""What every tool does that finds abundances for given endmembers: blocks in, abundances and errors out."""

import contextlib

from ...engine.declare import RasterOutput, Style, Tool
from .. import _shared

UNIT_RATIO = 20   # image and endmembers whose brightness differs more than this are in different units
SAMPLE = 997      # every so many pixels of a block are looked at for that


class UnmixingTool(Tool):
    """Abundances of given endmembers, pixel by pixel, in bounded memory."""

    tags = ("unmixing", "abundances", "fractions", "sub-pixel", "spectral mixture analysis", "SMA", "least squares",
            "linear mixing model", "hyperspectral")
    image = _shared.INPUT
    endmembers = _shared.ENDMEMBERS
    bands = _shared.BANDS
    abundances = _shared.ABUNDANCES
    residual = RasterOutput("RESIDUAL", "Residual", style=Style.ERROR, create=False, help="Raster with the RMSE of "
                            "each pixel's reconstruction over its bands, in input units.")
    rmse, sam, report = _shared.RMSE, _shared.SAM, _shared.REPORT
    example = {"INPUT": "scene", "ENDMEMBERS": "endmembers"}

    sum_to_one = False

    def solver(self):
        """The algorithm: a function of pixels Y (L, n) and endmembers M (L, P) that gives `Abundances`."""
        raise NotImplementedError(f"{type(self).__name__} names no solver")

    def run(self, job):
        unmix(self, job, self.solver())


def unmix(tool, job, solve, extra=None, check=None, tally=None):
    """
    Run `solve` over the image and write what it gives.

    Parameters
    ----------
    solve : callable
        Of pixels Y (L, n) and endmembers M (L, P); gives `Abundances`.
    extra : dict, optional
        Further single-band raster outputs: the output, and how to get its values (n,) from the `Abundances`.
    check : callable(M, names), optional
        Refuses spectra that the method cannot use; those that least squares cannot by default.
    tally : object, optional
        What only this tool reports: `add(fit)` is called with every block's `Abundances`, `report(report)` at the end.
    """
    from functools import partial

    from ...algorithms.abundances.linear_model import check_endmembers
    scene, spectra = job.scene(tool.image), job.spectra(tool.endmembers)
    M = spectra.to_scene(scene, job.say)
    (check or partial(check_endmembers, sum_to_one=tool.sum_to_one))(M, spectra.names)

    def block(Y, valid):
        Y = Y if valid.all() else Y[:, valid]
        return solve(Y, M), valid, sampled(Y)

    write(tool, job, scene, spectra, M, scene.map_blocks(block, progress=job.progress), extra, tally)


def sampled(Y):
    """Some of the pixels `Y` (L, n), to compare with what was found."""
    return Y[:, ::SAMPLE].astype("float64")


def write(tool, job, scene, spectra, M, blocks, extra=None, tally=None):
    """
    Write what was found and report on it.

    Parameters
    ----------
    spectra : Spectra
    M : ndarray (L, P)
        Those, on the scene's bands.
    blocks : iterable of (window, (Abundances, valid, sample))
        The abundances of a window's valid pixels, which pixels those are, and some pixels (see `sampled`).
    extra, tally
        See `unmix`.
    """
    import numpy as np
    job.say("{bands} bands, {count} endmembers: {names}.", bands=scene.L, count=spectra.P,
            names=", ".join(spectra.names))
    totals, sums, squares, seen_pixels = np.zeros(5), np.zeros(spectra.P), np.zeros(spectra.P), []
    wanted = {output: take for output, take in {tool.residual: lambda fit: fit.rmse, **(extra or {})}.items()
              if job.wants(output)}

    with contextlib.ExitStack() as open_files:
        def raster(output, names):
            return open_files.enter_context(job.raster(output, scene, names))
        abundances = raster(tool.abundances, spectra.names)
        others = {output: raster(output, [output.label]) for output in wanted}
        for window, (fit, valid, sample) in blocks:
            if sample.size and not seen_pixels:
                _compare_units(job, sample, M)
            seen_pixels.append(sample)
            if tally:
                tally.add(fit)
            abundances.write(window, fit.A, valid)
            for output, file in others.items():
                file.write(window, wanted[output](fit), valid)
            known, seen = np.isfinite(fit.A).all(axis=0), np.isfinite(fit.angle)
            totals += [np.square(fit.rmse).sum(), fit.rmse.size, fit.angle[seen].sum(), seen.sum(), known.sum()]
            sums += fit.A[:, known].sum(axis=1)
            squares += np.square(fit.A[:, known]).sum(axis=1)
        if not totals[1]:
            _shared.nothing_valid(scene)
    rmse, angle = np.sqrt(totals[0] / totals[1]), np.degrees(totals[2] / max(totals[3], 1))
    spread = np.concatenate(seen_pixels, axis=1).std(axis=1)
    if rmse > np.sqrt(np.square(spread).mean()) > 0:
        job.warn("The endmembers explain the image worse than its own mean spectrum would: RMSE {rmse}, against "
                 "{spread}. Check that they belong to this image, and their units.", rmse=f"{rmse:.4g}",
                 spread=f"{np.sqrt(np.square(spread).mean()):.4g}")
    job.give_number(tool.rmse, float(rmse))
    job.give_number(tool.sam, float(angle))
    report = job.report(tool.report)
    if report:
        count = max(totals[4], 1)
        mean = sums / count
        spread = np.sqrt(np.maximum(squares / count - mean ** 2, 0))
        report.numbers(Endmembers=spectra.P, Bands=scene.L, Pixels=int(totals[1]), RMSE=float(rmse),
                       Mean_spectral_angle_in_degrees=float(angle))
        report.heading("Fractions")
        report.table(["Endmember", "Mean", "Standard deviation"], zip(spectra.names, mean, spread))
        if tally:
            tally.report(report)
        from ...engine.spectra import of_scene
        report.spectra(of_scene(scene, M, spectra.names))
        _shared.add_composite(job, report, tool.abundances, spectra.names)
        job.give_report(tool.report, report)


def _compare_units(job, Y, M):
    """Warn where pixels and endmembers are so differently bright that their units must differ."""
    import numpy as np
    ratio = np.abs(Y).mean() / np.abs(M).mean()
    if not 1 / UNIT_RATIO < ratio < UNIT_RATIO:
        image, endmembers = f"{np.abs(Y).mean():.3g}", f"{np.abs(M).mean():.3g}"
        job.warn("The image's values are about {image}, the endmembers' about {endmembers}: they seem to be in "
                 "different units (reflectance and digital numbers, say), so the fractions mean little. Bring one to "
                 "the other's units first.", image=image, endmembers=endmembers)
