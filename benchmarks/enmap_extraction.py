"""EnMAP Potsdam: which materials extractors find, by rules of their shape and by their angle to land cover points."""

import numpy as np
from enmap_vegetation import FOLDER, GREEN, WATER, Block
from harness import record, table

from subpixel.algorithms.endmembers.nfindr import nfindr
from subpixel.algorithms.endmembers.sisal import sisal
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.bad_bands import in_windows
from subpixel.algorithms.prepare.mnf import mnf
from subpixel.algorithms.prepare.noise import shift_difference_noise, shift_differences
from subpixel.engine.main import run
from subpixel.tools.prepare.badbands import WEAK, WINDOWS, parse

SEED = 0
SEEDS = range(10)
FEW = (3, 4, 5, 6)         # endmembers, for what they are
COUNTS = (6, 12)           # for how near they come to the classes
RESTARTS = 20
TAU = 1e-3                 # of SISAL, see `prices`
TAUS = (1.0, 0.1, 0.01, 1e-3)
KEPT = 15                  # MNF components: those whose signal has three times the power of the noise
RECOGNISED = 10.0          # degrees to a point of a class
SHOWN = {"green": 560, "red": 665, "NIR": 842, "SWIR1": 1650, "SWIR2": 2200}   # nm
NEGATIVE = -0.01           # reflectance below which a spectrum is none
BRIGHT = 0.2               # red reflectance of a bright surface
MATERIALS = "level_2"
READ = ("vegetation", "water", "soil or sealed", "bright roof")
LIKE = {"vegetation": ("tree", "low vegetation"), "soil or sealed": ("soil", "impervious")}
PLAIN, PREPARED = "all bands with data", "land, without bad bands"


def scenes(block):
    """The ways of preparing the block, by name: pixels (L, N) and which of the block's bands they have."""
    every = np.ones(len(block.wavelengths), bool)
    strong = in_windows(block.wavelengths, parse(WINDOWS)) < 0
    dry = strong & (in_windows(block.wavelengths, parse(WEAK)) < 0)
    whole, land = np.ones(block.Y.shape[1], bool), block.bright(block.Y)
    return {"all bands with data": (block.Y, every), "without bad bands": (block.Y[strong], strong),
            "without bad and weak water-vapour bands": (block.Y[dry], dry),
            f"all bands, {KEPT} MNF components": (smoothed(block, every, whole), every),
            f"without bad bands, {KEPT} MNF components": (smoothed(block, strong, whole), strong),
            "land, all bands with data": (block.Y[:, land], every),
            "land, without bad bands": (block.Y[strong][:, land], strong),
            f"land, without bad bands, {KEPT} MNF components": (smoothed(block, strong, land), strong)}


def smoothed(block, bands, pixels):
    """The block in some bands and pixels (L, n), of its first MNF components."""
    Y = block.Y[bands].astype(np.float64)
    cube = Y.reshape(len(Y), *block.shape)
    noise = shift_difference_noise(shift_differences(cube, pixels.reshape(block.shape)))
    transform = mnf(moments(Y[:, pixels]), noise)
    return transform.inverse(transform.forward(Y[:, pixels], KEPT))


def extractors():
    """By name: a function (Y, P, rng, moments) that gives spectra (L, P)."""
    return {"VCA": lambda Y, P, rng, found: vca(Y, P, rng, found).E,
            f"VCA, {RESTARTS} restarts": lambda Y, P, rng, found: vca(Y, P, rng, found, restarts=RESTARTS).E,
            "N-FINDR": lambda Y, P, rng, found: nfindr(Y, P, rng, found).E,
            f"N-FINDR, {RESTARTS} restarts": lambda Y, P, rng, found: nfindr(Y, P, rng, found, restarts=RESTARTS).E,
            "SISAL": lambda Y, P, rng, found: sisal(Y, P, rng, found).E,
            f"SISAL, TAU {TAU:g}": lambda Y, P, rng, found: sisal(Y, P, rng, found, tau=TAU).E}


def reading(spectrum, wavelengths):
    """What a spectrum (L,) shows by its shape alone: the first rule that holds, see the notes."""
    green, red, nir, swir1, swir2 = (spectrum[np.abs(wavelengths - at).argmin()] for at in SHOWN.values())
    if min(green, red, nir, swir1, swir2) < NEGATIVE:
        return "negative"
    if nir < WATER:
        return "water" if green > max(nir, swir1) else "dark"
    if (nir - red) / (nir + red) > GREEN:
        return "vegetation" if nir > swir1 > swir2 else "other"
    if green < red < nir < swir1:
        return "soil or sealed"
    return "bright roof" if red > BRIGHT and swir2 < nir else "other"


def recognised(block, keep, M_hat):
    """
    What each endmember is: its reading, where the nearest class point is at less than RECOGNISED in a class like it.

    Water and bright roofs have no class to compare with (the two water points hold 0 nearly everywhere, or a shore).
    Returns the readings (P,), "other" for those without a point; the nearest classes (P,) and angles in degrees (P,).
    """
    pixels, names = block.classes(MATERIALS)
    found = angles(block.Y[keep][:, pixels], M_hat)
    nearest, angle = names[found.argmin(axis=0)], found.min(axis=0)
    read = [reading(spectrum, block.wavelengths[keep]) for spectrum in M_hat.T]
    return ([name if name not in LIKE or (where in LIKE[name] and value < RECOGNISED) else "other"
             for name, where, value in zip(read, nearest, angle)], nearest, angle)


def angles(M, M_hat):
    """Angle of each reference to each endmember in degrees (Q, P)."""
    unit = [S / np.linalg.norm(S, axis=0) for S in (M, M_hat)]
    return np.degrees(np.arccos(np.clip(unit[0].T @ unit[1], -1, 1)))


def compare(block, keep, M_hat, classes):
    """
    Endmembers against the class points.

    Returns the smallest angle of any endmember to any point of each class (Q,) in degrees; whether an endmember has
    its nearest point of all in that class, at less than RECOGNISED (Q,); and how many endmembers are dark.
    """
    pixels, names = block.classes(MATERIALS)
    found = angles(block.Y[keep][:, pixels], M_hat)
    nearest = found.argmin(axis=0)
    named = names[nearest][found.min(axis=0) < RECOGNISED]
    nir = np.abs(block.wavelengths[keep] - SHOWN["NIR"]).argmin()
    return (np.array([found[names == name].min() for name in classes]), np.isin(classes, named),
            int((M_hat[nir] < WATER).sum()))


def ranks():
    """What the tool estimaterank says of the block: its recommended number, and its messages."""
    said = []

    def tell(message):
        if "message" in message or "warning" in message:
            said.append((message.get("message") or message["warning"]).format(**message["arguments"]))

    values = {"INPUT": {"path": str(FOLDER / "enmap_potsdam_block_128x64.tif"), "crs": None}}
    return run({"tool": "estimaterank", "values": values, "outputs": {}}, tell)["numbers"]["RANK"], said


def materials(block, ways):
    """In how many seeds each method finds each material, a row for each scene, number and method."""
    rows = []
    for scene in (PLAIN, PREPARED):
        Y, keep = ways[scene]
        found = moments(Y)
        for P in FEW:
            for method, extract in extractors().items():
                runs = [recognised(block, keep, extract(Y, P, np.random.default_rng(seed), found))[0]
                        for seed in SEEDS]
                rows.append({"scene": scene, "P": P, "method": method,
                             **{name: sum(name in run for run in runs) for name in READ},
                             "materials": float(np.mean([len(set(run) & set(READ)) for run in runs])),
                             **{name: float(np.mean([run.count(name) for run in runs]))
                                for name in ("dark", "negative", "other")}})
    return rows


def nearness(block, ways):
    """How near each method's endmembers come to the points of each class, a row for each scene, number and method."""
    classes, rows = sorted(set(block.classes(MATERIALS)[1])), []
    for name, (Y, keep) in ways.items():
        found = moments(Y)
        for P in COUNTS:
            for method, extract in extractors().items():
                runs = [compare(block, keep, extract(Y, P, np.random.default_rng(seed), found), classes)
                        for seed in SEEDS]
                angle, known = (np.array(values) for values in list(zip(*runs))[:2])
                rows.append({"scene": name, "bands": len(Y), "method": method, "P": P,
                             **{material: round(float(value), 1)
                                for material, value in zip(classes, np.median(angle, axis=0))},
                             "mean": round(float(angle.mean()), 1),
                             "spread": round(float(angle.mean(axis=1).std()), 1),
                             "dark": int(np.median([dark for *_, dark in runs])),
                             "found": ", ".join(material for material, share in zip(classes, known.mean(axis=0))
                                                if share > 0.5)})
    return rows


def prices(block, ways):
    """For each TAU of SISAL, over both scenes and all of FEW, the negative endmembers and the pixels left outside."""
    said = []
    for tau in TAUS:
        read, outside = [], []
        for Y, keep in (ways[PLAIN], ways[PREPARED]):
            for P in FEW:
                found = sisal(Y, P, np.random.default_rng(SEED), tau=tau)
                read += [reading(spectrum, block.wavelengths[keep]) for spectrum in found.E.T]
                outside.append(100 * found.outside)
        said.append(f"{tau:g}: {read.count('negative')} of {len(read)}, {np.mean(outside):.0f} % of the pixels outside")
    return "; ".join(said)


def best(rows):
    """Where a run finds the most materials on average, and by what, in words."""
    most = max(row["materials"] for row in rows)
    return f"{most:g} a run, in " + "; ".join(f"{row['scene']}, {row['method']}, {row['P']} endmembers"
                                              for row in rows if row["materials"] == most)


def listed(block, ways, P=FEW[-1]):
    """What each method's endmembers are, of seed 0: a Markdown list."""
    lines = []
    for scene in (PLAIN, PREPARED):
        Y, keep = ways[scene]
        for method, extract in extractors().items():
            found = zip(*recognised(block, keep, extract(Y, P, np.random.default_rng(SEED), moments(Y))))
            words = sorted(f"{name} ({where} {angle:.0f})" for name, where, angle in found)
            lines.append(f"- {scene}, {method}: {', '.join(words)}")
    return "\n".join(lines)


def points(block):
    """What the rules read in the points of each class, in words."""
    pixels, names = block.classes(MATERIALS)
    said = []
    for name in sorted(set(names)):
        read = [reading(block.Y[:, pixel], block.wavelengths) for pixel in pixels[names == name]]
        said.append(f"{name}: " + ", ".join(f"{one} {read.count(one)}" for one in dict.fromkeys(read)))
    return "; ".join(said)


def findings(rows):
    """The first table in sentences: what each method finds in most seeds, and what restarts change."""
    lines = []
    for scene in (PLAIN, PREPARED):
        for method in extractors():
            words = []
            for row in rows:
                if (row["scene"], row["method"]) == (scene, method):
                    names = [name for name in READ if row[name] > len(SEEDS) / 2]
                    words.append(f"{row['P']}: {', '.join(names) or 'none'}")
            lines.append(f"- {scene}, {method}: {'; '.join(words)}")
    return "\n".join(lines)


def gains(rows):
    """What restarts change in the first table, in words: the materials found, over numbers and scenes."""
    said = []
    for method in ("VCA", "N-FINDR"):
        without, along = ([row["materials"] for row in rows if row["method"] == name]
                          for name in (method, f"{method}, {RESTARTS} restarts"))
        more, fewer = (sum(sign * (b - a) > 0 for a, b in zip(without, along)) for sign in (1, -1))
        said.append(f"{method} finds {np.mean(without):.1f} materials on average and {np.mean(along):.1f} with "
                    f"restarts (more in {more} of {len(along)} rows, fewer in {fewer})")
    return "; ".join(said)


def changes(near):
    """What preparing and restarts change in the second table, in words."""
    mean = {(row["scene"], row["method"], row["P"]): row["mean"] for row in near}
    spread = {(row["scene"], row["method"], row["P"]): row["spread"] for row in near}

    def count(pairs, values):
        differences = [values[b] - values[a] for a, b in pairs]
        return (f"{sum(value < 0 for value in differences)} of {len(differences)} cases "
                f"({min(differences):+.1f} to {max(differences):+.1f})")

    def scenes(a, b):
        return [((a, *key[1:]), (b, *key[1:])) for key in mean if key[0] == a]

    restarts = [((s, m, P), (s, f"{m}, {RESTARTS} restarts", P)) for s, m, P in mean if m in ("VCA", "N-FINDR")]
    return (f"The mean angle is lowered by leaving out the bad bands in "
            f"{count(scenes(PLAIN, 'without bad bands') + scenes('land, all bands with data', PREPARED), mean)}; by "
            f"leaving out the weak water-vapour bands besides in "
            f"{count(scenes('without bad bands', 'without bad and weak water-vapour bands'), mean)}; by setting the "
            f"dark pixels apart in {count(scenes('without bad bands', PREPARED), mean)}; by MNF with all pixels in "
            f"{count(scenes(PLAIN, f'all bands, {KEPT} MNF components'), mean)}, and on land in "
            f"{count(scenes(PREPARED, f'{PREPARED}, {KEPT} MNF components'), mean)}; by restarts in "
            f"{count(restarts, mean)}. Restarts narrow the spread between seeds in {count(restarts, spread)}.")


def main():
    block = Block.read()
    ways, names = scenes(block), block.classes(MATERIALS)[1]
    rows, near = materials(block, ways), nearness(block, ways)
    rank, said = ranks()
    counts = ", ".join(f"{name} {np.sum(names == name)}" for name in sorted(set(names)))
    record("enmap_extraction", "EnMAP Potsdam: materials that extractors find", rows, SEED, NOTES.format(
        counts=counts, limit=RECOGNISED, rank=rank, said=" ".join(said), kept=KEPT, findings=findings(rows),
        best=best(rows), gains=gains(rows), between=between(block, sorted(set(names))), water=WATER,
        dark=int((~block.bright(block.Y)).sum()), pixels=block.Y.shape[1], near=table(near), points=points(block),
        listed=listed(block, ways), changes=changes(near), prices=prices(block, ways), seeds=len(SEEDS), green=GREEN,
        bright=BRIGHT, tau=TAU, negative=NEGATIVE, most=FEW[-1],
        shown=", ".join(f"{name} {at}" for name, at in SHOWN.items())))


def between(block, classes):
    """The angles between the classes' mean spectra, in words: what it takes to tell them apart."""
    pixels, names = block.classes(MATERIALS)
    M = np.column_stack([block.Y[:, pixels[names == name]].mean(axis=1) for name in classes])
    found = angles(M, M)
    return ", ".join(f"{classes[p]}-{classes[q]} {found[p, q]:.1f}"
                     for p in range(len(classes)) for q in range(p + 1, len(classes)))


NOTES = """\
A material's column is the number of seeds, of {seeds}, in which at least one endmember is that material; "materials" \
is how many of the four a run finds on average; "dark", "negative", "other" are endmembers per run that are none.

**Recognised in most seeds**, by number of endmembers:

{findings}

Most materials: {best}. Restarts: {gains}. On land the dark water is left out, so water can hardly be found there.

**How an endmember is read**, by reflectance near {shown} nm, the first rule that holds. Negative: below {negative:g} \
in one of them. NIR below {water:g}: water if green is above NIR (NDWI > 0) and SWIR1, dark otherwise (shade, or water \
too dark to tell). NDVI above {green:g}: vegetation if NIR > SWIR1 > SWIR2 (leaf water), other otherwise. Green < red \
< NIR < SWIR1: soil or sealed. Red above {bright:g} and SWIR2 below NIR: bright roof (bright and not rising as soil \
does). Vegetation and soil or sealed count only if the nearest class point lies at less than {limit:g} degrees and \
is tree or low vegetation, soil or impervious; else they are other. The rules were written after a look at spectra of \
seed 0. Soil and sealed surfaces are not told apart: the rules read the class points as {points}.

Endmembers of seed 0, {most} of them, with the class of the nearest point and its angle in degrees:

{listed}

**TAU of SISAL.** The author's 1 holds all pixels inside, and the simplex becomes so large that corners are no \
reflectance. Negative ones, without a look at the reference, by TAU: {prices}. So TAU {tau:g} is shown beside it: no \
corner is negative, but the simplex cuts off so many pixels that corners are mixtures, and near to the class points \
because these are mixed pixels too; bright roofs, which are few, lie outside.

**How near to the classes**, with more endmembers and more ways of preparing the scene:

{near}

{changes}

The dark water decides first. VCA divides each pixel by its component along the mean, and pixels that are almost 0 \
then lie anywhere. Setting the dark pixels apart came after the first figures; the limit is the one of \
enmap_vegetation.

Numbers are degrees between the nearest point of a class and the nearest endmember, medians over the seeds; "mean" \
is over classes and seeds, "spread" the standard deviation of the seeds' means. "Found": in most seeds an \
endmember has its nearest point of all in that class, at less than {limit:g} degrees. "Dark": how many endmembers \
have a near infrared reflectance below {water:g}, median. Class points in the block, level_2 of \
landcover_potsdam_point.gpkg: {counts}. Angles between the class means: {between}. The points are 30 m pixels of a \
town, mixed themselves, so a class that is not found need not be the extractor's fault.

Scenes: reflectance = DN / 1e4 without the six bands that hold no data. Bad bands: those in badbands' default \
windows, and besides in its weak windows. MNF: components from differences of neighbours, the first {kept} of them \
kept and transformed back (in all bands those {kept} have more than three times as much signal as noise). Land: \
without the {dark} of {pixels} pixels whose near infrared reflectance is below {water:g}. Angles are over the bands \
that a scene has, so rows with different bands are only nearly comparable.

`estimaterank` on all bands recommends {rank}. It says: {said}"""


if __name__ == "__main__":
    main()
