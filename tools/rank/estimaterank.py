"""The tool `estimaterank`."""

from dataclasses import replace

from ...engine.declare import Flag, Group, TableOutput, Tool
from .. import _shared
from .geneah import NMAX
from .geneah import PFA as GENE_PFA
from .hfc import PFA
from .iqr import TOLERANCE

VOTERS = ("HySime", "NWHFC", "GENE-AH")


def _flag(name, label, default, why):
    return Flag(name, label, default=default, advanced=not default,
                help=f"Run {label} and report its number: {why} Default {'yes' if default else 'no'}.")


class EstimateRank(Tool):
    """Number of materials in a scene as several methods see it, how far they agree, and a number to work with.

    The recommended number is the median of HySime, NWHFC and GENE-AH, as far as they were chosen, rounded up. GENE-AH
    is left out where it ran into its largest number, as that is a limit and no estimate. The others are shown and do
    not vote: incremental QR depends on its tolerance and on the order of the pixels, GENE-CH and FUN need pure pixels,
    HFC, MDL and AIC rely on a noise that real scenes do not have, SPICE depends on its sparsity. Only where none of
    the three gives a number is it the median of the others, with a warning. They agree as far as they lie within a
    fifth of it, at least 2; where no more than half of them do, a warning says so. Where the median would lie between
    two numbers farther apart than that, no method is behind it: the smaller is recommended, and a warning says so.

    A method that cannot work on the scene is named in a warning, and left out. The raster is read once for all
    methods that need its moments only, and once more for each of incremental QR, GENE, FUN and SPICE."""

    id = "estimaterank"
    label = "Estimate the number by several methods"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "virtual dimensionality", "intrinsic dimension",
            "HySime", "NWHFC", "comparison")
    citation = ("Bioucas-Dias and Nascimento, IEEE TGRS 46(8), 2008 (HySime); Chang and Du, IEEE TGRS 42(3), 2004 "
                "(HFC, NWHFC); Abdelgawad, Cheung and Yan, Remote Sensing 16(5), 2024 (incremental QR, and the "
                "comparison); Ambikapathi et al., IEEE TGRS 51(5), 2013 (GENE); Guerra et al., IEEE TGRS 53(12), 2015 "
                "(FUN); Zare and Gader, IEEE GRSL 4(3), 2007 (SPICE); Wax and Kailath, IEEE Trans. ASSP 33(2), 1985 "
                "(AIC, MDL)")
    prefer = ("Take it where you want more than one opinion: it asks several methods at once and tells how far they "
              "agree. HySime alone is faster.")
    doi = ("10.1109/TGRS.2008.918089", "10.3390/rs16050766", "10.1109/TASSP.1985.1164557")

    image = _shared.INPUT
    hysime = _flag("HYSIME", "HySime", True, "directions with more signal than noise.")
    nwhfc = _flag("NWHFC", "NWHFC", True, "a test of whitened eigenvalues.")
    iqr = _flag("IQR", "Incremental QR", True, "directions above a tolerance; it does not vote.")
    geneah = _flag("GENEAH", "GENE-AH", True, "extreme pixels outside the affine hull of others.")
    hfc = _flag("HFC", "HFC", False, "a test of eigenvalues for white noise; it does not vote.")
    genech = _flag("GENECH", "GENE-CH", False, "extreme pixels outside the convex hull of others; it does not vote.")
    mdl = _flag("MDL", "MDL", False, "minimum description length, noise whitened; it does not vote.")
    aic = _flag("AIC", "AIC", False, "Akaike's criterion, noise whitened; it does not vote.")
    fun = _flag("FUN", "FUN", False, "Gram-Schmidt on the brightest residuals; it does not vote.")
    spice = _flag("SPICE", "SPICE", False, "sparsity, on 2000 pixels; slow; it does not vote.")
    pfa = replace(PFA, label="Probability of false alarm (HFC, NWHFC)", advanced=True)
    gene_pfa = replace(GENE_PFA, name="GENEPFA", label="Probability of false alarm (GENE)", advanced=True)
    n_max = replace(NMAX, label="Largest number considered (GENE, FUN)", advanced=True)
    tolerance = replace(TOLERANCE, label="Tolerance (incremental QR)", advanced=True)
    seed, bands = replace(_shared.SEED, label="Random seed (SPICE)"), _shared.BANDS
    rank = _shared.RANK
    table = TableOutput("TABLE", "Estimates", help="Table with a row per method: its name, its number, and whether "
                        "that counts for the recommended one.")
    report = _shared.REPORT
    example = {"INPUT": "scene", "HFC": True, "GENECH": True, "MDL": True, "AIC": True, "FUN": True, "SPICE": True}

    def run(self, job):
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...engine.sentences import UserError
        chosen = [flag for flag in (self.hysime, self.nwhfc, self.iqr, self.geneah, self.hfc, self.genech, self.mdl,
                                    self.aic, self.fun, self.spice) if job.value(flag)]
        if not chosen:
            raise UserError("No method is chosen. Choose at least one, such as HySime.")
        job.passes(1 + (self.iqr in chosen) + (self.geneah in chosen or self.genech in chosen) + (self.fun in chosen)
                   + (self.spice in chosen))
        scene = job.scene(self.image)
        pixels = scene.pixels(rows=self.iqr in chosen, progress=job.progress)
        found = moments(pixels)
        noise = regression_noise(found)
        results = {}
        for names, compute in self._methods(job, scene, pixels, found, noise, chosen):
            try:
                results |= dict(zip(names, compute()))
            except (ValueError, UserError) as error:
                job.warn("{methods}: {sentence} Left out.", methods=", ".join(names), sentence=str(error))
        if not results:
            raise UserError("None of the chosen methods can work on this scene; the warnings say why. Choose others.")
        _shared.warn_of_few_pixels(job, scene, found.N)
        self._give(job, results, found)

    def _methods(self, job, scene, pixels, found, noise, chosen):
        """Pairs of labels and a function that gives their results."""
        from ...algorithms.pixels import blocks
        from ...algorithms.rank.hfc import hfc, nwhfc, whitened
        from ...algorithms.rank.hysime import hysime
        from ...algorithms.rank.information import aic, mdl
        from ...algorithms.rank.iqr import iqr
        from . import fun, geneah, spice
        value = job.value
        simple = {
            self.hysime: lambda: hysime(found, noise),
            self.nwhfc: lambda: nwhfc(found, noise, value(self.pfa)),
            self.hfc: lambda: hfc(found, value(self.pfa)),
            self.mdl: lambda: mdl(whitened(found, noise)),
            self.aic: lambda: aic(whitened(found, noise)),
            self.iqr: lambda: iqr((noise.denoise(part) for block in pixels for part in blocks(block)),
                                  value(self.tolerance)),
            self.fun: lambda: fun.estimate(pixels, found, noise, fun.PERCENTAGE.default, value(self.n_max)),
            self.spice: lambda: spice.estimate(
                spice.sample(scene, spice.MAXPIXELS.default, value(self.seed), job.progress), value(self.seed)),
        }
        hulls = {flag.label: hull for flag, hull in ((self.geneah, "affine"), (self.genech, "convex"))
                 if flag in chosen}
        for flag in chosen:
            if flag in simple:
                yield [flag.label], lambda flag=flag: [simple[flag]()]
            elif hulls:
                yield list(hulls), lambda hulls=hulls: geneah.estimate(
                    pixels, found, noise, value(self.n_max), value(self.gene_pfa), list(hulls.values()))
                hulls = {}

    def _give(self, job, results, found):
        """The recommended number, the table and the report."""
        from .geneah import warn_of_limit
        from .spice import START, warn_of_start
        ranks = {name: result.rank for name, result in results.items()}
        for name in ("GENE-AH", "GENE-CH"):
            if name in results and results[name].reached:
                warn_of_limit(job, name, results[name])
        if "SPICE" in ranks:
            warn_of_start(job, ranks["SPICE"], START.default)
        votes = {name: ranks[name] for name in VOTERS
                 if name in ranks and not (name == "GENE-AH" and results[name].reached)}
        if not votes:
            votes = ranks
            job.warn("None of HySime, NWHFC and GENE-AH gave a number, so the recommended one is the median of the "
                     "others, which are less dependable. Choose HySime.")
        recommended, reach, apart = recommend(votes.values())
        near = sum(abs(rank - recommended) <= reach for rank in votes.values())
        agreement = f"{near} of {len(votes)} within {reach} of it, {min(votes.values())} to {max(votes.values())}"
        if apart:
            job.warn("The methods are far apart, and none has a number near the middle: {votes}. Recommended is the "
                     "smaller number; try others up to the larger, and look at the fractions that they give.",
                     votes=", ".join(f"{name} {rank}" for name, rank in votes.items()))
        elif 2 * near <= len(votes):
            job.warn("The methods disagree on the number of endmembers: {agreement}. Take {rank} for a start only, and "
                     "look at the fractions that other numbers give.", agreement=agreement, rank=recommended)
        job.give_number(self.rank, recommended)
        _shared.warn_of_noise(job, recommended)
        job.say("{list}. Recommended: {rank} ({agreement}).",
                list=", ".join(f"{name} {rank}" for name, rank in ranks.items()), rank=recommended, agreement=agreement)
        job.give_table(self.table, [{"method": name, "rank": rank, "votes": "yes" if name in votes else "no"}
                                    for name, rank in ranks.items()])
        report = job.report(self.report)
        if report:
            report.numbers(Recommended_number=recommended, Bands=len(found.mean), Pixels=found.N)
            rule = "The number below the middle of {}, which are far apart" if apart else "Median of {}, rounded up"
            report.paragraph(f"{rule.format(', '.join(votes))}. Agreement: {agreement}.")
            add_comparison(report, ranks, votes, recommended)
            add_details(report, results, found)
            job.give_report(self.report, report)


def recommend(ranks):
    """The number to work with, how far from it a method still agrees, and whether the middle was too far from all."""
    ranks = sorted(ranks)
    chosen, below, above = median(ranks), ranks[(len(ranks) - 1) // 2], ranks[len(ranks) // 2]
    apart = above - below > max(2, chosen // 5)
    if apart:
        chosen = below
    return chosen, max(2, chosen // 5), apart


def median(ranks):
    """Median of whole numbers, rounded up: one endmember too many costs less than one too few."""
    ranks = sorted(ranks)
    middle = len(ranks) // 2
    return ranks[middle] if len(ranks) % 2 else -(-(ranks[middle - 1] + ranks[middle]) // 2)


def add_comparison(report, ranks, votes, recommended):
    """All numbers side by side."""
    import plotly.graph_objects as go
    report.heading("All methods")
    report.table(["Method", "Number of endmembers", "Counts for the recommended number"],
                 [(name, rank, name in votes) for name, rank in ranks.items()])
    figure = go.Figure(go.Bar(x=list(ranks), y=list(ranks.values()), text=list(ranks.values()), showlegend=False,
                              marker_color=["#0072b2" if name in votes else "#bbbbbb" for name in ranks]))
    figure.add_hline(y=recommended, line_dash="dash", line_color="#e6550d", annotation_text=str(recommended))
    figure.update_layout(yaxis_title="Number of endmembers")
    report.plot(figure)


def add_details(report, results, found):
    """What each method read its number from."""
    from .fun import PERCENTAGE, add_fun
    from .geneah import add_gene
    from .hfc import add_hfc
    from .hysime import add_hysime
    from .mdl import add_information
    from .spice import add_spice
    add = {"HySime": lambda report, result: add_hysime(report, result, found.N), "HFC": add_hfc, "NWHFC": add_hfc,
           "GENE-AH": add_gene, "GENE-CH": add_gene, "MDL": add_information, "AIC": add_information,
           "FUN": lambda report, result: add_fun(report, result, PERCENTAGE.default), "SPICE": add_spice}
    for name, result in results.items():
        if name in add:
            report.heading(name)
            add[name](report, result)
