"""What every tool does whose endmembers differ from pixel to pixel: a reference, tiles, maps, spectra, a report."""

import contextlib
from dataclasses import replace

from ...engine.declare import (Choice, Flag, FolderOutput, Group, Integer, RasterOutput, Real, SpectraOutput, Style,
                               Tool)
from .. import _shared

RESTARTS = 10        # runs of vertex component analysis that find a reference where none is given
FAR = 1.0            # a mean departure from which the reference means little
PURE = 0.5           # a pixel shows an endmember's spectrum where its fraction is above this
SHOWN = 2000         # such pixels per endmember, at most, from which the report takes percentiles
PERCENTILES = (5, 50, 95)
COPIES = 3           # of the data: as they are read, scaled, and on the way from one to the other
PIECE = 2048         # pixels whose reconstruction is compared at once
BLOCK = 256          # side of the blocks of the files that endmembers are written to

EXACT = Flag("EXACT", "Exact step for endmembers", default=False, advanced=True, help="Solve for endmembers that are "
             "not negative exactly, so that no iteration raises the cost; slower. Otherwise negative values are set "
             "to zero, as published. Default no.")

START = Choice("START", "Start", default="scaled", advanced=True, options={
    "scaled": "Fractions of scaled least squares, each pixel with the brightness that it finds",
    "scls": "Fractions of scaled least squares, each pixel as bright as the reference",
    "fcls": "Fractions of fully constrained least squares"},
    help="Which abundances and brightness the iteration starts from; the result depends on it. Where brightness hardly "
         "varies, take fcls. Default scaled.")


def weight(name, label, default, help, optional=False):
    """A weight of a method's cost; an `optional` one may be zero."""
    return Real(name, label, default=default, minimum=0.0 if optional else 1e-12, maximum=1e12,
                help=f"{help} No unit, for data divided by the endmembers' largest value; "
                     f"{'0 switches it off' if optional else 'above 0'}. Default {default:g}.")


iterations = _shared.iterations


def tolerance(default, of="the abundances and what describes the endmembers change"):
    return Real("TOLERANCE", "Tolerance", default=default, minimum=0.0, maximum=1.0, advanced=True,
                help=f"The run ends when {of} by less than this share of itself, 0 to 1; 0 goes through all "
                     f"iterations. Default {default:g}.")


class WholeSceneTool(Tool):
    """Abundances near given or found endmembers, by a method that needs the whole scene or large tiles of it."""

    group = Group.VARIABILITY
    tags = ("unmixing", "abundance", "fraction", "spectral variability", "endmember variability", "illumination",
            "endmember", "sub-pixel", "spectral mixture analysis", "SMA")
    image = _shared.INPUT
    endmembers = replace(_shared.ENDMEMBERS, label="Reference endmembers", optional=True, help="Layer of spectra (a "
                         "feature each, with the fields name and profile), in the raster's units: what each pixel's "
                         "endmembers depart from. None: vertex component analysis finds them, as many as the number "
                         "of endmembers, with the random seed.")
    count = replace(_shared.COUNT, help="How many materials to look for where no reference endmembers are given: at "
                    "least 2, at most the number of bands. HySime estimates it. Not used where they are given.")
    bands, seed = _shared.BANDS, _shared.SEED
    side = Integer("TILESIDE", "Largest side of a tile (pixels)", optional=True, minimum=64, maximum=1000000,
                   advanced=True, help="A larger scene is processed in tiles of this side, which overlap by 32 pixels "
                   "and are blended there. Empty: the whole scene at once where it fits into half of the free memory, "
                   "else the largest tile that does.")
    iterations, tolerance = iterations(100), tolerance(1e-3)
    abundances = _shared.ABUNDANCES
    reference = SpectraOutput("REFERENCE", "Reference endmembers used", create=False, help="Layer with the reference "
                              "spectra: those given, on the raster's bands, or those that vertex component analysis "
                              "found, at the pixels they were taken from.")
    rmse, sam, report = _shared.RMSE, _shared.SAM, _shared.REPORT
    variability = pixel_endmembers = None   # outputs that only tools with spectral variability have
    example = {"INPUT": "scene", "ENDMEMBERS": "endmembers"}

    numbers = 0   # per band, endmember and pixel that the method holds, in the type of the data

    def method(self, job, scene, spectra, pixels):
        """
        The method with the tool's own parameters, and whatever it learns from the whole scene first.

        Parameters
        ----------
        spectra : Spectra
            The reference endmembers on the scene's bands.
        pixels : callable() -> Pixels
            The scene's valid pixels as a stream.

        Returns
        -------
        callable(Y, M0, shape, valid, iterations=, tolerance=, callback=) -> VariableUnmixing
        """
        raise NotImplementedError(f"{type(self).__name__} names no method")

    def bytes_per_pixel(self, job, scene, P):
        """Memory that a tile takes."""
        size = 8 if scene.dtype == "float64" else 4
        return size * scene.L * (COPIES + self.numbers * P) + 8 * P * (20 + 4 * P)

    def maps(self, job, found, valid):
        """Further maps (P, N) of a tile, by the raster output that they belong to or by a name for the report."""
        return {}

    def note(self, found):
        """What else to keep of a tile, by names; small, for a scene may have many."""
        return {}

    def settle(self, job, scene, spectra, notes):
        """Give outputs that only this tool has; `notes` are those of the tiles, with their number of `pixels`."""

    def remarks(self, notes):
        """Sentences for the report on what was estimated on the way; `notes` are those of the tiles."""
        return []

    def figures(self, report, names, whole):
        """Sections of the report that only this tool has; `whole.drawn(name)` gives the maps named in `maps`."""

    def run(self, job):
        scene = job.scene(self.image)
        spectra = self._reference(job, scene)
        M0 = spectra.M
        tiles = self._tiles(job, scene, spectra.P)
        job.say("{bands} bands, {count} endmembers: {names}.", bands=scene.L, count=spectra.P,
                names=", ".join(spectra.names))
        solve = self.method(job, scene, spectra, lambda: scene.pixels())
        whole, notes = _Whole(scene, spectra.P, job.wants(self.report)), []
        limit = job.value(self.iterations)
        with contextlib.ExitStack() as stack:
            files = self._open(job, scene, spectra, stack)
            for number, tile in enumerate(tiles):
                Y, valid = scene.read(tile.window)
                core = valid & tile.in_core
                if not core.any():
                    continue
                found = solve(Y, M0, (tile.window.height, tile.window.width), valid, iterations=limit,
                              tolerance=job.value(self.tolerance),
                              callback=lambda iteration, cost, number=number: job.progress(
                                  number * (limit + 1) + iteration, len(tiles) * (limit + 1)))
                whole.add(tile, found, Y, valid, {"A": found.A, **self.maps(job, found, valid)} | (
                    {"departure": found.departure()} if self.variability else {}))
                _write_core(files, tile, found, valid)
                notes.append({"iterations": found.iterations, "converged": found.converged, "costs": found.costs,
                              "pixels": int(core.sum()), **self.note(found)})
                del found
        if not notes:
            _shared.nothing_valid(scene)
        self._say_how_it_ended(job, notes)
        maps = {key: whole.map(key) for key in whole.maps}
        self._write(job, self.abundances, scene, spectra.names, maps["A"], whole.valid)
        if self.variability:
            self._write(job, self.variability, scene, spectra.names, maps["departure"], whole.valid)
        for output in maps:
            if isinstance(output, RasterOutput):
                self._write(job, output, scene, spectra.names, maps[output], whole.valid)
        job.give_spectra(self.reference, spectra, scene)
        rmse, angle = whole.errors()
        job.give_number(self.rmse, rmse)
        job.give_number(self.sam, angle)
        self.settle(job, scene, spectra, notes)
        if self.variability:
            self._warn_of_strangers(job, spectra, whole.departures())
        self._report(job, scene, spectra, whole, maps, notes, rmse, angle)
        job.progress(1, 1)

    # before

    def _reference(self, job, scene):
        """The reference endmembers on the scene's bands: those given, or found by vertex component analysis."""
        import numpy as np

        from ...algorithms.abundances.linear_model import check_endmembers
        from ...algorithms.endmembers.vca import vca
        from ...algorithms.pixels import moments as moments_of
        from ...engine.spectra import of_scene
        spectra = job.spectra(self.endmembers)
        if spectra is not None:
            M = spectra.to_scene(scene, job.say)
            check_endmembers(M, spectra.names)
            return of_scene(scene, M, spectra.names, spectra.sources)
        count, pixels = job.value(self.count), scene.pixels()
        job.say("No reference endmembers are given: vertex component analysis looks for {count}.", count=count)
        moments = moments_of(pixels) if any(True for _ in pixels) else _shared.nothing_valid(scene)
        found = vca(pixels, count, np.random.default_rng(job.value(self.seed)), moments, restarts=RESTARTS)
        positions = [pixels.locate(index) for index in found.indices]
        return of_scene(scene, np.maximum(found.E, 0), _shared.numbered(count),
                        [_shared.pixel_source(scene, *at) for at in positions], positions)

    def _tiles(self, job, scene, P):
        from ...engine.memory import available, need
        from ...engine.tiles import tile_side, tiles
        each = self.bytes_per_pixel(job, scene, P)
        result = 4 * scene.width * scene.height * P * 4
        need(result, "Clip the raster.")
        side = job.value(self.side) or tile_side(scene.width, scene.height, each)
        made = tiles(scene.width, scene.height, side)
        free = available()
        largest = max(tile.window.width * tile.window.height for tile in made)
        job.say("The whole scene takes about {whole} GB of memory at once; {free} GB are free." if len(made) == 1 else
                "The whole scene takes about {whole} GB of memory at once; {free} GB are free. It is processed in "
                "{count} tiles of {needed} GB.", whole=f"{scene.width * scene.height * each / 1e9:.2f}",
                free="?" if free is None else f"{free / 1e9:.1f}", count=len(made),
                needed=f"{largest * each / 1e9:.2f}")
        need(largest * each, "Use smaller tiles or fewer bands.")
        return made

    # after

    def _open(self, job, scene, spectra, stack):
        """Writers for the endmembers of every pixel, and which endmember each is for."""
        if not (self.pixel_endmembers and job.wants(self.pixel_endmembers)):
            return []
        names = scene.band_names
        return [(stack.enter_context(job.folder_raster(self.pixel_endmembers, name, scene, names,
                                                       wavelengths=scene.wavelengths, fwhm=scene.fwhm)), p)
                for p, name in enumerate(spectra.names)]

    def _say_how_it_ended(self, job, notes):
        unsettled = sum(not note["converged"] for note in notes)
        most = max(note["iterations"] for note in notes)
        if not unsettled:
            job.say("Settled after {iterations} iterations." if len(notes) == 1 else
                    "Settled in every tile, after {iterations} iterations at most.", iterations=most)
        elif len(notes) == 1:
            job.warn("The result was still changing after {iterations} iterations: allow more, or a larger tolerance.",
                     iterations=most)
        else:
            job.warn("{count} of {all} tiles were still changing after {iterations} iterations: allow more, or a "
                     "larger tolerance.", count=unsettled, all=len(notes), iterations=most)

    def _warn_of_strangers(self, job, spectra, departures):
        """Tell the user where spectra have little left of their reference."""
        far = [f"{name} ({100 * value:.0f} %)" for name, value in zip(spectra.names, departures) if value > FAR]
        if far:
            job.warn("These spectra depart from their references by more than their own size: {names}. A dark "
                     "reference (water, shadow) is scaled up to explain bright pixels then, and its fractions mean "
                     "little. Give reference endmembers of your own, or take fcls as the start.", names=", ".join(far))

    def _write(self, job, output, scene, names, values, valid):
        import numpy as np
        from rasterio.windows import Window
        if not job.wants(output):
            return
        with job.raster(output, scene, names) as file:
            file.write(Window(0, 0, scene.width, scene.height), values[:, valid], valid)
        if output.style in (Style.DEPARTURE, Style.SCALING):
            seen = values[:, valid]
            seen = seen[np.isfinite(seen)]
            job.give_range(output, *(np.percentile(seen, [2, 98]) if seen.size else (0, 1)))

    def _report(self, job, scene, spectra, whole, maps, notes, rmse, angle):
        report = job.report(self.report)
        if not report:
            return
        A = maps["A"][:, whole.valid]
        report.numbers(Endmembers=spectra.P, Bands=scene.L, Pixels=int(whole.valid.sum()), RMSE_in_input_units=rmse,
                       Mean_spectral_angle_in_degrees=angle, Iterations=max(note["iterations"] for note in notes),
                       Settled=all(note["converged"] for note in notes), Tiles=len(notes))
        heads = ["Endmember", "Mean fraction", "Standard deviation"]
        columns = [spectra.names, A.mean(axis=1), A.std(axis=1)]
        if self.variability:
            heads.append("Mean departure, weighted by the fraction")
            columns.append(whole.departures())
        report.heading("Fractions" + (", and how much each material's spectrum varies" if self.variability else ""))
        report.table(heads, zip(*columns))
        for words in self.remarks(notes):
            report.paragraph(words)
        _shared.add_composite(job, report, self.abundances, spectra.names)
        if self.variability:
            whole.add_spectra(report, spectra)
            report.heading("Where spectra depart from the reference")
            report.maps(dict(zip(spectra.names, whole.drawn("departure"))), "Relative departure")
        else:
            report.spectra(spectra)
        self.figures(report, spectra.names, whole)
        if len(notes) == 1:
            costs = notes[0]["costs"]
            report.curve(range(len(costs)), costs, "Cost (of data divided by the endmembers' largest value)",
                         "Iteration", "Cost", logarithmic=bool((costs > 0).all()))
        job.give_report(self.report, report)


class VariabilityTool(WholeSceneTool):
    """Abundances, with endmembers that differ from pixel to pixel."""

    variability = RasterOutput("VARIABILITY", "Variability", style=Style.DEPARTURE, help="Raster with a band per "
                               "endmember: how much its spectrum departs in each pixel from the reference, as the root "
                               "mean square of the difference over the bands, relative to that of the reference. 0.1 "
                               "is ten per cent; it means little where the endmember's fraction is near zero.")
    pixel_endmembers = FolderOutput("PIXELENDMEMBERS", "Endmembers of every pixel", style=Style.SPECTRAL, create=False,
                                    advanced=True, help="Folder with one raster per endmember, named after it: its "
                                    "spectrum in every pixel, on the raster's bands and in its units. Each is as large "
                                    "as the image. Of a scene in tiles they are each tile's own, not blended. Other "
                                    "files in the folder stay, those of earlier runs too.")


class _Whole:
    """The scene put together from its tiles."""

    def __init__(self, scene, P, with_spectra):
        import numpy as np
        self._scene, self._P, self.maps = scene, P, {}
        self.valid = np.zeros(scene.width * scene.height, dtype=bool)
        self._weights = np.zeros((scene.height, scene.width), dtype=np.float32)
        self._squares = self._angles = self._seen = self._values = 0
        self._pure = [_Sample(SHOWN) for _ in range(P)] if with_spectra else []

    def add(self, tile, found, Y, valid, maps):
        """Blend a tile's maps in, and take its errors and purest spectra where its core is."""
        import numpy as np
        rows, cols = tile.window.toslices()
        shape = self._scene.height, self._scene.width
        for key, values in maps.items():
            if key not in self.maps:
                self.maps[key] = np.zeros((len(values), *shape), dtype=np.float32)
            self.maps[key][:, rows, cols] += (values * tile.weights).reshape(len(values), tile.window.height, -1)
        self._weights[rows, cols] += tile.weights.reshape(tile.window.height, -1)
        core = valid & tile.in_core
        self.valid.reshape(shape)[rows, cols] |= core.reshape(tile.window.height, -1)
        self._measure(found, Y, np.flatnonzero(core))
        self._collect(found, core)

    def _measure(self, found, Y, pixels):
        import numpy as np
        for start in range(0, pixels.size, PIECE):
            part = pixels[start:start + PIECE]
            y, fit = Y[:, part].astype(np.float64), found.reconstruction(part).astype(np.float64)
            self._squares += float(np.square(y - fit).sum())
            self._values += y.size
            along = np.einsum("ln,ln->n", y, fit)
            size = np.linalg.norm(y, axis=0) * np.linalg.norm(fit, axis=0)
            angle = np.arccos(np.clip(along[size > 0] / size[size > 0], -1, 1))
            self._angles, self._seen = self._angles + float(angle.sum()), self._seen + angle.size

    def _collect(self, found, core):
        import numpy as np
        for p, sample in enumerate(self._pure):
            pure = np.flatnonzero(core & (found.A[p] > PURE))
            sample.add(pure, lambda chosen, p=p: found.endmembers(chosen)[p].copy())

    def map(self, key):
        """A map (P, N) of the whole scene. A tile without data gave none: its neighbours count in full then."""
        import numpy as np
        weights = np.where(self._weights > 0, self._weights, 1)
        return (self.maps[key] / weights).reshape(len(self.maps[key]), -1)

    def drawn(self, key):
        """The same as images (P, rows, cols), NaN where there are no data."""
        import numpy as np
        return np.where(self.valid, self.map(key), np.nan).reshape(-1, self._scene.height, self._scene.width)

    def departures(self):
        """Mean departure of each endmember's spectra, weighted by its fractions: (P,)."""
        import numpy as np
        A, D = self.map("A")[:, self.valid], self.map("departure")[:, self.valid]
        return np.nansum(A * D, axis=1) / np.maximum(A.sum(axis=1), 1e-12)

    def errors(self):
        """RMSE, and mean spectral angle in degrees."""
        import numpy as np
        return (self._squares / max(self._values, 1)) ** 0.5, float(np.degrees(self._angles / max(self._seen, 1)))

    def add_spectra(self, report, spectra):
        """Each reference, and between which percentiles the pixels' spectra lie."""
        import numpy as np
        bands = [None if sample.columns is None else np.percentile(sample.columns, PERCENTILES, axis=1)
                 for sample in self._pure]
        report.bands(spectra, bands, "Endmember spectra: reference (dashed), and what pixels with more than half of "
                     "the material show (median, 5th to 95th percentile)")


class _Sample:
    """At most `size` columns of what comes by, each as likely as any other to be among them."""

    def __init__(self, size):
        import numpy as np
        self.columns, self._size, self._order, self._rng = None, size, np.empty(0), np.random.default_rng(0)

    def add(self, candidates, take):
        """Draw from `candidates`; `take` gives the columns (L, n) of some of them."""
        import numpy as np
        order = self._rng.random(candidates.size)
        limit = np.sort(np.concatenate([self._order, order]))[:self._size]
        chosen = order <= limit[-1] if limit.size else np.zeros(0, dtype=bool)
        if not chosen.any():
            return
        kept = self._order <= limit[-1]
        new = take(candidates[chosen])
        self.columns = new if self.columns is None else np.concatenate([self.columns[:, kept], new], axis=1)
        self._order = np.concatenate([self._order[kept], order[chosen]])


def _write_core(files, tile, found, valid):
    """
    The endmembers in the core of a tile, to the files of each.

    Blocks of the files are filled one after another: to come back to one would mean to pack it again.
    """
    import numpy as np
    from rasterio.windows import Window
    if not files:
        return
    core, width = tile.core, tile.window.width
    for top in _cuts(core.row_off, core.height):
        for left in _cuts(core.col_off, core.width):
            rows = np.arange(top.start, top.stop) - tile.window.row_off
            cols = np.arange(left.start, left.stop) - tile.window.col_off
            pixels = (rows[:, None] * width + cols).ravel()
            known = valid[pixels]
            spectra = found.endmembers(pixels[known])
            window = Window(left.start, top.start, len(left), len(top))
            for file, p in files:
                file.write(window, spectra[p], known)


def _cuts(first, length):
    """The range from `first`, cut where the blocks of a file end."""
    edges = sorted({first, first + length, *range(-(-first // BLOCK) * BLOCK, first + length, BLOCK)})
    return [range(*pair) for pair in zip(edges, edges[1:])]
