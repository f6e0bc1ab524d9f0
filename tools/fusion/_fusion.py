"""What every fusion tool does: two rasters in, tiles, one raster of both out, errors and a report."""

import contextlib
from dataclasses import replace

from ...engine.declare import (Choice, Group, Integer, NumberOutput, RasterOutput, Real, SpectraOutput, Style,
                               Tool)
from .. import _shared
from . import _pairs

LOW_RANK_SIDE = 144   # pixels of a tile's side, at most, that few terms of low rank can describe: the papers' largest
ROWS = 256            # rows of the fused image that are written at once, as many as a block of the file has
MISFIT = 0.15         # of an image's level (root mean square) that a fused image may miss it by without a word
FEW = 32              # and that are made at once
SHOWN = 600           # pixels of a picture's longer side in the report

COUNT = replace(_shared.COUNT, within_bands_of="HSI", help="How many materials (R) the scene is made of: at least 2, "
                "at most the number of bands of the hyperspectral image. HySime estimates it. Default 4.")
BALANCE = Real("BALANCE", "Weight of the multispectral image (lambda)", default=1.0, minimum=1e-6, maximum=1e6,
               advanced=True, help="What the misfit of the multispectral image counts against that of the "
               "hyperspectral one, both summed over all values. No unit, above 0. Default 1.")

ENDMEMBERS = SpectraOutput("ENDMEMBERS", "Endmembers", help="Layer with the spectrum of each material, on the "
                           "hyperspectral image's bands and in its units. Of a scene in tiles, the mean of all tiles, "
                           "weighted by the material's fractions.")
MSI_ENDMEMBERS = SpectraOutput("MSIENDMEMBERS", "Endmembers at the multispectral image's date", create=False,
                               help="Layer with the spectrum of each material in the multispectral image's bands, as "
                               "it was on its date.")
ABUNDANCES = replace(_shared.ABUNDANCES, optional=True, help="Raster on the multispectral image's grid, with a band "
                     "per endmember, named after it: how much of it each pixel holds, about 0 to 1. Nodata is -9999.")
VARIABILITY = RasterOutput("VARIABILITY", "Variability", style=Style.CHANGE, help="Raster with a band per band of the "
                           "multispectral image: how much brighter it is, as the model sees it, than it would have "
                           "been on the hyperspectral image's date, in the hyperspectral image's units. 0 is no "
                           "change.")


def iterations(default):
    return replace(_shared.iterations(default), help=f"The run ends after so many, 1 to 100000; the log says whether "
                   f"it was still improving. Default {default}.")


def tolerance(default, of="the cost changes"):
    return Real("TOLERANCE", "Tolerance", default=default, minimum=0.0, maximum=1.0, advanced=True,
                help=f"The run ends when {of} by less than this share of itself in an iteration, 0 to 1; 0 goes "
                     f"through all iterations. Default {default:g}.")


class FusionTool(Tool):
    """The hyperspectral image at the multispectral image's resolution."""

    group = Group.FUSION
    tags = ("fusion", "sharpening", "super-resolution", "hyperspectral", "multispectral", "HSI-MSI", "EnMAP", "PRISMA",
            "Sentinel-2", "pan-sharpening", "pansharpening", "resolution enhancement", "EMIT", "DESIS", "Landsat",
            "PlanetScope")
    hsi, msi, srf, srf_table = _pairs.HSI, _pairs.MSI, _pairs.SRF, _pairs.SRF_TABLE
    hsi_bands, msi_bands = _pairs.HSI_BANDS, _pairs.MSI_BANDS
    psf, psf_width = _pairs.PSF, _pairs.PSF_WIDTH
    scaling = Choice("SCALING", "Scaling of the bands", default="quantile", advanced=True, options={
        "quantile": "Each band divided by its 0.999 quantile", "none": "None: bright bands count more"},
        help="What a misfit counts in each band during the fusion; the result is in the hyperspectral image's units "
             "either way. Default quantile.")
    tile = Integer("TILE", "Largest side of a tile (MSI pixels)", optional=True, minimum=96, maximum=1000000,
                   advanced=True, help="A larger scene is fused in tiles of this side, which overlap and are blended. "
                   "Empty: 144 for methods of low rank in space; for the others the whole scene where it fits into "
                   "half of the free memory, else the largest tile that does.")
    fused = RasterOutput("FUSED", "Fused image", style=Style.SPECTRAL, optional=False, help="Raster with the "
                         "hyperspectral image's bands, wavelengths and units on the multispectral image's grid (on a "
                         "grid with the hyperspectral image's axes where the two differ), where both images lie. "
                         "Nodata is -9999.")
    rmse = NumberOutput("RMSE", "Misfit of the hyperspectral image (its units)", help="Root mean square, over pixels "
                        "and bands, of the difference between the hyperspectral image and the fused one seen through "
                        "its sensor. A small one does not prove the detail right.")
    msi_rmse = NumberOutput("MSIRMSE", "Misfit of the multispectral image (HSI units)", help="Root mean square, over "
                            "pixels and bands, of the difference between the multispectral image and the fused one in "
                            "its bands; what changed between both dates, where the method finds it, added.")
    report = _shared.REPORT
    endmembers = msi_endmembers = abundances = variability = None   # outputs of some methods only
    count = seed = None
    example = {"HSI": "hsi", "MSI": "msi"}

    low_rank = False      # whether few terms describe rows and columns too, so that a scene has to be cut
    from_materials = False   # whether the method starts from endmembers, which all tiles then share
    numbers = 40          # that the method holds per pixel of the fused image, of 8 bytes

    def method(self, job):
        """
        The method with the tool's own parameters: callable(pair, start=, callback=) -> Fused.

        `start` is what the tool's `start` made of the whole scene. A ValueError is shown to the user.
        """
        raise NotImplementedError(f"{type(self).__name__} names no method")

    def limit(self, job):
        """Iterations at most, for the progress."""
        return next((job.value(parameter) for parameter in self.parameters() if parameter.name == "ITERATIONS"), 1)

    def prepared(self, job, paired, P3):
        """The paired scenes as they are to be fused, and the point spread function along rows and columns."""
        return paired, _pairs.psf_of(job, paired.hsi, paired, self.psf, self.psf_width)[0]

    def start(self, job, Y):
        """
        What all tiles start from, made of pixels Y (K, n) of the whole scene in the scale of the pairs: endmembers
        (K, R), where the tool says that it starts `from_materials`, else None.
        """
        from ...algorithms.fusion.start import explaining
        return explaining(Y, job.value(self.count), job.value(self.seed)) if self.from_materials else None

    def check(self, job, pair):
        """Say or refuse what can be seen before the run; `pair` is that of the first tile with data."""

    def preface(self, job, report):
        """A section that only this tool has, at the head of the report."""

    def run(self, job):
        from ...engine.pairing import pair_up
        hsi, msi = job.scene(self.hsi), job.scene(self.msi)
        _pairs.check_order(hsi, msi)
        paired = pair_up(hsi, msi, job.say, job.warn)
        responses, P3 = _pairs.response_of(job, hsi, msi, self.srf, self.srf_table)
        paired, psfs = self.prepared(job, paired, P3)
        setting = Setting(self, job, paired, P3, responses, psfs)
        tiles = self._tiles(job, paired, setting)
        with contextlib.ExitStack() as stack:
            whole = _Whole(self, job, paired, setting, stack)
            for number, tile in enumerate(tiles):
                self._one_tile(job, paired, setting, tile, number, len(tiles), whole)
            whole.finish()
        self._say_how_it_ended(job, whole)
        self._warn_of_misfit(job, setting, whole)
        job.give_number(self.rmse, whole.rmse)
        job.give_number(self.msi_rmse, whole.msi_rmse)
        whole.give_spectra(job)
        self._report(job, paired, setting, whole, len(tiles))
        job.progress(1, 1)

    def _one_tile(self, job, paired, setting, tile, number, count, whole):
        from ...engine.sentences import UserError, sentence_of
        made = setting.pair(tile)
        if made is None:
            whole.skip(tile)
            return
        pair, valid, known = made
        if not whole.notes:
            self.check(job, pair)
        limit = self.limit(job)
        try:
            found = self.method(job)(pair, start=setting.start, callback=lambda iteration, cost: job.progress(
                number * (limit + 1) + iteration, count * (limit + 1)))
        except ValueError as error:
            raise UserError("{reason}", reason=sentence_of(error)) from error
        whole.add(tile, pair, found, valid, known)
        job.progress((number + 1) * (limit + 1), count * (limit + 1) + 1)

    def _tiles(self, job, paired, setting):
        from ...engine.memory import need
        from ...engine.tiles import tile_side
        each = 8 * (self.numbers + 2 * paired.msi.L + 3 * paired.hsi.L / (paired.ratio[0] * paired.ratio[1]))
        blended = 4 * paired.hsi.L
        side = job.value(self.tile)
        if side is None:
            side = tile_side(paired.width, paired.height, each + blended, paired.overlap)
            if self.low_rank:
                side = min(side or LOW_RANK_SIDE, max(LOW_RANK_SIDE, 4 * paired.overlap))
        made = paired.tiles(side)
        largest = max(tile.window.width * tile.window.height for tile in made)
        strip = max(tile.window.height for tile in made) * paired.width if len(made) > 1 else 0
        need(largest * each + (strip + 2 * ROWS * paired.width) * blended,
             "Use smaller tiles (TILE) or fewer bands.")
        if len(made) > 1:
            job.say("{width} by {height} pixels are fused in {count} tiles, which overlap by {overlap} pixels.",
                    width=paired.width, height=paired.height, count=len(made), overlap=2 * paired.overlap)
        return made

    def _warn_of_misfit(self, job, setting, whole):
        import numpy as np
        for name, misfit, sample in (("hyperspectral", whole.rmse, setting.hsi_sample),
                                     ("multispectral", whole.msi_rmse, setting.msi_sample)):
            level = float(np.sqrt(np.mean(np.square(sample))))
            if misfit > MISFIT * level:
                job.warn("The fused image misses the {name} one by {percent} % of its level: perhaps the images do not "
                         "belong together, are shifted, or the sensor (SRF) is another. fusepair checks that.",
                         name=name, percent=round(100 * misfit / level))

    def _say_how_it_ended(self, job, whole):
        if not whole.notes or whole.most == 0:
            return
        unsettled = sum(not converged for _, converged in whole.notes)
        if unsettled == 0:
            job.say("Settled after {iterations} iterations at most.", iterations=whole.most)
        else:
            job.say("{count} of {all} tiles were still improving after {iterations} iterations, the number to stop at."
                    if len(whole.notes) > 1 else "It was still improving after {iterations} iterations, the number to "
                    "stop at.", count=unsettled, all=len(whole.notes), iterations=whole.most)

    def _report(self, job, paired, setting, whole, tiles):
        from ...engine.pictures import bands_of, stretch, stretched
        from ...engine.wavelengths import natural_colours
        report = job.report(self.report)
        if not report:
            return
        report.numbers(Bands=paired.hsi.L, Fused_pixels=whole.pixels, MSI_pixels_per_HSI_pixel=f"{paired.ratio[1]:.3g}"
                       f" x {paired.ratio[0]:.3g}", Misfit_of_the_HSI=whole.rmse, Misfit_of_the_MSI=whole.msi_rmse,
                       Iterations=whole.most, Tiles=tiles)
        self.preface(job, report)
        report.heading("The hyperspectral image, and the fused one")
        rgb = natural_colours(paired.hsi.L, paired.hsi.wavelengths)
        fused = bands_of(job.path(self.fused), rgb, SHOWN)
        report.picture(stretched(setting.hsi_picture(rgb), stretch(fused)), "Hyperspectral image in natural colours")
        report.picture(stretched(fused, stretch(fused)), "Fused image in the same colours")
        report.heading("Mean spectrum of both")
        report.curves(paired.hsi.wavelengths, {"Hyperspectral image": setting.hsi_sample.mean(axis=1),
                                               "Fused image": whole.mean}, "Wavelength (nm)", "Value (HSI units)")
        report.heading("Misfit of each band: hyperspectral image, and fused image seen through its sensor")
        report.curves(paired.hsi.wavelengths, {"Root mean square": whole.band_rmse}, "Wavelength (nm)",
                      "Value (HSI units)")
        report.table(["Multispectral band", "Centre (nm)", "Misfit (HSI units)", "Mean (HSI units)"],
                     [(band.name, band.centre, rmse, mean) for band, rmse, mean in
                      zip(setting.responses, whole.msi_band_rmse, setting.msi_sample.mean(axis=1))])
        if self.variability and job.wants(self.variability) and whole.change_rms.any():
            self._report_change(report, setting, whole)
        if whole.names:
            report.spectra(whole.spectra("endmembers"))
            if self.abundances and job.wants(self.abundances):
                _shared.add_composite(job, report, self.abundances, whole.names)
        if len(whole.notes) == 1 and len(whole.costs) > 1:
            report.curve(range(len(whole.costs)), whole.costs, "Cost", "Iteration", "Cost",
                         logarithmic=bool((whole.costs > 0).all()))
        job.give_report(self.report, report)

    def _report_change(self, report, setting, whole):
        report.heading("What changed between both dates")
        report.table(["Multispectral band", "Mean change", "Root mean square change", "Mean of the MSI"],
                     [(band.name, mean, rms, level) for band, mean, rms, level in zip(
                         setting.responses, whole.change_mean, whole.change_rms, setting.msi_sample.mean(axis=1))])


class Setting:
    """What the tiles of a run share: scales, units, response, blur, and the materials to start from."""

    def __init__(self, tool, job, paired, P3, responses, psfs):
        import numpy as np

        from ...algorithms.fusion.pair import scales
        self.paired, self.responses = paired, responses
        self.hsi_sample, self.msi_sample = paired.survey()
        self.unit = _pairs.unit_of(job, P3, self.hsi_sample, self.msi_sample)
        self.msi_sample = self.msi_sample / self.unit
        if job.value(tool.scaling) == "quantile":
            self.s_H, self.s_M = scales(self.hsi_sample), scales(self.msi_sample)
        else:
            level = scales(self.hsi_sample).max()
            self.s_H, self.s_M = np.full(paired.hsi.L, level), np.full(paired.msi.L, level)
        self.P3, self._psfs = P3, psfs
        self.start = tool.start(job, self.hsi_sample / self.s_H[:, None])

    def pair(self, tile):
        """A tile's pair in the scale of the methods, and which fused and HSI pixels are valid; None without data."""
        from ...algorithms.fusion.pair import Pair
        from ...engine.pairing import fill
        rows, cols = self.paired.hsi_part(tile.window)
        hsi, known = self.paired.read_hsi(rows, cols)
        msi, valid = self.paired.read_msi(tile.window)
        if not (valid & self.paired.hsi_mask(tile.window)).any():
            return None
        s_H, s_M = self.s_H[:, None, None], self.s_M[:, None, None]
        pair = Pair.of(fill(hsi, known) / s_H, fill(msi, valid) / (self.unit * s_M),
                       self.P3 * self.s_H / self.s_M[:, None], self.paired.rows[rows] - tile.window.row_off,
                       self.paired.columns[cols] - tile.window.col_off, self._psfs)
        return pair, valid & self.paired.hsi_mask(tile.window), known

    def hsi_picture(self, bands):
        """Some of the HSI's bands (1-based among those used), reduced: (3, rows, cols), NaN where masked."""
        import numpy as np
        paired = self.paired
        step = max(1, -(-max(paired.hsi_rows, paired.hsi_cols) // SHOWN))
        rows = []
        for row in range(0, paired.hsi_rows, step):
            cube, known = paired.read_hsi(slice(row, row + 1), slice(0, paired.hsi_cols))
            cube = cube[[band - 1 for band in bands]]
            cube[:, ~known] = np.nan
            rows.append(cube[:, :, ::step])
        return np.concatenate(rows, axis=1)


class _Whole:
    """The fused scene as its tiles come, row after row of them: written, measured, and its maps and spectra kept."""

    def __init__(self, tool, job, paired, setting, stack):
        import numpy as np
        self._tool, self._job, self._paired, self._setting = tool, job, paired, setting
        self.notes, self.costs, self.names, self.pixels = [], np.empty(0), [], 0
        K, K_M = paired.hsi.L, paired.msi.L
        self._squares, self._seen = np.zeros(K), 0
        self._msi_squares, self._msi_seen, self._sum = np.zeros(K_M), 0, np.zeros(K)
        self._change, self._change_squares = np.zeros(K_M), np.zeros(K_M)
        self._spectra, self._reference = {}, None
        self._layers, self._stack = {}, stack
        self._open("fused", tool.fused, K, paired.hsi.band_names, wavelengths=paired.hsi.wavelengths,
                   fwhm=paired.hsi.fwhm)
        if tool.variability and job.wants(tool.variability):
            names = [band.name for band in setting.responses]
            self._open("variability", tool.variability, K_M, names,
                       wavelengths=np.array([band.centre for band in setting.responses]))

    def _open(self, key, output, count, names, **options):
        writer = self._stack.enter_context(self._job.raster(output, self._paired, names, **options))
        self._layers[key] = _Strip(self._paired, count, writer)

    def skip(self, tile):
        """A tile without data."""
        self._flush(tile.window.row_off)

    def add(self, tile, pair, found, valid, known):
        """Blend a tile's result in, and write the rows that no later tile reaches."""
        setting = self._setting
        found = found.rescaled(setting.s_H, setting.s_M)
        self._flush(tile.window.row_off)
        self.notes.append((found.iterations, found.converged))
        self.costs = found.costs
        self._measure(tile, pair, found, valid, known)
        abundances = self._match(found, tile, valid) if found.abundances is not None else None
        self._layers["fused"].add(tile, found.cube, valid)
        if "variability" in self._layers:
            self._layers["variability"].add(tile, lambda rows: found.variability[:, rows], valid)
            change = found.variability.reshape(len(found.variability), -1)[:, valid.ravel() & tile.in_core]
            self._change += change.sum(axis=1)
            self._change_squares += np_square_sum(change)
        if "abundances" in self._layers:
            self._layers["abundances"].add(tile, lambda rows: abundances[:, rows], valid)

    def _match(self, found, tile, valid):
        """Bring a tile's materials into the order of the first tile's; open the abundances with it."""
        import numpy as np

        from ...algorithms.check.metrics import match
        endmembers, A = found.endmembers, found.abundances
        if self._reference is None:
            self._reference = self._start_or(endmembers)
            self.names = _shared.numbered(endmembers.shape[1])
            if self._tool.abundances and self._job.wants(self._tool.abundances):
                self._open("abundances", self._tool.abundances, len(A), self.names)
        small = 1e-9 * max(self._reference.max(), 1e-300)   # a material that vanished has no angle to any other
        order = np.asarray(match(self._reference + small, endmembers + small))
        weight = A[order].reshape(len(A), -1)[:, valid.ravel() & tile.in_core].sum(axis=1) + 1e-12
        for key, spectra in (("endmembers", endmembers), ("changed", found.changed_endmembers)):
            if spectra is not None:
                total, sums = self._spectra.get(key, (0, 0))
                self._spectra[key] = total + spectra[:, order] * weight, sums + weight
        return A[order]

    def _start_or(self, endmembers):
        start = self._setting.start
        return start * self._setting.s_H[:, None] if self._tool.from_materials and start is not None and \
            start.shape == endmembers.shape else endmembers

    def _measure(self, tile, pair, found, valid, known):
        import numpy as np
        setting = self._setting
        core = np.zeros((tile.window.height, tile.window.width), dtype=bool)
        core.reshape(-1)[:] = tile.in_core
        core &= valid
        rows, cols = self._paired.hsi_part(tile.window)
        # rounded on the whole grid, so that no pixel falls into two cores
        at_r, at_c = (np.clip(np.floor(centres + 0.5).astype(int) - first, 0, size - 1) for centres, first, size in
                      ((self._paired.rows[rows], tile.window.row_off, core.shape[0]),
                       (self._paired.columns[cols], tile.window.col_off, core.shape[1])))
        inside = known & core[np.ix_(at_r, at_c)]
        seen = np.tensordot(found.basis, pair.degrade(found.coefficients), 1)
        self._squares += np_square_sum((pair.hsi * setting.s_H[:, None, None] - seen)[:, inside])
        self._seen += int(inside.sum())
        msi = np.tensordot(setting.P3 @ found.basis, found.coefficients, 1)
        if found.variability is not None:
            msi += found.variability
        self._msi_squares += np_square_sum((pair.msi * setting.s_M[:, None, None] - msi)[:, core])
        self._msi_seen += int(core.sum())
        self.pixels += int(core.sum())
        self._sum += found.basis @ found.coefficients[:, core].sum(axis=1)

    def _flush(self, row):
        for layer in self._layers.values():
            layer.flush(row)

    def finish(self):
        import numpy as np
        if not self.notes:
            _shared.nothing_valid(self._paired.msi)
        self._flush(self._paired.height)
        n, m = max(self._seen, 1), max(self._msi_seen, 1)
        self.rmse, self.band_rmse = float(np.sqrt(self._squares.mean() / n)), np.sqrt(self._squares / n)
        self.msi_rmse = float(np.sqrt(self._msi_squares.mean() / m))
        self.msi_band_rmse = np.sqrt(self._msi_squares / m)
        self.mean = self._sum / max(self.pixels, 1)
        self.change_mean, self.change_rms = self._change / m, np.sqrt(self._change_squares / m)
        self.most = max(iterations for iterations, _ in self.notes)
        if "variability" in self._layers:
            reach = 2 * float(self.change_rms.max())
            self._job.give_range(self._tool.variability, -reach, reach)

    def spectra(self, key):
        """The materials' spectra, over all tiles: `endmembers` at the HSI's date, `changed` at the MSI's."""
        import numpy as np

        from ...engine.spectra import Spectra
        total, weight = self._spectra[key]
        x = self._paired.hsi.wavelengths if key == "endmembers" else np.array(
            [band.centre for band in self._setting.responses])
        return Spectra(list(self.names), total / weight, x, True, [f"subpixel:{self._tool.id}"] * len(self.names))

    def give_spectra(self, job):
        for key, output in (("endmembers", self._tool.endmembers), ("changed", self._tool.msi_endmembers)):
            if output and key in self._spectra:
                job.give_spectra(output, self.spectra(key))


class _Strip:
    """
    Rows of a raster that tiles are blended into, held from the first that is not written yet.

    The first tile that reaches a pixel's row brings it in; a row is written when no later tile can reach it.
    """

    def __init__(self, paired, count, writer):
        self._paired, self._count, self._writer, self._top = paired, count, writer, 0
        self._values = self._weights = self._valid = None

    def add(self, tile, part, valid):
        """Blend in `part(rows)` (count, n, m) of a tile; one that is the whole image is written as it is."""
        import numpy as np
        window = tile.window
        if (window.height, window.width) == (self._paired.height, self._paired.width):
            for first in range(0, window.height, ROWS):
                rows = range(first, min(first + ROWS, window.height))
                values = np.empty((self._count, len(rows), window.width), np.float32)
                for start in range(0, len(rows), FEW):
                    values[:, start:start + FEW] = part(slice(rows[start], min(rows[start] + FEW, rows.stop)))
                self._write(first, values, valid[rows.start:rows.stop])
            self._top = window.height
            return
        self._reach(window.row_off + window.height)
        weights = tile.weights.reshape(window.height, window.width).astype(np.float32)
        cols = slice(window.col_off, window.col_off + window.width)
        for first in range(0, window.height, FEW):
            rows = slice(first, min(first + FEW, window.height))
            here = slice(window.row_off + rows.start - self._top, window.row_off + rows.stop - self._top)
            self._values[:, here, cols] += np.asarray(part(rows), dtype=np.float32) * weights[rows]
            self._weights[here, cols] += weights[rows]
            self._valid[here, cols] |= valid[rows]

    def _reach(self, bottom):
        import numpy as np
        held = 0 if self._values is None else self._values.shape[1]
        more = bottom - self._top - held
        if more <= 0:
            return
        width = self._paired.width
        fresh = (np.zeros((self._count, more, width), np.float32), np.zeros((more, width), np.float32),
                 np.zeros((more, width), bool))
        if held:
            fresh = tuple(np.concatenate(pair, axis=-2) for pair in
                          zip((self._values, self._weights, self._valid), fresh))
        self._values, self._weights, self._valid = fresh

    def flush(self, row):
        """Write the rows above `row`, and forget them."""
        import numpy as np
        if row <= self._top:
            return
        self._reach(row)
        for first in range(self._top, row, ROWS):
            part = slice(first - self._top, min(first + ROWS, row) - self._top)
            weights = self._weights[part]
            self._write(first, self._values[:, part] / np.where(weights > 0, weights, 1), self._valid[part])
        done = row - self._top
        self._values, self._weights, self._valid = (
            self._values[:, done:].copy(), self._weights[done:].copy(), self._valid[done:].copy())
        self._top = row

    def _write(self, first, values, valid):
        from rasterio.windows import Window
        valid = valid.ravel()
        values = values.reshape(self._count, -1)
        self._writer.write(Window(0, first, self._paired.width, valid.size // self._paired.width),
                           values if valid.all() else values[:, valid], valid)


def np_square_sum(values):
    """Sum of squares over all but the first axis."""
    import numpy as np
    return np.einsum("kn,kn->k", *[values.reshape(len(values), -1)] * 2)
