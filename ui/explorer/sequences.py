"""Dated rasters of a project as sequences: what stands together in a group of the layer tree."""

from dataclasses import dataclass

from qgis.core import QgsLayerTree, QgsRasterLayer

from ...engine.bands import unique
from ...processing_provider.words import tr


@dataclass(frozen=True)
class Sequence:
    """Rasters of the same bands, by date: their layers' ids; and which output of which run they are, where known."""

    name: str
    bands: tuple
    layers: dict
    output: str
    run: tuple

    def is_uncertainty_of(self, other):
        """Whether its rasters hold the standard deviations of another's."""
        return self.output == "UNCERTAINTY" != other.output and other.run == self.run != (None, None) \
            and self.bands == other.bands and set(self.layers) >= set(other.layers)


def sequences_of(project, rasters):
    """All `Sequence`s of at least two dates in a project, from the top of its layer tree to the bottom."""
    root, found = project.layerTreeRoot(), []
    for group in [root, *root.findGroups(True)]:
        together = {}
        for node in group.children():
            layer = node.layer() if QgsLayerTree.isLayer(node) else None
            if isinstance(layer, QgsRasterLayer) and layer.isValid() and rasters.date(layer):
                facts = rasters.facts(layer)
                tags = facts.tags
                kind = tuple(facts.names), tags.get("SUBPIXEL_OUTPUT"), (tags.get("SUBPIXEL_TOOL"),
                                                                         tags.get("SUBPIXEL_PARAMETERS"))
                together.setdefault(kind, {}).setdefault(rasters.date(layer), layer.id())
        name = tr("Layers outside of groups") if group is root else group.name()
        found += [(name, bands, dict(sorted(layers.items())), output, run)
                  for (bands, output, run), layers in together.items() if len(layers) > 1]
    names = unique([each[0] for each in found])
    return [Sequence(name, *each[1:]) for name, each in zip(names, found)]
