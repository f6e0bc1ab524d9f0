"""What the tools that simulate do with a spectral library: complete it, sort it by material, draw from it."""

from dataclasses import replace

from ...engine.sentences import phrase
from .. import _shared

GAPS = 0.5   # a band missing in a larger share of the spectra goes, rather than these spectra


def complete(job, library):
    """The library without missing values: bands that most spectra lack are left out, then spectra that lack others."""
    import numpy as np

    from ...engine.sentences import UserError
    missing = ~np.isfinite(library.M)
    bands = missing.mean(axis=1) <= GAPS
    if not bands.all():
        job.say("Left out {count} bands in which most spectra have no value.", count=int((~bands).sum()))
    usable = ~missing[bands].any(axis=0) & np.nan_to_num(library.M[bands]).any(axis=0)
    if not usable.all():
        gone = [name for name, good in zip(library.names, usable) if not good]
        job.say("Left out {count} spectra with missing values or zeros alone: {names}.", count=len(gone),
                names=", ".join(gone[:10]) + (", ..." if len(gone) > 10 else ""))
    if bands.sum() < 2 or usable.sum() < 2:
        raise UserError("The library has {spectra} complete spectra over {bands} bands, and a scene needs at least 2 "
                        "of each. Choose another library.", spectra=int(usable.sum()), bands=int(bands.sum()))
    chosen = library.select(np.flatnonzero(usable).tolist())
    return replace(chosen, M=chosen.M[bands], x=chosen.x[bands])


def by_material(job, library, field):
    """The library's spectra that have a material, the materials' names, and the number (K,) of each one's material."""
    import numpy as np

    from ...engine.sentences import UserError
    values = _shared.materials(library, field, "the spectral library")
    named = [number for number, value in enumerate(values) if value]
    if len(named) < library.P:
        job.say("Left out {count} spectra without a value in the field {field}.", count=library.P - len(named),
                field=field)
    names = list(dict.fromkeys(values[number] for number in named))
    if len(names) < 2:
        raise UserError("The field {field} names {count} materials, and a scene needs at least 2. Choose another field "
                        "of materials, or a library of more.", field=field, count=len(names))
    if len(names) == len(named):
        job.warn("Each material of the field {field} has one spectrum only, so nothing varies. Give several spectra "
                 "the same material.", field=field)
    return library.select(named), names, np.array([names.index(values[number]) for number in named])


def mean_spectra(library, names, material):
    """The mean spectrum of each material as `Spectra`; `material` (K,) numbers it for each of the library's."""
    import numpy as np

    from ...algorithms.simulate.variability import bundle_means
    return replace(library, names=names, M=bundle_means(library.M, material), points=None, attributes=None,
                   sources=[f"mean of {count} spectra" for count in np.bincount(material)])


def draw(job, rng, library, count, angle):
    """Spectra that differ by `angle` degrees at least, `count` of them or 0 for all, as `Spectra`."""
    return library.select(_chosen(job, rng, library, phrase("spectra"), count, angle))


def draw_bundles(job, rng, library, field, count, angle):
    """
    Materials whose mean spectra differ by `angle` degrees at least, `count` of them or 0 for all.

    Returns
    -------
    means : Spectra
    members : ndarray (L, K)
        The spectra of these materials.
    material : ndarray (K,) of int
        The number of each one's material.
    """
    import numpy as np
    library, names, material = by_material(job, library, field)
    chosen = _chosen(job, rng, mean_spectra(library, names, material), phrase("materials"), count, angle)
    kept = np.flatnonzero(np.isin(material, chosen))
    library, material = library.select(kept.tolist()), np.searchsorted(chosen, material[kept])
    return mean_spectra(library, [names[k] for k in chosen], material), library.M, material


def _chosen(job, rng, library, what, count, angle):
    """Columns of spectra that differ enough, as many as asked for, in order; `what` they are."""
    import numpy as np

    from ...algorithms.simulate.scene import prune_library
    from ...engine.sentences import UserError
    if count == 1:
        raise UserError("The number of endmembers is 1; a mixture needs at least 2, or 0 for all of the library.")
    different = prune_library(library.M, np.radians(angle))
    if len(different) < max(count, 2):
        raise UserError("{different} of the library's {all} {what} differ by at least {angle} degrees, and "
                        "{count} are needed. Ask for a smaller angle or fewer endmembers, or choose a larger "
                        "library.",
                        different=len(different), all=library.P, what=what, angle=f"{angle:g}",
                        count=max(count, 2))
    if len(different) < library.P:
        job.say("{different} of the library's {all} {what} differ by at least {angle} degrees.",
                different=len(different), all=library.P, what=what, angle=f"{angle:g}")
    drawn = rng.choice(different, count, replace=False) if count else different
    return sorted(drawn.tolist())
