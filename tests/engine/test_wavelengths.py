"""Wavelengths and widths: found wherever a format keeps them, in any unit, and guessed with care."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from subpixel.engine.bands import numbers
from subpixel.engine.raster import Scene
from subpixel.engine.wavelengths import read_bad_bands, read_wavelengths, to_nanometres, write_wavelengths

CENTRES, WIDTHS = [450.5, 550, 2200], [5, 6.5, 10]


def scene(tmp_path, bands=(), imagery=(), header=None, names=None):
    """A raster of three bands with these items per band, in the IMAGERY domain, and in the ENVI domain."""
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", width=2, height=2, count=3, dtype="int16",
                       transform=Affine(1, 0, 0, 0, -1, 2)) as file:
        file.write(np.arange(12).reshape(3, 2, 2).astype("int16"))
        for band, items in enumerate(bands, 1):
            file.update_tags(band, **items)
        for band, items in enumerate(imagery, 1):
            file.update_tags(band, ns="IMAGERY", **items)
        if header:
            file.update_tags(ns="ENVI", **header)
        if names:
            file.update_tags(**names)
    return path


def found(path):
    """Wavelengths and widths in the file, as lists."""
    with rasterio.open(path) as file:
        return [None if values is None else pytest.approx(values.tolist()) for values in read_wavelengths(file)]


def items(centres, unit=None, widths=None):
    """Band items."""
    return [{"wavelength": centre, **({"wavelength_units": unit} if unit else {}),
             **({"fwhm": widths[number]} if widths else {})} for number, centre in enumerate(centres)]


def listed(values):
    return "{" + " , ".join(map(str, values)) + "}"


def imagery(centres, widths=None):
    return [{"CENTRAL_WAVELENGTH_UM": centre / 1e3, **({"FWHM_UM": widths[number] / 1e3} if widths else {})}
            for number, centre in enumerate(centres)]


# where they are

def test_band_items_are_read(tmp_path):
    assert found(scene(tmp_path, items(CENTRES, "Nanometers", WIDTHS))) == [CENTRES, WIDTHS]


def test_imagery_is_read(tmp_path):
    assert found(scene(tmp_path, imagery=imagery(CENTRES, WIDTHS))) == [CENTRES, WIDTHS]


def test_the_envi_domain_is_read(tmp_path):
    header = {"wavelength": listed(CENTRES), "fwhm": listed(WIDTHS), "wavelength_units": "Nanometers"}
    assert found(scene(tmp_path, header=header)) == [CENTRES, WIDTHS]
    assert found(scene(tmp_path, names=header)) == [CENTRES, WIDTHS]


def test_keys_may_be_written_otherwise(tmp_path):
    far = [0.05, 0.1, 0.15]   # in millimetres, which nobody would guess
    bands = [{"Wavelength": centre, "wavelength_unit": "mm"} for centre in far]
    assert found(scene(tmp_path, bands))[0] == [50e3, 100e3, 150e3]
    header = {"Wavelength": listed(far), "Wavelength_Units": "mm"}
    assert found(scene(tmp_path, header=header))[0] == [50e3, 100e3, 150e3]


def test_band_items_go_before_the_header_and_the_header_before_imagery(tmp_path):
    other, third = [1, 2, 3], [1001, 1002, 1003]
    header = {"wavelength": listed(other), "wavelength_units": "nm"}
    assert found(scene(tmp_path, items(CENTRES, "nm"), imagery(third), header))[0] == CENTRES
    assert found(scene(tmp_path, (), imagery(third), header))[0] == other
    assert found(scene(tmp_path, (), imagery(third)))[0] == third


def test_widths_may_stand_elsewhere_than_wavelengths(tmp_path):
    header = {"fwhm": listed(WIDTHS), "wavelength_units": "Nanometers"}
    assert found(scene(tmp_path, items(CENTRES, "nm"), header=header)) == [CENTRES, WIDTHS]
    assert found(scene(tmp_path, items(CENTRES, "nm"), imagery([0] * 3, WIDTHS))) == [CENTRES, WIDTHS]


@pytest.mark.parametrize("bands, header", [
    ((), {}), (items(CENTRES[:2]), {}), (items([450, "unknown", 600]), {}), (items([450, "nan", 600], "nm"), {}),
    (items([450, 0, 600], "nm"), {}), (items([450, -1, 600], "nm"), {}), ((), {"wavelength": listed(CENTRES[:2])}),
    ((), {"wavelength": "400...2500 nm"}), ((), {"wavelength": "{a, b, c}"}), ((), {"wavelength": ""})])
def test_where_not_every_band_has_one_there_are_none(tmp_path, bands, header):
    assert found(scene(tmp_path, bands, header=header)) == [None, None]


def test_widths_that_not_every_band_has_are_none(tmp_path):
    bands = items(CENTRES, "nm", WIDTHS)
    del bands[1]["fwhm"]
    assert found(scene(tmp_path, bands)) == [CENTRES, None]


# units

@pytest.mark.parametrize("unit, factor", [
    ("Nanometers", 1), ("nm", 1), (" NM ", 1), ("Micrometers", 1e-3), ("um", 1e-3), ("µm", 1e-3), ("μm", 1e-3),
    ("Microns", 1e-3), ("mm", 1e-6), ("m", 1e-9), ("Angstroms", 10), (None, 1), (None, 1e-3), ("Unknown", 1e-3),
    ("Index", 1)])
def test_any_unit_of_length_comes_out_in_nanometres(tmp_path, unit, factor):
    path = scene(tmp_path, items([centre * factor for centre in CENTRES], unit, [width * factor for width in WIDTHS]))
    assert found(path) == [CENTRES, WIDTHS]


@pytest.mark.parametrize("unit, expected", [("Index", None), ("Unknown", None), (None, None),
                                            ("Micrometers", [1000, 2000, 3000]), ("nm", [1, 2, 3])])
def test_numbers_of_bands_are_no_wavelengths(tmp_path, unit, expected):
    assert found(scene(tmp_path, items([1, 2, 3], unit)))[0] == expected


@pytest.mark.parametrize("unit", ["Wavenumber", "cm-1", "1/cm"])
def test_wavenumbers_become_wavelengths_and_their_widths_widths(tmp_path, unit):
    numbers_ = [10000, 1000, 4000]
    centres, widths = found(scene(tmp_path, items(numbers_, unit, [10, 4, 8])))
    assert centres == [1000, 10000, 2500]
    narrow = [1e7 / (number - width / 2) - 1e7 / (number + width / 2) for number, width in zip(numbers_, (10, 4, 8))]
    assert widths.expected == pytest.approx(narrow, rel=1e-4)


def test_an_unknown_unit_is_guessed_from_the_largest_number():
    assert to_nanometres([0.4, 2.5, 14]).tolist() == [400, 2500, 14000]
    assert to_nanometres([99, 101]).tolist() == [99, 101] and to_nanometres([50, 100]).tolist() == [50, 100]
    assert to_nanometres([np.nan, 0.5])[1] == 500
    assert np.isnan(to_nanometres([np.nan])).all()


@pytest.mark.parametrize("centre_unit, centres", [(None, CENTRES), (None, [value / 1e3 for value in CENTRES]),
                                                  ("Micrometers", [value / 1e3 for value in CENTRES])])
def test_widths_in_nanometres_stay_so_whatever_unit_the_wavelengths_have(tmp_path, centre_unit, centres):
    assert found(scene(tmp_path, items(centres, centre_unit, WIDTHS))) == [CENTRES, WIDTHS]


def test_broad_bands_stay_broad(tmp_path):
    assert found(scene(tmp_path, items(CENTRES, "nm", [200, 250, 900]))) == [CENTRES, [200, 250, 900]]


def test_wavelengths_keep_the_order_of_their_bands(tmp_path):
    stepping = [900, 400.5, 650]
    assert found(scene(tmp_path, items(stepping, "nm"))) == [stepping, None]


def test_used_bands_have_their_own_wavelengths(tmp_path):
    opened = Scene(scene(tmp_path, items(CENTRES, "nm", WIDTHS)), bands=[1, 3])
    assert opened.wavelengths.tolist() == [450.5, 2200] and opened.fwhm.tolist() == [5, 10]


def test_what_is_written_is_where_gdal_and_envi_look(tmp_path):
    path = scene(tmp_path)
    with rasterio.open(path, "r+") as file:
        for band, (centre, width) in enumerate(zip(CENTRES, WIDTHS), 1):
            write_wavelengths(file, band, centre, width)
    with rasterio.open(path) as file:
        assert file.tags(1) == {"wavelength": "450.5", "wavelength_units": "Nanometers", "fwhm": "5"}
        assert file.tags(1, ns="IMAGERY") == {"CENTRAL_WAVELENGTH_UM": "0.4505", "FWHM_UM": "0.005"}
    assert found(path) == [CENTRES, WIDTHS]


@pytest.mark.parametrize("text, expected", [
    ("{ 0.41, 4.2e-1 ,\n.43 }", [0.41, 0.42, 0.43]), ("{1., -2, +3}", [1, -2, 3]),
    ("", []), (None, []), ("none", [])])
def test_numbers_of_an_envi_list(text, expected):
    assert numbers(text) == expected


# bad bands

@pytest.mark.parametrize("bands, header", [
    ([{"bbl": 1}, {"bbl": 0}, {"bbl": "1.0"}], {}), ((), {"bbl": "{1, 0, 1}"}),
    ([{"bbl": 1}, {"bbl": 0}, {"bbl": 1}], {"bbl": "{0, 0, 0}"}),
    ([{"bbl": "good"}, {"bbl": "bad"}, {"bbl": "good"}], {"bbl": "{1, 0, 1}"})])
def test_bands_flagged_as_bad_are_found(tmp_path, bands, header):
    with rasterio.open(scene(tmp_path, bands, header=header)) as file:
        assert read_bad_bands(file).tolist() == [False, True, False]


@pytest.mark.parametrize("bands, header", [((), {}), ([{"bbl": 0}], {}), ((), {"bbl": "{0, 0}"}),
                                           ([{"bbl": "?"}] * 3, {})])
def test_without_a_flag_for_every_band_none_is_bad(tmp_path, bands, header):
    with rasterio.open(scene(tmp_path, bands, header=header)) as file:
        assert not read_bad_bands(file).any()


# real files

def test_samson_has_the_wavelengths_of_its_header_not_gdals_rounded_ones(scenes):
    with rasterio.open(scenes / "samson" / "samson_1.img") as file:
        centres, widths = read_wavelengths(file)
        assert len(centres) == 156 and centres[[0, -1]].tolist() == [400.938721, 899.074585] and widths is None
        assert not read_bad_bands(file).any()


def test_emit_without_a_unit_is_in_nanometres_with_its_widths_and_bad_bands(scenes):
    with rasterio.open(scenes / "emit" / "emit20250324t221005_jpl_unmix_ex") as file:
        centres, widths = read_wavelengths(file)
        assert centres[[0, -1]].tolist() == [381.0055927, 2492.9238809]
        assert len(widths) == 285 and widths[0] == pytest.approx(8.415)
        assert read_bad_bands(file).sum() == 41


def test_enmap_has_wavelengths_widths_and_bad_bands_in_its_band_items(scenes):
    path = scenes / "enmap_potsdam" / "enmap_potsdam_block_128x64.tif"
    with rasterio.open(path) as file:
        centres, widths = read_wavelengths(file)
        assert centres[[0, -1]].tolist() == [418.24, 2445.53] and widths[0] == 6.99561
        assert np.any(np.diff(centres) < 0), "the two spectrometers overlap"
    said = []
    opened = Scene(path, say=lambda template, **arguments: said.append(arguments["count"]))
    assert said[0] == 6 and opened.L == 224 - sum(said) == len(opened.wavelengths)
