"""The tool `compareendmembers`."""

from ...engine.declare import Group, NumberOutput, SpectraInput, TableOutput, Tool
from .. import _shared
from ._pairs import MATCH, pairs


class CompareEndmembers(Tool):
    """Mean spectral angle between endmembers and reference spectra, each paired with its own.

    The spectral angle distance (SAD) ignores brightness: a spectrum and its double are the same. The report gives the
    angle of every pair, in radians as the papers do and in degrees, beside the angle of the spectra after each is
    centred and divided by its standard deviation (z-scored), which some published tables hold instead.

    With wavelengths on both sides the reference is resampled to the endmembers' bands where both have values. Without,
    both need the same number of bands."""

    id = "compareendmembers"
    label = "Compare endmembers with a reference"
    group = Group.CHECK
    tags = ("accuracy", "validation", "spectral angle", "SAD", "SAM", "endmember", "reference", "error", "quality",
            "spectra")
    citation = ("Abdelgawad, Cheung and Yan, Efficient Blind Hyperspectral Unmixing Framework Based on CUR "
                "Decomposition (CUR-HU), Remote Sensing 16(5), 2024, eq. 24")
    prefer = "When the true spectra of the materials are known. For fractions take Compare abundances."
    doi = ("10.3390/rs16050766",)

    endmembers = SpectraInput("ENDMEMBERS", "Endmembers", help="Layer of spectra (a feature each, with the fields name "
                              "and profile) to be judged, in any unit.")
    reference = SpectraInput("REFERENCE", "Reference spectra", help="Layer of the true spectra, in any unit: angles do "
                             "not depend on it.")
    match = MATCH
    sad = NumberOutput("SAD", "Mean spectral angle (radians)", help="Angle between an endmember and its reference, "
                       "averaged over the pairs: 0 is perfect, and 0.1 radians are 5.7 degrees.")
    table = TableOutput("TABLE", "Angle of each endmember", create=False, help="Table with one row per endmember "
                        "compared: reference, endmember, sad and zscored_sad in radians.")
    report = _shared.REPORT
    example = {"ENDMEMBERS": "endmembers", "REFERENCE": "endmembers"}

    def run(self, job):
        import numpy as np

        from ...algorithms.check.metrics import sad, zscored_sad
        estimate, reference = on_common_bands(job, job.spectra(self.endmembers), job.spectra(self.reference))
        cost = np.stack([sad(np.broadcast_to(m[:, None], estimate.M.shape), estimate.M) for m in reference.M.T])
        found = pairs(job, job.value(self.match), reference.names, estimate.names, cost)
        reference, estimate = reference.select([p for p, _ in found]), estimate.select([q for _, q in found])
        angles, zscored = sad(reference.M, estimate.M), zscored_sad(reference.M, estimate.M)
        job.give_number(self.sad, float(angles.mean()))
        for name, other, angle in zip(reference.names, estimate.names, angles):
            job.say("{reference}: {endmember} differs by {angle} radians ({degrees} degrees).", reference=name,
                    endmember=other, angle=f"{angle:.4f}", degrees=f"{np.degrees(angle):.2f}")
        columns = ("reference", "endmember", "sad", "zscored_sad")
        rows = zip(reference.names, estimate.names, angles, zscored)
        job.give_table(self.table, [dict(zip(columns, row)) for row in rows])
        report = job.report(self.report)
        if report:
            report.numbers(Mean_SAD_in_radians=float(angles.mean()),
                           Mean_SAD_in_degrees=float(np.degrees(angles.mean())),
                           Mean_z_scored_SAD_in_radians=float(zscored.mean()), Bands=len(estimate.x))
            report.heading("Spectral angle of each pair")
            report.table(["Reference", "Endmember", "SAD (radians)", "SAD (degrees)", "z-scored SAD (radians)"],
                         zip(reference.names, estimate.names, angles, np.degrees(angles), zscored))
            add_overlay(report, reference, estimate)
            job.give_report(self.report, report)


def on_common_bands(job, estimate, reference):
    """
    Both sets of spectra on the bands that they share: `(estimate, reference)`, two `Spectra` on one grid.

    Bands in which a spectrum has no value are left out, with a message.

    Raises
    ------
    UserError
        Fewer than two bands in common, other band counts without wavelengths, or a spectrum of zeros.
    """
    from dataclasses import replace

    import numpy as np

    from ...engine.sentences import UserError
    from ...engine.spectra import SAME_WAVELENGTH, resample
    if estimate.wavelengths and reference.wavelengths:
        low, high = reference.x.min() - SAME_WAVELENGTH, reference.x.max() + SAME_WAVELENGTH
        shared = (estimate.x >= low) & (estimate.x <= high)
        if shared.sum() < 2:
            raise UserError("The endmembers cover {first}-{last} nm, the reference {start}-{end} nm: they do not "
                            "overlap. Choose a reference for the same range.",
                            first=round(float(estimate.x.min())), last=round(float(estimate.x.max())),
                            start=round(float(reference.x.min())), end=round(float(reference.x.max())))
        x, M = estimate.x[shared], estimate.M[shared]
        other = resample(reference.x, reference.M, x)
    elif len(estimate.x) == len(reference.x):
        x, M, other = estimate.x, estimate.M, reference.M
    else:
        raise UserError("The endmembers have {bands} values and the reference has {others}, and not both have "
                        "wavelengths to match them by. Choose spectra of the same bands, or add wavelengths.",
                        bands=len(estimate.x), others=len(reference.x))
    known = np.isfinite(M).all(axis=1) & np.isfinite(other).all(axis=1)
    if known.sum() < 2:
        raise UserError("The endmembers and the reference share {count} bands in which all have values; at least 2 are "
                        "needed. Leave out the spectra with gaps.", count=int(known.sum()))
    if known.sum() < len(estimate.x):
        job.say("Compared over {count} of the endmembers' {bands} bands: the others lack a value.",
                count=int(known.sum()), bands=len(estimate.x))
    M, other = M[known], other[known]
    for spectra, values in ((estimate, M), (reference, other)):
        empty = np.flatnonzero(~values.any(axis=0))
        if empty.size:
            raise UserError("The spectrum {name} is zero in every band compared, so it has no direction. Leave it out.",
                            name=spectra.names[empty[0]])
    return (replace(estimate, M=M, x=x[known]),
            replace(reference, M=other, x=x[known], wavelengths=estimate.wavelengths))


def add_overlay(report, reference, estimate):
    """Each pair in one colour, the reference dashed, brought to the same length: angles see nothing else."""
    import numpy as np
    import plotly.graph_objects as go

    from ...engine.palette import colours
    order = np.argsort(reference.x, kind="stable")
    figure = go.Figure()
    for column, (name, other, colour) in enumerate(zip(reference.names, estimate.names, colours(reference.names))):
        for spectra, words, dash in ((reference, f"{name} (reference)", "dash"), (estimate, other, "solid")):
            values = spectra.M[order, column]
            figure.add_scatter(x=reference.x[order], y=values / np.linalg.norm(values), name=words, mode="lines",
                               legendgroup=name, line=dict(color=colour, dash=dash))
    figure.update_layout(xaxis_title="Wavelength (nm)" if reference.wavelengths else "Band",
                         yaxis_title="Value, spectra of length 1")
    report.heading("Endmembers over their references, each scaled to length 1")
    report.plot(figure, height=460)
