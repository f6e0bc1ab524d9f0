"""Filtered series in QGIS: further dates play among the images' own, values have one range of colours."""

import fixtures
import pytest
from qgis.core import QgsDateTimeRange, QgsRasterLayer
from qgis.PyQt.QtCore import QDateTime, Qt

FURTHER = ("2020-07-15", "2020-11-15")
DATES = sorted((*fixtures.DATES, *FURTHER))


def styled(paths):
    """The layers of some files, as they are loaded."""
    layers = [QgsRasterLayer(path, "x") for path in paths]
    assert all(layer.loadDefaultStyle()[1] for layer in layers)
    return layers


def shown(layers, moment):
    """Which of them the temporal controller shows at a moment."""
    begin = QDateTime.fromString(moment, Qt.DateFormat.ISODate)
    frame = QgsDateTimeRange(begin, begin.addSecs(3600), True, False)
    return [layer.temporalProperties().isVisibleInTemporalRange(frame) for layer in layers]


@pytest.fixture(name="results")
def _results(run, examples, tmp_path):
    return run("kalmanfilter", {"IMAGES": examples["fractionimages"], "AT": ", ".join(FURTHER), **{
        name: str(tmp_path / name.lower()) for name in ("STATES", "UNCERTAINTY", "INNOVATION")}})


def test_gaps_and_forecasts_play_among_the_images_dates(results):
    for layers in (styled(results["STATELAYERS"]), styled(results["UNCERTAINTYLAYERS"])):
        assert len(layers) == len(DATES)
        for number, date in enumerate(DATES):
            assert shown(layers, f"{date}T06:00:00Z") == [each == number for each in range(len(DATES))], date
        assert len({layer.renderer().inputBand() for layer in layers}) == 1


def test_innovations_are_of_the_images_and_stand_for_their_time(results):
    layers = styled(results["INNOVATIONLAYERS"])
    assert [shown(layers, f"{date}T06:00:00Z").index(True) for date in fixtures.DATES] == [0, 1, 2]
    for layer in layers:
        assert (layer.renderer().classificationMin(), layer.renderer().classificationMax()) == (-5, 5)


def test_values_have_one_range_of_colours_for_all_dates(run, examples, tmp_path):
    found = run("kalmanfilter", {"IMAGES": examples["fractionimages"], "QUANTITY": "values", "AT": FURTHER[0],
                                 "STATES": str(tmp_path / "states")})
    ranges = {(layer.renderer().classificationMin(), layer.renderer().classificationMax())
              for layer in styled(found["STATELAYERS"])}
    assert len(ranges) == 1 and ranges != {(0, 1)}
