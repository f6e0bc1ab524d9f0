"""Zones of pixels that share what is learned for them, and the state at the last image where it is known."""

from ...engine.declare import RasterInput

GOLDEN = 0.6180339887498949   # multiples of which are spread evenly over fractions of one
MOST_ZONES = 200

ZONES = RasterInput("ZONES", "Zones", spectral=False, optional=True, help="Raster of whole numbers on the images' "
                    "grid, one band: pixels of one number share what is learned. Nodata: outside of all zones, and "
                    "nodata in the results. At most 200 zones. Empty: all pixels are one zone, number 1.")


class FinalState:
    """A raster of the state at the last image, in the components of a `_model.Model`; known of some pixels."""

    def __init__(self, sequence, scene, model):
        import numpy as np

        from ...engine.sentences import UserError
        from ...engine.sequences import check_same_place
        from ..multitemporal._sequence import orders_by_name
        check_same_place(sequence.grid, scene)
        if scene.count != sequence.grid.count:
            raise UserError("The final state has {count} bands, and the images have {bands}. Choose a raster of the "
                            "images' bands (FINALSTATE).", count=scene.count, bands=sequence.grid.count)
        scene.keep(np.isin(scene.indexes, sequence.grid.indexes))
        self.scene, self.fractions = scene, model.fractions
        self.order = orders_by_name([sequence.grid, scene])[1] if model.fractions else slice(None)

    def read(self, window):
        """The state, and whether it is known (1 or 0), as rows (m + 1, n); 0 where it is not."""
        import numpy as np

        from ...algorithms.state_estimation.simplex import to_basis
        values, valid = self.scene.read(window)
        state = values[self.order].T
        state = to_basis(state) if self.fractions else state
        known = valid & np.isfinite(state).all(axis=1)
        return np.concatenate([np.where(known[:, None], state, 0).T, known[None]]).astype(np.float32)


def final_state(Y, L):
    """The states (n, m) at the last image in pixels `Y` of `Zoned` of L bands, NaN where not known; or None."""
    import numpy as np
    return None if Y.shape[1] == L + 1 else np.where(Y[0, -2] == 1, Y[0, L:-2], np.nan).T


class Zoned:
    """
    A sequence whose pixels have further rows behind their bands: the last is the number of their zone among `classes`,
    from 0, and with a `final` state there are its rows before (`final_state`).

    Pixels outside of all zones are not valid. Where no classes are given, `sample` finds them, before blocks are read.
    """

    def __init__(self, sequence, scene, classes=None, final=None):
        from ...engine.sentences import UserError
        from ...engine.sequences import check_same_place
        self.sequence, self.scene, self.classes, self.final = sequence, scene, classes, final
        self.T, self.L, self.grid = sequence.T, sequence.L, sequence.grid
        self.names, self.windows = sequence.names, sequence.windows
        if scene is not None:
            check_same_place(sequence.grid, scene)
            if scene.L != 1:
                raise UserError("The raster of zones has {count} bands, and one of whole numbers is needed. Choose "
                                "another (ZONES).", count=scene.L)

    def _beside(self, positions):
        """Class (n,) of the pixels at row-major `positions` of a window, NaN outside of zones, and rows of `final`."""
        import numpy as np
        from rasterio.windows import Window
        rows, cols = np.divmod(positions, self.grid.width)
        window = Window(cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1)
        state = np.empty((0, len(positions)), np.float32) if self.final is None else self.final.read(window)
        if self.scene is None:
            return np.ones(len(positions)), state
        value, valid = self.scene.read(window)
        return np.where(valid, value[0], np.nan), state

    def map_blocks(self, function, windows=None, progress=None):
        import numpy as np

        def block(Y, valid, positions):
            zone, state = self._beside(positions)
            number = np.searchsorted(self.classes, np.nan_to_num(zone))
            return function(_with_rows(Y, state, number), valid & np.isin(zone, self.classes), positions)
        yield from self.sequence.map_blocks(block, windows, progress)

    def sample(self, most, progress):
        """
        At most `most` pixels of each zone, `(Y (T, rows, S), valid (T, S))`; of given classes, of these only.

        With a `final` state they are of those of which it is known.
        """
        import numpy as np

        from ...engine.sentences import UserError

        def block(Y, valid, positions):
            zone, state = self._beside(positions)
            found, order = {}, positions * GOLDEN % 1 + ~valid[0]
            inside = np.isfinite(zone) & valid.any(axis=0)
            if self.classes is not None:
                inside &= np.isin(zone, self.classes)
            taken = inside if self.final is None else inside & (state[-1] == 1)
            for each in np.unique(zone[inside]):
                if each != int(each):
                    raise UserError("The raster of zones has the value {value}, which is no whole number. Choose a "
                                    "raster of classes (ZONES).", value=f"{each:.6g}")
                at = np.flatnonzero(taken & (zone == each))
                at = at[np.argsort(order[at], kind="stable")[:most]]
                found[int(each)] = (order[at], np.where(valid[:, None, at], Y[:, :, at], 0), valid[:, at],
                                    state[:, at])
            return found

        zones = {}
        for _, found in self.sequence.map_blocks(block, progress=progress):
            for each, parts in found.items():
                if each in zones:
                    parts = [np.concatenate(pair, axis=-1) for pair in zip(zones[each], parts)]
                kept = np.argsort(parts[0], kind="stable")[:most]
                zones[each] = [part[..., kept] for part in parts]
            if len(zones) > MOST_ZONES:
                raise UserError("The raster of zones has more than {most} zones. Choose one of classes, or merge some "
                                "(ZONES).", most=MOST_ZONES)
        if not zones:
            raise UserError("No pixel of any zone has a value in any image. Choose other zones (ZONES), or other "
                            "images.")
        self.classes, found = self.classes or sorted(zones), sorted(zones)
        for each in found:
            if not zones[each][0].size:
                raise UserError("No pixel of zone {zone} has a final state and a value in any image. Choose another "
                                "raster of final states (FINALSTATE), or leave the zone out (ZONES).", zone=each)
        Y = [_with_rows(zones[each][1], zones[each][3], np.full(len(zones[each][0]), self.classes.index(each)))
             for each in found]
        return np.concatenate(Y, axis=2), np.concatenate([zones[each][2] for each in found], axis=1)


def _with_rows(Y, state, number):
    """Pixels `Y` (T, L, n) with the same rows at all dates behind their bands."""
    import numpy as np
    rows = np.concatenate([state, number[None]]).astype(np.float32)
    return np.concatenate([Y, np.broadcast_to(rows, (len(Y), *rows.shape))], axis=1)
