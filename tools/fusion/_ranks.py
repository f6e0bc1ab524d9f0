"""What the fusion tools share that describe a scene by its ranks along rows, columns and bands."""

from ...engine.declare import Integer
from . import _fusion

NUMBERS = 60   # per pixel of the fused image that a decomposition of these ranks holds


def rank(name, label, of, default):
    return Integer(name, label, optional=True, minimum=1, maximum=10000, advanced=True,
                   help=f"How many patterns along {of}, from 1; no more than a tile has are used. Empty: {default}.")


def scene(space, bands):
    """Ranks of the scene along rows, columns and bands; what they are by default."""
    return (rank("RANKROWS", "Rank of the rows", "the rows describe the scene", space),
            rank("RANKCOLS", "Rank of the columns", "the columns describe the scene", space),
            rank("RANKBANDS", "Rank of the bands", "the bands (spectra) describe the scene", bands))


def change(space, bands):
    """The same of what changed from one date to the other."""
    return (rank("CHANGEROWS", "Rank of the change's rows", "the rows describe what changed", space),
            rank("CHANGECOLS", "Rank of the change's columns", "the columns describe what changed", space),
            rank("CHANGEBANDS", "Rank of the change's bands", "the multispectral bands describe what changed", bands))


class TuckerTool(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, by low ranks along rows, columns and bands."""

    low_rank, numbers = True, NUMBERS

    def ranks(self, job, parameters, default, pair, bands):
        """Ranks (R1, R2, R3) as given, where they are not the default ones, cut to the pair's size."""
        _, I, J = pair.msi.shape
        return tuple(ready if job.value(parameter) is None else min(job.value(parameter), most)
                     for parameter, ready, most in zip(parameters, default, (I, J, bands)))
