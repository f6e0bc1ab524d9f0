"""The tools redsunn and applyredsunn: what is learned, written and said, and what is refused."""

import numpy as np
import pytest
import rasterio

pytest.importorskip("torch")

from sequenceruns import BANDS, COLS, DATES, NODATA, ROWS, WAVES, P, endmembers, images, matched, pixels, stack, truth
from toolruns import given as as_given
from toolruns import raster, read, run_tool, spectra

from subpixel.algorithms.multitemporal.redsunn import train
from subpixel.algorithms.multitemporal.sequence import reference
from subpixel.engine.main import run
from subpixel.engine.sentences import UserError

QUICK = {"COUNT": P, "EPOCHS": 6, "BATCH": 16, "FUNCTIONS": 2, "SIGMAPSI": 0.02, "RATE": 2e-3, "DRAWS": 10}
FOLDERS = ("ABUNDANCES", "UNCERTAINTY", "VARIABILITY")
WRITTEN = (*FOLDERS, "CHANGE", "CHANGEINDEX")


def ran(folder, given, tool="redsunn", wanted=("ABUNDANCES",), **values):
    """Run a tool: its rasters by name, NaN for nodata, the result, and all that was said."""
    result, said = run_tool(tool, {"IMAGES": given, **values},
                            **{name: folder / (name.lower() + ".npz" * (name == "MODEL")) for name in wanted})
    arrays = {name: stack(folder, result, name) if name in FOLDERS else read(folder / name.lower())
              for name in wanted if name in WRITTEN}
    return {name: np.where(array == NODATA, np.nan, array) for name, array in arrays.items()}, result, said


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of a run with every output, the images, its rasters, the result, and what was said."""
    folder = tmp_path_factory.mktemp("learned")
    given = images(folder, noise=2e-3)
    return folder, given, *ran(folder, given, wanted=(*WRITTEN, "ESTIMATED", "MODEL", "REPORT"), **QUICK)


@pytest.fixture(scope="module")
def direct(learned):
    """The model as the algorithm itself learns it, the images (T, L, N), and what is valid (T, N)."""
    Y, valid = pixels(learned[1])
    Y = np.where(valid[:, None], Y, 0)
    M0 = reference(Y, P, np.random.default_rng(0), valid)
    usable = valid.any(axis=0)
    return train(Y[:, :, usable], M0, K=2, sigma_psi=0.02, epochs=6, batch=16, rate=2e-3,
                 valid=valid[:, usable]), Y, valid


def test_abundances_are_recovered_and_the_patch_that_changes_is_found(learned):
    arrays = learned[2]
    A = arrays["ABUNDANCES"]
    A = A[:, matched(A)]
    assert np.nanmean(np.abs(A - truth())) < 0.08
    assert np.nanmin(A) >= 0 and np.nanmax(np.abs(A.sum(axis=1) - 1)) < 1e-4
    assert np.allclose(arrays["CHANGE"], arrays["ABUNDANCES"][2] - arrays["ABUNDANCES"][0], atol=1e-6, equal_nan=True)
    index = arrays["CHANGEINDEX"]
    assert index.shape == (2, ROWS, COLS) and np.nanmin(index) >= 0 and np.nanmax(index) <= 1
    assert index[1, 3:6, 4:8].mean() > 4 * np.nanmedian(index[1])
    assert learned[3]["numbers"]["RMSE"] < 0.03


def test_a_masked_pixel_is_filled_but_has_no_change_index(learned):
    for name, array in learned[2].items():
        missing = [np.argwhere(np.isnan(part).any(axis=0)).tolist() for part in
                   (array if array.ndim == 4 else array[:, None])]
        expected = [[[0, 0]]] * len(array)
        if name == "CHANGEINDEX":
            expected[0] = [[0, 0], [5, 6]]   # that of the second date, at which it is masked
        assert missing == expected, name


def test_rasters_are_those_of_the_algorithm(learned, direct):
    model, Y, valid = direct
    found, arrays = model.unmix(Y, valid), learned[2]
    index = np.where(valid, found.u, np.nan)[1:]
    for name, expected in {"ABUNDANCES": found.A, "UNCERTAINTY": model.uncertainty(Y, valid, 10, 0),
                           "VARIABILITY": model.departure(found.psi), "CHANGEINDEX": index}.items():
        assert np.allclose(arrays[name].reshape(expected.shape), expected, rtol=0.01, atol=1e-3, equal_nan=True), name
    estimated = np.array([feature["profile"]["y"] for feature in learned[3]["spectra"]["ESTIMATED"]["features"]]).T
    assert np.allclose(estimated, model.M0, rtol=1e-3)
    assert not np.allclose(estimated, reference(Y, P, np.random.default_rng(0), valid), rtol=1e-3)


def test_rasters_are_dated_named_and_shown_alike(learned):
    folder, _, arrays, result, _ = learned
    names = [f"endmember {number}" for number in range(1, P + 1)]
    for output in FOLDERS:
        looks = result["folders"][output]
        assert [look["file"] for look in looks] == [f"{date}.tif" for date in DATES]
        assert all(look["names"] == names for look in looks)
        assert {look["band"] for look in looks} == {result["rasters"]["CHANGE"]["band"]}
    for output in ("UNCERTAINTY", "VARIABILITY"):
        low, high = result["folders"][output][0]["range"]
        assert low == 0 and np.nanmedian(arrays[output]) < high <= 1.001 * np.nanmax(arrays[output])
    with rasterio.open(folder / "changeindex") as file:
        assert file.descriptions == DATES[1:]


def test_the_report_has_the_learning_curve(learned):
    folder, _, _, _, said = learned
    words = (folder / "report").read_text(encoding="utf-8")
    assert "<h2>Learning</h2>" in words and "<h2>Learned reference endmembers</h2>" in words
    for name in ("evidence bound", "likelihood", "divergence of the fractions", "divergence of the spectra"):
        assert f'"name":"{name}"' in words
    assert words.count("<figure>") == len(DATES)
    assert len([line for line in said if line.startswith("Epoch ") and "evidence bound" in line]) == 6
    assert not any("time limit" in line for line in said)


# a model applied

def test_a_saved_model_gives_what_its_own_run_gave(learned, tmp_path):
    folder, given, arrays, result, _ = learned
    again, applied, _ = ran(tmp_path, given, "applyredsunn", WRITTEN, MODEL=str(folder / "model.npz"), DRAWS=10)
    for name in WRITTEN:
        assert np.allclose(again[name], arrays[name], atol=1e-5, equal_nan=True), name
    assert applied["numbers"]["RMSE"] == pytest.approx(result["numbers"]["RMSE"], rel=1e-4)


def test_a_model_is_applied_to_other_dates_and_a_larger_image(learned, tmp_path):
    folder, given, arrays, _, _ = learned
    few, result, _ = ran(tmp_path, given[1:], "applyredsunn", MODEL=str(folder / "model.npz"))
    assert [look["file"] for look in result["folders"]["ABUNDANCES"]] == [f"{date}.tif" for date in DATES[1:]]
    assert np.nanmean(np.abs(few["ABUNDANCES"][0] - arrays["ABUNDANCES"][1])) < 0.1
    twice = [{"path": str(raster(tmp_path / f"twice_{date}.tif", np.tile(read(image["path"]), (1, 1, 2)),
                                 wavelengths=WAVES)), "crs": None} for date, image in zip(DATES, given)]
    wide, _, _ = ran(tmp_path / "wide", twice, "applyredsunn", MODEL=str(folder / "model.npz"))
    assert np.allclose(wide["ABUNDANCES"], np.tile(arrays["ABUNDANCES"], (1, 1, 1, 2)), atol=1e-4, equal_nan=True)


def others(folder, given, change, wavelengths=WAVES):
    """The images, each changed."""
    return [{"path": str(raster(folder / f"other_{date}.tif", change(read(image["path"])), wavelengths=wavelengths)),
             "crs": None} for date, image in zip(DATES, given)]


def constant(cube):
    cube[7] = np.where(cube[7] == NODATA, NODATA, 0.5)
    return cube


@pytest.mark.parametrize("change, wavelengths, words", [
    (lambda cube: cube[:-1], WAVES[:-1], f"The model is for images of {BANDS} bands, and these have 19. Choose images"),
    (lambda cube: cube, WAVES + 40, "Band 1 is at 450 nm in the model and at 490 nm in the images. Choose images of"),
    (constant, WAVES, "The model needs band 8, which holds no information in one of the images. Leave that image")])
def test_images_of_other_bands_are_refused(change, wavelengths, words, learned, tmp_path):
    other = others(tmp_path, learned[1], change, wavelengths)
    with pytest.raises(UserError) as problem:
        ran(tmp_path / "results", other, "applyredsunn", MODEL=str(learned[0] / "model.npz"))
    assert words in str(problem.value) and not (tmp_path / "results").exists()


def test_a_band_that_the_model_was_not_learned_with_is_left_out(learned, tmp_path):
    dead = others(tmp_path, learned[1], constant)
    first, _, _ = ran(tmp_path, dead, wanted=("ABUNDANCES", "MODEL"), **{**QUICK, "EPOCHS": 1})
    again, _, _ = ran(tmp_path / "again", learned[1], "applyredsunn", MODEL=str(tmp_path / "model.npz"))
    assert np.allclose(again["ABUNDANCES"], first["ABUNDANCES"], atol=1e-5, equal_nan=True)


def wrong_file(kind, folder, model):
    """A file that is no model, of some kind."""
    path = folder / f"{kind}.npz"
    if kind == "text":
        path.write_text("name,value\nwater,0.3\n", encoding="utf-8")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(model.read_bytes()[:2000])
    elif kind == "damaged":
        content = bytearray(model.read_bytes())
        content[len(content) // 2:len(content) // 2 + 400] = bytes(400)
        path.write_bytes(bytes(content))
    elif kind == "array":
        with open(path, "wb") as file:
            np.save(file, np.ones(3))
    elif kind == "other arrays":
        np.savez(path, weights=np.ones(3))
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "damaged", "array", "other arrays"])
def test_a_file_that_is_no_model_is_a_sentence(kind, learned, tmp_path):
    path = wrong_file(kind, tmp_path, learned[0] / "model.npz")
    with pytest.raises(UserError) as problem:
        ran(tmp_path / "results", learned[1], "applyredsunn", MODEL=str(path))
    assert str(problem.value) == (f"{path} is no model that the tool redsunn has saved, or it is damaged. Choose such "
                                  "a file (.npz).")
    assert not (tmp_path / "results").exists()


def test_a_model_that_is_not_there_is_a_sentence(learned, tmp_path):
    with pytest.raises(UserError, match="no.npz cannot be read: No such file or directory. Choose a model that"):
        ran(tmp_path / "results", learned[1], "applyredsunn", MODEL=str(tmp_path / "no.npz"))


def test_a_model_whose_arrays_were_changed_is_a_sentence(learned, tmp_path):
    with np.load(learned[0] / "model.npz") as file:
        state = {name: file[name] for name in file.files}
    np.savez(tmp_path / "changed.npz", **{**state, "M0": state["M0"][:, :2]})
    with pytest.raises((UserError, ValueError), match="or it is damaged") as problem:
        ran(tmp_path / "results", learned[1], "applyredsunn", MODEL=str(tmp_path / "changed.npz"))
    assert str(problem.value).endswith(".") and not (tmp_path / "results").exists()


# learning

def test_the_time_limit_ends_learning_after_an_epoch_and_is_said(tmp_path):
    told = []
    given = images(tmp_path)
    run({"tool": "redsunn", "values": {"IMAGES": given, **QUICK, "MINUTES": 0}, "version": "test",
         "outputs": {"ABUNDANCES": str(tmp_path / "out"), "REPORT": str(tmp_path / "report.html")}}, told.append)
    warnings = [message["warning"].format(**message["arguments"]) for message in told if "warning" in message]
    assert warnings == ["Learning was ended by the time limit after 1 of 6 epochs."]
    assert len(list((tmp_path / "out").glob("*.tif"))) == len(DATES)
    progress = [message["progress"] for message in told if "progress" in message]
    assert progress[-1] == 99 and all(percent <= 67 for percent in progress[:-1])


def test_given_endmembers_are_the_reference_and_name_the_bands(tmp_path):
    names = ["water", "tree", "soil"]
    library = spectra(endmembers(1), names, WAVES)
    values = {**QUICK, "ENDMEMBERS": as_given(library)}
    arrays, result, _ = ran(tmp_path, images(tmp_path, noise=2e-3), wanted=("ABUNDANCES", "MODEL", "ESTIMATED"),
                            **values)
    assert np.nanmean(np.abs(arrays["ABUNDANCES"] - truth())) < 0.08   # in their order
    assert [look["names"] for look in result["folders"]["ABUNDANCES"]] == [names] * len(DATES)
    features = result["spectra"]["ESTIMATED"]["features"]
    assert [feature["name"] for feature in features] == names
    assert {feature["source"] for feature in features} == {"learned by ReDSUNN"}
    _, again, _ = ran(tmp_path / "again", images(tmp_path, noise=2e-3), "applyredsunn",
                      MODEL=str(tmp_path / "model.npz"))
    assert [look["names"] for look in again["folders"]["ABUNDANCES"]] == [names] * len(DATES)


def test_too_many_functions_are_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="between 1 and the number of bands, 20") as problem:
        ran(tmp_path / "results", images(tmp_path), **{**QUICK, "FUNCTIONS": BANDS + 1})
    assert str(problem.value).endswith(".") and not (tmp_path / "results").exists()
