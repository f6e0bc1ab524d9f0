"""Spectral responses: built in, from tables, and in a scene's own bands."""

import json

import numpy as np
import pytest

from subpixel.engine.sensors import (SENSORS, Response, box, built_in, choose_bands, read_responses, response_matrix)
from subpixel.engine.sentences import UserError

WAVELENGTHS = np.arange(400.0, 2401, 10)


@pytest.mark.parametrize("sensor", SENSORS)
def test_built_in_sensors_are_whole(sensor):
    responses = built_in(sensor)
    assert len({response.name for response in responses}) == len(responses) >= 8
    P3, covered = response_matrix(responses, WAVELENGTHS)
    assert np.allclose(P3.sum(axis=1), 1) and (P3 >= 0).all()
    assert np.allclose(covered, 1) and np.linalg.matrix_rank(P3) == len(P3)
    for row, response in zip(P3, responses):
        assert row @ WAVELENGTHS == pytest.approx(response.centre, abs=3)
        assert response.width == pytest.approx(dict((b[0], b[2]) for b in SENSORS[sensor][2])[response.name], abs=0.5)


def test_a_box_between_bands_is_shared_by_the_parts_that_they_stand_for():
    P3, covered = response_matrix([box("x", 507.5, 5)], np.array([500.0, 510, 520]))
    assert P3[0] == pytest.approx([0, 1, 0])
    P3, _ = response_matrix([box("x", 505, 10)], np.array([500.0, 510, 520]))
    assert P3[0] == pytest.approx([0.5, 0.5, 0])


def test_order_of_wavelengths_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(len(WAVELENGTHS))
    there, _ = response_matrix(built_in("landsat8"), WAVELENGTHS)
    again, _ = response_matrix(built_in("landsat8"), WAVELENGTHS[shuffled])
    assert np.allclose(there[:, shuffled], again)


def test_a_band_in_a_gap_is_not_covered():
    gap = WAVELENGTHS[(WAVELENGTHS < 1340) | (WAVELENGTHS > 1460)]
    P3, covered = response_matrix([box("cirrus", 1375, 30), box("red", 665, 30)], gap)
    assert covered[0] == 0 and not P3[0].any() and covered[1] == pytest.approx(1)
    _, covered = response_matrix([box("x", 2400, 100)], WAVELENGTHS)
    assert covered[0] == pytest.approx(0.57, abs=0.02)


@pytest.mark.parametrize("names", [["B2", "B8A", "B11"], ["b02", "b8a", "b11"], ["SR_B2", "SR_B8A", "SR_B11"],
                                   ["B02_10m", "B8A_20m", "B11_20m"], ["B2 - Blue", "B8A - NIR", "B11 (SWIR)"]])
def test_bands_are_known_by_name(names):
    assert [band.name for band in choose_bands(built_in("sentinel2a"), names)] == ["B2", "B8A", "B11"]


def test_bands_are_known_by_wavelength_and_by_number():
    sensor = built_in("sentinel2b")
    plain = ["Band 1", "Band 2", "Band 3"]
    assert [b.name for b in choose_bands(sensor, plain, np.array([665.0, 560, 490]))] == ["B4", "B3", "B2"]
    ten = [f"Band {number}" for number in range(1, 11)]
    assert [b.name for b in choose_bands(sensor, ten, sensor="sentinel2b")][-3:] == ["B8A", "B11", "B12"]
    with pytest.raises(UserError, match="cannot be told which is which"):
        choose_bands(sensor, plain, sensor="sentinel2b")
    with pytest.raises(UserError):
        choose_bands(sensor, plain, np.array([665.0, 560, 510]))


def test_of_a_hyperspectral_image_given_for_the_multispectral_one_only_some_bands_are_named():
    names = [f"band {number}" for number in range(1, 219)]
    with pytest.raises(UserError, match=r"has 218 bands \(band 1, .*, band 15, \.\.\.\) and the sensor 13 "):
        choose_bands(built_in("sentinel2a"), names, np.linspace(420, 2450, 218), "sentinel2a")


def test_names_of_another_sensor_are_not_believed_against_wavelengths():
    names, landsat = [f"SR_B{number}" for number in range(2, 8)], np.array([482.0, 561, 655, 865, 1609, 2201])
    assert [band.name for band in choose_bands(built_in("landsat8"), names, landsat, "landsat8")][3] == "B5"
    assert choose_bands(built_in("sentinel2a"), names)[3].name == "B5"
    with pytest.raises(UserError, match="By its name, band SR_B5 .* would be B5 .* 865 nm .* 704 nm: is SRF the right"):
        choose_bands(built_in("sentinel2a"), names, landsat, "sentinel2a")


@pytest.mark.parametrize("sensor, wavelengths, words", [
    ("landsat8", [425.0, 480, 545, 605, 660, 725, 832, 950], "Band 4 .* B4 .* 605 nm and that at 655 nm"),
    ("sentinel2a", [490.0, 560, 665, 1500], "Band 4 .* B8 .* 1500 nm and that at 833 nm")])
def test_numbers_are_not_believed_against_wavelengths(sensor, wavelengths, words):
    names = [f"Band {number}" for number in range(1, len(wavelengths) + 1)]
    assert len(choose_bands(built_in(sensor), names, None, sensor)) == len(names)
    with pytest.raises(UserError, match=f"By its number, band {words}: is SRF the right sensor"):
        choose_bands(built_in(sensor), names, np.array(wavelengths), sensor)


def test_wavelengths_agree_within_15_nm_and_half_the_width():
    sensor = [box("green", 560, 40), box("red", 660, 20)]
    for names in (["green", "red"], ["one", "two"]):
        assert choose_bands(sensor, names, np.array([594.5, 635.5])) == sensor
        for wrong in ([595.5, 660.0], [560.0, 634.5]):
            with pytest.raises(UserError, match="right sensor"):
                choose_bands(sensor, names, np.array(wrong))


def test_tables_are_read(tmp_path):
    csv = tmp_path / "srf.csv"
    csv.write_text("wavelength,red,nir\n600,0,0\n650,1,0\n700,0,0\n800,0,1\n900,0,0\n")
    red, nir = read_responses(csv)
    assert (red.name, nir.name) == ("red", "nir") and red.centre == pytest.approx(650, abs=0.5)
    geojson = tmp_path / "srf.geojson"
    geojson.write_text(json.dumps({"features": [{"properties": {"name": "B1", "response": {
        "x": [0.4, 0.45, 0.5], "y": [0, 1, 0], "xUnit": "Micrometers"}}}]}))
    response, = read_responses(geojson)
    assert response.centre == pytest.approx(450, abs=0.5) and response.width == pytest.approx(50, abs=1)


@pytest.mark.parametrize("text, words", [("{}", "cannot be read as spectral responses"),
                                         ('{"features": []}', "holds no response"),
                                         ('{"features": [{"properties": {"name": "B1"}}]}', "cannot be read")])
def test_bad_geojson_gets_a_sentence(tmp_path, text, words):
    path = tmp_path / "srf.geojson"
    path.write_text(text)
    with pytest.raises(UserError) as problem:
        read_responses(path)
    assert words in str(problem.value)


def test_bad_tables_get_a_sentence(tmp_path):
    path = tmp_path / "srf.csv"
    path.write_text("wavelength,red\n600,-1\n650,1\n700,0\n")
    with pytest.raises(UserError, match="negative or missing"):
        read_responses(path)


def test_blanks_at_the_ends_of_a_response_are_dropped_and_inside_refused(tmp_path):
    path = tmp_path / "srf.csv"
    path.write_text("wavelength,red,nir\n600,,\n650,1,\n700,0.5,\n800,,1\n900,,0.25\n")
    red, nir = read_responses(path)
    assert red.x.tolist() == [650, 700] and red.y.tolist() == [1, 0.5] and nir.x.tolist() == [800, 900]
    for inside in ("600,1,\n605,,1\n610,1,\n", "600,,1\n605,,1\n610,,0\n", "600,1,1\n605,,1\n610,,0\n"):
        path.write_text(f"wavelength,red,nir\n{inside}")
        with pytest.raises(UserError, match="red in .* negative or missing"):
            read_responses(path)


def profile(tmp_path, x, y, unit):
    path = tmp_path / "srf.geojson"
    path.write_text(json.dumps({"features": [{"properties": {"name": "B1", "p": {"x": x, "y": y, "xUnit": unit}}}]}))
    return read_responses(path)


def test_geojson_in_wavenumbers(tmp_path):
    response, = profile(tmp_path, [15000, 15385, 16000], [0, 1, 0], "cm-1")
    assert response.x == pytest.approx([625, 649.98, 666.67], abs=0.01) and response.y.tolist() == [0, 1, 0]
    assert profile(tmp_path, [0.6, 0.65], [1, 1], None)[0].x == pytest.approx([600, 650])
    response, = profile(tmp_path, [500, 600, 700, 800], [None, 1, 0.5, None], "nm")
    assert response.x.tolist() == [600, 700]
    for x, y in (([0, 15000, 16000], [1, 1, 1]), ([15000, 15500, 16000], [1, None, 1])):
        with pytest.raises(UserError, match="missing"):
            profile(tmp_path, x, y, "cm-1")
    with pytest.raises(UserError, match="cannot be read as spectral responses"):
        profile(tmp_path, [1, 2], [1, "much"], "nm")


def test_a_triangle_is_integrated():
    P3, _ = response_matrix([Response("t", np.array([490.0, 500, 510]), np.array([0.0, 1, 0]))],
                            np.array([495.0, 500, 505]))
    assert P3[0] == pytest.approx([0.28, 0.44, 0.28], abs=0.02)
