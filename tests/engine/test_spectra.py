"""Spectra between layers, grids and scenes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from subpixel.engine.bands import unique
from subpixel.engine.sentences import UserError
from subpixel.engine.spectra import Spectra, from_features, of_scene, resample
from subpixel.engine.wavelengths import to_nanometres


class Bands(SimpleNamespace):
    """As much of a scene as spectra look at."""

    L = property(lambda self: len(self.indexes))

    def keep(self, wanted):
        self.indexes, self.wavelengths = self.indexes[wanted], self.wavelengths[wanted]
        self.fwhm = None if self.fwhm is None else self.fwhm[wanted]


def bands(wavelengths=None, fwhm=None, count=None, indexes=None):
    wavelengths = None if wavelengths is None else np.array(wavelengths, float)
    count = count or len(wavelengths)
    indexes = np.arange(1, count + 1) if indexes is None else np.array(indexes)
    return Bands(wavelengths=wavelengths, fwhm=None if fwhm is None else np.array(fwhm, float), count=count,
                 indexes=indexes)


def spectra(x, M, wavelengths=True):
    M = np.array(M, float).reshape(len(x), -1)
    return Spectra([f"s{number}" for number in range(M.shape[1])], M, np.array(x, float), wavelengths)


def profile(x, y, unit="Nanometers", name="a"):
    return {"name": name, "profile": {"x": x, "y": y, "xUnit": unit}}


# other wavelengths

def test_the_same_grid_gives_the_same_values():
    M = np.random.default_rng(0).random((4, 2))
    x = np.array([400, 500, 600, 700.0])
    assert (resample(x, M, x + 0.4, np.full(4, 100)) == M).all()


def test_between_wavelengths_values_are_interpolated():
    assert resample([400, 500, 600], [[1.0], [3], [7]], [450, 575, 600]).ravel().tolist() == [2, 6, 7]


def test_a_wide_band_is_the_average_under_its_gaussian():
    """Under a Gaussian of variance s^2, (x - c)^2 averages to s^2, a sine is damped by exp(-s^2 w^2 / 2)."""
    x, centres, fwhm = np.arange(300, 1201.0), np.array([600, 700.0, 801]), np.array([20, 40.0, 60])
    s, w = fwhm / (2 * np.sqrt(2 * np.log(2))), 2 * np.pi / 90
    M = np.stack([2 * x + 1, (x - 700) ** 2, np.sin(w * x)], axis=1)
    expected = np.stack([2 * centres + 1, (centres - 700) ** 2 + s ** 2,
                         np.sin(w * centres) * np.exp(-(s * w) ** 2 / 2)], axis=1)
    np.testing.assert_allclose(resample(x, M, centres, fwhm), expected, rtol=1e-6, atol=1e-9)


def test_uneven_sampling_does_not_weigh_the_denser_side():
    x = np.concatenate([np.arange(500, 600, 0.5), np.arange(600, 700.5, 2)])
    np.testing.assert_allclose(resample(x, x[:, None], [600.25], [40.0]), [[600.25]], atol=0.3)


def test_a_band_narrower_than_the_sampling_is_interpolated():
    assert resample([400, 500, 600], [[1.0], [3], [7]], [450, 550], [10, 10]).ravel().tolist() == [2, 5]


def test_some_bands_of_the_spectra_s_own_instrument_are_taken_as_they_are():
    x, M = np.arange(400, 700, 6.0), np.random.default_rng(0).random((50, 2))
    assert (resample(x, M, x[::3], np.full(17, 8.0)) == M[::3]).all()


def test_wavelengths_in_any_order():
    x, M, centres = np.array([600, 400, 500.0, 700]), np.array([[7.0], [1], [3], [8]]), [650, 450.0]
    assert resample(x, M, centres).ravel().tolist() == [7.5, 2]
    overlapping = spectra([400, 500, 700, 690, 800], [1, 2, 3, 4, 5])
    scene = bands([400, 500, 700, 690, 800])
    assert overlapping.to_scene(scene).ravel().tolist() == [1, 2, 3, 4, 5]


def test_units():
    np.testing.assert_allclose(to_nanometres([0.4, 2.5]), [400, 2500])
    np.testing.assert_allclose(to_nanometres([400, 2500]), [400, 2500])
    np.testing.assert_allclose(to_nanometres([0.4], "Micrometers"), [400])
    np.testing.assert_allclose(to_nanometres([50], "nm"), [50])
    np.testing.assert_allclose(to_nanometres([25000, 4000], "cm-1"), [400, 2500])


# to a scene

def test_micrometres_meet_nanometres():
    made = from_features([profile([0.4, 0.5, 0.6], [1, 2, 3], "Micrometers"),
                          profile([0.4, 0.5, 0.6], [4, 5, 6], "um")])
    assert made.to_scene(bands([400, 550, 600])).tolist() == [[1, 4], [2.5, 5.5], [3, 6]]


def test_no_overlap_is_a_sentence():
    with pytest.raises(UserError, match="cover 900-2500 nm, the raster 400-800 nm"):
        spectra([900, 2500], [1, 2]).to_scene(bands([400, 600, 800]))


def test_less_than_half_an_overlap_is_a_sentence():
    with pytest.raises(UserError, match="2 of its 5 bands"):
        spectra([700, 800, 900], [1, 2, 3]).to_scene(bands([400, 500, 600, 700, 800]))


def test_bands_beyond_the_spectra_are_taken_out_and_said():
    scene, said = bands([400, 500, 600, 700, 800], [10] * 5), []
    M = spectra([500, 600, 700], [1, 2, 3]).to_scene(scene, lambda template, **arguments: said.append(arguments))
    assert M.ravel().tolist() == [1, 2, 3]
    assert scene.indexes.tolist() == [2, 3, 4]
    assert said[0]["count"] == 2


def test_band_numbers_meet_band_numbers():
    numbered = spectra([1, 2, 3, 4], [10, 20, 30, 40], wavelengths=False)
    assert numbered.to_scene(bands(count=5, indexes=[2, 4])).ravel().tolist() == [20, 40]
    of_used = spectra([1, 3], [10, 30], wavelengths=False)
    assert of_used.to_scene(bands(count=3, indexes=[3])).ravel().tolist() == [30]


def test_equal_counts_match_without_wavelengths():
    assert spectra([400, 500, 600], [1, 2, 3]).to_scene(bands(count=3)).ravel().tolist() == [1, 2, 3]
    assert spectra([400, 500, 600], [1, 2, 3]).to_scene(bands(count=3, indexes=[1, 3])).ravel().tolist() == [1, 3]


@pytest.mark.parametrize("scene, wavelengths, words", [
    (bands(count=5), True, "the raster has no wavelengths"),
    (bands([400, 500, 600, 700, 800]), False, "the endmembers have no wavelengths")])
def test_other_counts_without_wavelengths_are_a_sentence(scene, wavelengths, words):
    with pytest.raises(UserError, match=words):
        spectra([400, 500, 600], [1, 2, 3], wavelengths).to_scene(scene)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_a_sentence(value):
    with pytest.raises(UserError, match="s1 holds missing or infinite"):
        spectra([400, 500], [[1, 2], [3, value]]).to_scene(bands([400, 500]))


# layers

def test_profiles_survive_the_layer():
    before = Spectra(["tree", "soil"], np.array([[1, 2], [0.1, np.pi]]), np.array([399.123456, 500]), True, ["a", ""],
                     [(1.0, 2.0), None], [{"class": 3}, {}])
    again = from_features(json.loads(json.dumps(before.to_features())))
    assert (again.names, again.sources, again.attributes) == (before.names, before.sources, before.attributes)
    assert (again.M == before.M).all() and (again.x == before.x).all() and again.wavelengths
    assert list(again.points[0]) == [1, 2] and again.points[1] is None


def test_missing_values_survive_the_layer_as_json_has_them():
    """NaN is no JSON: QGIS would drop the whole job, and GeoPackage readers the profile."""
    before = spectra([400, 500, 600], [1, np.nan, 3])
    text = json.dumps(before.to_features(), allow_nan=False)
    np.testing.assert_array_equal(from_features(json.loads(text)).M, before.M)


def test_band_numbers_survive_the_layer():
    again = from_features(spectra([1, 4], [1, 2], wavelengths=False).to_features())
    assert not again.wavelengths and again.x.tolist() == [1, 4]


@pytest.mark.parametrize("profile", [{"y": [1, 2, 3]}, {"x": None, "y": [1, 2, 3], "xUnit": None},
                                     {"x": [1, 2, 3], "y": [1, 2, 3], "xUnit": "Index"}])
def test_enmap_box_profiles_without_wavelengths_are_numbered(profile):
    made = from_features([{"name": "a", "profile": profile}])
    assert not made.wavelengths and made.x.tolist() == [1, 2, 3]


def test_enmap_box_profile_with_its_unit_and_bad_bands():
    made = from_features([{"name": "a", "profile": {"x": [0.46, 0.465], "y": [1, None], "xUnit": "μm",
                                                "bbl": [1, 0]}}])
    np.testing.assert_allclose(made.x, [460, 465])
    assert np.isnan(made.M[1, 0])


def test_other_grids_come_to_the_first_one_with_gaps_where_they_do_not_reach():
    made = from_features([profile([400, 500, 600], [1, 2, 3]), profile([450, 550, 650], [10, 20, 30], name="b")])
    np.testing.assert_array_equal(made.M[:, 1], [np.nan, 15, 25])


@pytest.mark.parametrize("features, words", [
    ([], "no features"), ([{"name": "a", "profile": None}], "no spectrum in its field `profile`"),
    ([profile([400, 500], [1, 2, 3])], "3 values and 2 wavelengths"),
    ([profile([400, 500], [1, 2]), profile(None, [1, 2, 3])], "no common wavelengths")])
def test_layers_that_hold_no_spectra_are_a_sentence(features, words):
    with pytest.raises(UserError, match=words):
        from_features(features)


@pytest.mark.parametrize("profile", [
    {"y": ["a", "b"]}, {"y": [[1, 2], [3, 4]]}, {"y": True}, {"y": 5}, {"x": ["a", "b"], "y": [1, 2]},
    {"x": True, "y": [1]}, {"x": [400, 500], "y": [1, 2], "xUnit": 5}])
def test_profiles_that_are_no_numbers_are_a_sentence(profile):
    with pytest.raises(UserError, match="Feature 1 of the layer for ENDMEMBERS has no spectrum in its field"):
        from_features([{"name": "a", "profile": profile}])


@pytest.mark.parametrize("x, unit", [([0, 500], "nm"), ([-1, 500], "nm"), ([None, 500], "nm"), ([0, 0], "cm-1"),
                                     ([None, 2], "Band Number")])
def test_wavelengths_that_cannot_be_are_a_sentence(x, unit):
    with pytest.raises(UserError, match="The spectrum a has the wavelength"):
        from_features([{"name": "a", "profile": {"x": x, "y": [1, 2], "xUnit": unit}}])


@pytest.mark.parametrize("value", [1e300, -2e14, 1e-300])
def test_values_that_cannot_be_computed_with_are_a_sentence(value):
    with pytest.raises(UserError, match="The spectrum a has values up to .*, too large or too small"):
        from_features([{"name": "a", "profile": {"y": [0.0, None, value]}}])


def test_zeros_are_values():
    assert not from_features([{"name": "a", "profile": {"y": [0, 0]}}]).M.any()


def test_band_indices_may_start_at_zero():
    assert from_features([{"name": "a", "profile": {"x": [0, 1], "y": [1, 2], "xUnit": "Band Index"}}]).x[0] == 0


def test_names_are_made_distinct():
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]
    assert unique(["a", "a", "a (2)"]) == ["a", "a (3)", "a (2)"]
    assert len(set(unique(["a", "a (2)", "a", "a", "a (2)"]))) == 5


def test_spectra_of_a_scene_carry_its_wavelengths_or_band_numbers():
    scene = bands([400, 500], indexes=[3, 5])
    assert of_scene(scene, [[1], [2]], ["a"]).x.tolist() == [400, 500]
    scene = bands(count=6, indexes=[3, 5])
    made = of_scene(scene, [[1], [2]], ["a"])
    assert made.x.tolist() == [3, 5] and not made.wavelengths


@pytest.mark.parametrize("fwhm, kept", [(None, [500, 700, 1500, 1700]), (900, [500, 700, 1000, 1500, 1700])])
def test_a_gap_of_the_spectra_is_not_bridged_by_bands_narrower_than_it(fwhm, kept):
    x = np.concatenate([np.arange(400, 801, 10), np.arange(1400, 1801, 10)]).astype(float)
    scene = bands([500, 700, 1000, 1500, 1700], None if fwhm is None else np.full(5, float(fwhm)))
    said = []
    M = spectra(x, np.ones((len(x), 1))).to_scene(scene, lambda template, **values: said.append(
        template.format(**values)))
    assert scene.wavelengths.tolist() == kept and len(M) == len(kept)
    assert bool(said) == (len(kept) == 4)


def test_fields_that_a_layer_has_of_its_own_are_renamed():
    one = spectra([400, 500], np.ones((2, 1)))
    from dataclasses import replace
    row = replace(one, attributes=[{"FID": 3, "geom": "x", "Name": "y", "name_2": "z"}]).to_features()[0]["attributes"]
    assert sorted(row.values(), key=str) == [3, "x", "y", "z"]
    assert not {"fid", "geom", "name"} & {name.lower() for name in row} and len({name.lower() for name in row}) == 4
