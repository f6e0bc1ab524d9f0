"""The tool `extractspectra`."""

from dataclasses import replace
from pathlib import Path

from ...engine.declare import Choice, FeaturesInput, FieldInput, Group, SpectraOutput, Tool
from .. import _shared

LIMIT = 20_000   # spectra of a layer: more make a file that neither QGIS nor its user can work with


class ExtractSpectra(Tool):
    """Endmembers from your own samples: spectra of the pixels under points or polygons.

    Draw a few samples of each material and give the field that names it: each class becomes one spectrum, the mean of
    its pixels, each pixel counted once. Without a class field each sample becomes a spectrum. Or take every pixel by
    itself, for a library with the variability of each material.

    A point takes the pixel that contains it. A polygon takes the pixels whose centres it contains, and one too small
    for any takes the pixels that it touches. Nodata pixels are left out. It fails where no sample lies on a valid
    pixel."""

    id = "extractspectra"
    label = "Extract spectra"
    group = Group.ENDMEMBERS
    tags = ("endmembers", "samples", "training", "ground truth", "polygons", "region of interest", "ROI",
            "spectral library")
    citation = ("Somers, Asner, Tits and Coppin, Endmember variability in Spectral Mixture Analysis: a review, Remote "
                "Sensing of Environment 115(7), 2011")
    prefer = ("Take it where you know some places on the ground: the spectra have your names and the image's light. "
              "Where you know none, VCA and N-FINDR find spectra; on EnMAP Potsdam, fractions by FCLS had less error "
              "with samples than with VCA's spectra.")

    image = _shared.INPUT
    samples = FeaturesInput("SAMPLES", "Samples", help="Layer of points or polygons on the raster, in any CRS.")
    classfield = FieldInput("CLASSFIELD", "Class field", layer="SAMPLES", optional=True, help="Field that names the "
                            "material of each sample; samples without a value are left out. None (the default): each "
                            "sample is a class of its own.")
    statistic = Choice("STATISTIC", "Spectra to take", default="mean",
                       options={"mean": "Mean of each class", "pixels": "Every pixel"}, help="mean (the default): one "
                       f"spectrum per class. pixels: one spectrum per pixel, {LIMIT} at most.")
    bands = _shared.BANDS
    endmembers = SpectraOutput("ENDMEMBERS", "Endmembers", optional=False, help="Layer with one spectrum per feature "
                               "(name, profile, source), its class in the field material and its number of pixels in "
                               "the field pixels. Spectra of a single pixel are points.")
    example = {"INPUT": "scene", "SAMPLES": "samples", "CLASSFIELD": "class"}

    def run(self, job):
        from ...engine.samples import group_samples, take
        scene, every = job.scene(self.image), job.value(self.statistic) == "pixels"
        groups, without = group_samples(scene, job.features(self.samples), job.value(self.classfield))
        if without:
            job.warn("Left out {count} samples without a class.", count=without)
        if not every:
            self._check_number(len(groups))
        taken, masked = take(scene, groups, every, LIMIT, job.progress)
        if masked:
            job.say("Left out {count} pixels under the samples that are nodata.", count=masked)
        found = {id(part.group) for part in taken}
        missing = [group.name for group in groups if id(group) not in found]
        if missing:
            job.warn("No spectrum for {names}: no sample of theirs lies on a valid pixel of the raster.",
                     names=", ".join(missing[:20]) + (", ..." if len(missing) > 20 else ""))
        job.give_spectra(self.endmembers, self._spectra(scene, taken, every), scene)

    @staticmethod
    def _check_number(count):
        from ...engine.sentences import UserError
        if count > LIMIT:
            raise UserError("There are {count} samples or classes, and a layer takes {limit} spectra at most. Give a "
                            "class field with fewer values, or select samples.", count=count, limit=LIMIT)

    @staticmethod
    def _spectra(scene, taken, every):
        import numpy as np

        from ...engine.bands import unique
        from ...engine.spectra import RESERVED, field_names, of_scene
        raster = Path(scene.path).name
        names, sources, points, attributes = [], [], [], []
        for part in taken:
            count = part.M.shape[1]
            positions = [tuple(map(int, position)) for position in part.positions] or [None]
            names += [f"{part.group.name} {number}" for number in range(1, count + 1)] if count > 1 else \
                [part.group.name]
            sources += [_shared.pixel_source(scene, *position) if position else
                        f"{raster}, mean of {part.pixels} pixels" for position in positions]
            points += [scene.map_position(*position) if position else None for position in positions]
            kept = {field: value for field, value in part.group.attributes.items() if field.lower() not in RESERVED}
            kept = dict(zip(field_names(kept, ("pixels",)), kept.values()))
            attributes += [{**kept, "pixels": 1 if every else part.pixels}] * count
        spectra = of_scene(scene, np.concatenate([part.M for part in taken], axis=1), unique(names), sources)
        return replace(spectra, points=points, attributes=attributes)
