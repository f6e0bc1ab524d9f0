"""The colour of an endmember is the same from the engine and from the expression that QGIS evaluates."""

import pytest
from qgis.core import QgsExpression, QgsExpressionContext, QgsFeature, QgsField, QgsFields
from qgis.PyQt.QtCore import QMetaType

NAMES = ["water", "deep water 2", "Low vegetation", "tree 12", "Bare soil", "theatre", "granite", "endmember 1",
         "endmember 18", "spectrum 70", "shadow", "dachs", "Wald"]


@pytest.mark.parametrize("name", NAMES)
def test_expression_gives_the_palettes_colour(name, qgis):
    palette = pytest.importorskip("subpixel.engine.palette")
    fields = QgsFields()
    fields.append(QgsField("name", QMetaType.Type.QString))
    feature = QgsFeature(fields)
    feature.setAttributes([name])
    context = QgsExpressionContext()
    context.setFeature(feature)
    expression = QgsExpression(palette.expression("name"))
    assert expression.evaluate(context) == palette.preferred(name), expression.evalErrorString()
