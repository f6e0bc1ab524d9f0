"""What the tools for events share: samples read and refused, blocks detected and written, the report, the model."""

import json

import numpy as np
import pytest
import rasterio

pytest.importorskip("torch")

from eventruns import COLS, DATES, FIRES, FLOODS, NODATA, QUIET, ROWS, T, cubes, find, images, place, sample, samples
from toolruns import read, run_tool, spectra

from subpixel.algorithms.events.deepnmfd import DeepNMFD
from subpixel.algorithms.events.network import Settings
from subpixel.algorithms.events.padnmf import PadNMF
from subpixel.engine import memory, models
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError


@pytest.fixture
def series(tmp_path):
    return {"IMAGES": images(tmp_path), "SAMPLES": samples()}


def changed(series, **attributes):
    """The series with other attributes of the first sample."""
    series["SAMPLES"]["features"][0]["attributes"].update(attributes)
    return series


def refused(values, tmp_path):
    with pytest.raises(UserError) as error:
        find(values, EVENT=tmp_path / "event.tif")
    return str(error.value)


@pytest.fixture
def learned(series, tmp_path):
    return find(series, EVENT=tmp_path / "event.tif")[0].learned


def test_samples_are_the_pixels_of_all_dates(learned):
    X, valid, label, dates = learned
    where = {**{at: (1, begin) for at, begin in FIRES.items()}, **{at: (2, begin) for at, begin in FLOODS.items()},
             **{at: (0, -1) for at in QUIET}}
    assert X.shape == (3, 9, T) and X.dtype == np.float32
    for number, (row, col) in enumerate(sorted(where)):
        expected = cubes()[:, :, row, col].T
        np.testing.assert_allclose(X[:, number], np.where(expected == NODATA, 0, expected), rtol=1e-6)
        assert (label[number], dates[number]) == where[row, col]
    assert (~valid).sum() == 1 and not valid[sorted(where).index((3, 3)), 2]


def test_events_and_their_dates_are_where_they_were_planted(series, tmp_path):
    _, result, said, steps = find(series, EVENT=tmp_path / "event.tif", DATEOFEVENT=tmp_path / "date.tif",
                                  INDEX=tmp_path / "index.tif")
    event, begun, index = (read(tmp_path / f"{name}.tif") for name in ("event", "date", "index"))
    expected, dates = np.zeros((ROWS, COLS)), np.zeros((ROWS, COLS))
    for number, events in ((1, FIRES), (2, FLOODS)):
        for at, begin in events.items():
            expected[at], dates[at] = number, begin + 1
    expected[0, 0] = 255
    assert np.array_equal(event[0], expected) and np.array_equal(begun[0], dates)
    assert (event.dtype, begun.dtype, index.shape) == (np.uint8, np.uint16, (2, ROWS, COLS))
    assert ((index[0] > 1) == (expected == 1)).all() and index[0, 0, 0] == -9999
    assert "fire: 3 pixels, 3.80 %." in said and "Sample pixels: 3 without an event, fire 3, flood 3." in said
    assert steps == sorted(steps)
    looks = result["rasters"]
    assert looks["EVENT"]["names"] == ["none", "fire", "flood"] and looks["EVENT"]["numbers"] == [0, 1, 2]
    assert looks["DATEOFEVENT"]["names"] == DATES and looks["DATEOFEVENT"]["style"] == "date"
    assert looks["INDEX"]["names"] == ["fire", "flood"] and looks["INDEX"]["range"][1] >= 1


def test_report_shows_samples_dates_courses_and_the_map(series, tmp_path):
    find(series, EVENT=tmp_path / "event.tif", REPORT=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("What the samples are detected as", "Events over time", "Courses of the events", "image/png",
                  "<tr><td>fire</td><td>3</td><td>0</td><td>3</td><td>0</td></tr>"):
        assert words in text


def test_report_shows_no_index_of_a_threshold_next_to_zero():
    from types import SimpleNamespace

    from subpixel.tools.events._events import add_samples
    rows = []
    report = SimpleNamespace(heading=lambda words: None, table=lambda names, lines: rows.extend(lines))
    samples = SimpleNamespace(names=["fire", "flood"], counts=[1, 1, 1], label=np.array([0, 1, 2]),
                              date=np.array([-1, 2, 2]))
    found = SimpleNamespace(event=np.array([0, 1, 2]), date=np.array([-1, 2, 3]),
                            index=np.array([[0.5, 12.5, 0], [1e-9, 0, 1e16]]))
    add_samples(report, samples, found)
    assert rows[-2:] == [["fire", 12.5, 0.5, 1, 0.0], ["flood", "above 1000", 1e-9, 1, 1.0]]


def test_model_is_saved_with_what_it_fits(series, tmp_path):
    find(series, EVENT=tmp_path / "event.tif", MODEL=tmp_path / "model.npz")
    declaration, arrays = models.load(str(tmp_path / "model.npz"), ("findjumps",))
    assert declaration["names"] == ["fire", "flood"] and declaration["dates"] == T and declaration["days"] == 20
    assert arrays["levels"].shape == (2,)
    json.dumps(declaration)


@pytest.mark.parametrize(("value", "expected"), [
    (DATES[1], 1), ("2020-01-11", 1), ("2020-01-10", 0), (DATES[-1], T - 1), ("", -1), (None, -1),
    (f"{DATES[1]}T00:00:00", 1)])
def test_a_date_belongs_to_the_first_image_at_or_after_it(series, tmp_path, value, expected):
    dates = find(changed(series, eventdate=value), EVENT=tmp_path / "event.tif")[0].learned[3]
    assert dates[1] == expected   # (1, 1) comes second, row by row


def test_dates_may_be_unknown_altogether(series, tmp_path):
    dates = find({**series, "DATEFIELD": None}, EVENT=tmp_path / "event.tif")[0].learned[3]
    assert (dates == -1).all()

def test_classes_may_be_numbers_and_the_value_without_an_event_any(series, tmp_path):
    for feature in series["SAMPLES"]["features"]:
        feature["attributes"]["event"] = {"fire": 7, "flood": 3.0, "none": 0}[feature["attributes"]["event"]]
    _, result, _, _ = find({**series, "NOEVENT": "0"}, EVENT=tmp_path / "event.tif")
    assert result["rasters"]["EVENT"]["names"] == ["none", "7", "3"]


def test_polygons_take_the_pixels_that_they_hold(series, tmp_path):
    (left, top), (right, bottom) = place(4, 2), place(6, 3)
    ring = [[left - 1, top + 1], [right + 1, top + 1], [right + 1, bottom - 1], [left - 1, bottom - 1],
            [left - 1, top + 1]]
    series["SAMPLES"]["features"].append({"geometry": {"type": "Polygon", "coordinates": [ring]}, "id": 99,
                                          "attributes": {"event": "NONE", "eventdate": None}})
    X, _, label, _ = find(series, EVENT=tmp_path / "event.tif")[0].learned
    assert (label == 0).sum() == 3 + 6


def test_what_is_left_out_is_said(series, tmp_path):
    features = series["SAMPLES"]["features"]
    features += [sample(0, 0, 20, event="none", eventdate=None), sample(50, 50, 21, event="fire", eventdate=None),
                 sample(4, 4, 22, event=None, eventdate=None), sample(7, 0, 23, event="fire", eventdate=None),
                 sample(1, 1, 24, event="fire", eventdate=DATES[1])]
    tool, _, said, _ = find(series, EVENT=tmp_path / "event.tif")
    assert "Left out 1 samples that lie outside the images." in said
    assert "Left out 1 samples without a value in the field event." in said
    assert "Left out 1 pixels under samples of different events or dates." in said
    assert "Left out 1 of 9 pixels under samples: they are nodata at every date." in said
    assert np.bincount(tool.learned[2]).tolist() == [2, 3, 3]   # (7, 0) is contradictory, (1, 1) is there twice


@pytest.mark.parametrize(("attributes", "words"), [
    ({"eventdate": "in spring"}, "The sample 1 has in spring in the field eventdate, which is no date"),
    ({"eventdate": "2019-12-31"}, "The event of sample 1 has the date 2019-12-31, outside the series"),
    ({"eventdate": "2021-01-01"}, "from 2020-01-10 to 2020-04-19"),
    ({"event": "frost"}, "The event frost has 1 sample pixels on the images, and at least 2")])
def test_bad_attributes_are_a_sentence(series, tmp_path, attributes, words):
    assert words in refused(changed(series, **attributes), tmp_path)


def test_bad_samples_are_a_sentence(series, tmp_path):
    features = series["SAMPLES"]["features"]
    assert "no field kind" in refused({**series, "EVENTFIELD": "kind"}, tmp_path)
    assert "no field when" in refused({**series, "DATEFIELD": "when"}, tmp_path)
    assert "No sample is without an event: none on the images has the value nothing" in refused(
        {**series, "NOEVENT": "nothing"}, tmp_path)
    only = {"source": "", "features": features[-3:]}
    assert "No sample names an event" in refused({**series, "SAMPLES": only}, tmp_path)
    away = {"source": "", "features": [sample(50, 50, 1, event="fire", eventdate=None)]}
    assert "None of the 1 samples lies on the images" in refused({**series, "SAMPLES": away}, tmp_path)
    twice = {"source": "", "features": [sample(1, 1, 1, event=event, eventdate=None) for event in ("fire", "flood")]}
    assert "All 1 pixels under the samples lie under several" in refused({**series, "SAMPLES": twice}, tmp_path)
    masked = {"source": "", "features": [sample(0, 0, 1, event="fire", eventdate=None)]}
    assert "All 1 pixels under the samples are nodata" in refused({**series, "SAMPLES": masked}, tmp_path)
    assert "no features" in refused({**series, "SAMPLES": {"source": "", "features": []}}, tmp_path)


def test_negative_values_are_refused_with_their_number_or_clipped(tmp_path):
    values = cubes()
    values[0, 1, 1, 1] = -0.5
    series = {"IMAGES": images(tmp_path, values), "SAMPLES": samples()}
    assert "1 of 162 values of the samples are negative, the least -0.5" in refused(series, tmp_path)
    tool, _, said, _ = find({**series, "CLIP": True}, EVENT=tmp_path / "event.tif")
    assert tool.learned[0].min() == 0
    assert "Set 1 of 162 values of the samples that are negative to 0." in said
    assert "Set 1 negative values of the images to 0." in said


def test_negative_values_beside_the_samples_are_refused_too(tmp_path):
    values = cubes()
    values[0, 1, 4, 4] = -0.5
    series = {"IMAGES": images(tmp_path, values), "SAMPLES": samples()}
    assert "values of some pixels of the images are negative, the least -0.5" in refused(series, tmp_path)
    assert "values of a part of the images are negative, the least -0.5" in refused(
        {**series, "UNLABELLED": 0}, tmp_path)


def test_further_pixels_are_spread_over_the_images(series, tmp_path):
    assert find({**series, "UNLABELLED": 0}, EVENT=tmp_path / "event.tif")[0].unlabelled is None
    X, valid = find(series, EVENT=tmp_path / "event.tif")[0].unlabelled
    expected = np.where(cubes() == NODATA, 0, cubes()).reshape(T, 3, -1)[:, :, 1:].transpose(1, 2, 0)
    np.testing.assert_allclose(X, expected, rtol=1e-6)   # all but (0, 0), which is never valid
    assert valid.shape == (ROWS * COLS - 1, T) and (~valid).sum() == 1
    assert find({**series, "UNLABELLED": 20}, EVENT=tmp_path / "event.tif")[0].unlabelled[0].shape == (3, 20, T)


def test_images_of_one_band_will_do(tmp_path):
    values = cubes()[:, :1]
    features = [feature for feature in samples()["features"] if feature["attributes"]["event"] != "flood"]
    tool, result, _, _ = find({"IMAGES": images(tmp_path, values), "SAMPLES": {"source": "", "features": features}},
                              EVENT=tmp_path / "event.tif")
    assert tool.learned[0].shape == (1, 6, T) and result["rasters"]["EVENT"]["names"] == ["none", "fire"]


def test_simulated_rasters_and_samples_agree(tmp_path):
    x = np.linspace(0, 1, 8)
    library = spectra(np.stack([0.3 + 0.2 * np.sin(5 * x), 0.2 + 0.5 * x, 0.6 - 0.4 * x], axis=1), list("abc"),
                      450 + 1000 * x)
    outputs = {"IMAGES": tmp_path / "images", "TRUEEVENT": tmp_path / "event.tif", "TRUEDATE": tmp_path / "date.tif",
               "TRUESTRENGTH": tmp_path / "strength.tif", "SAMPLES": "samples"}
    result, said = run_tool("simulateevents", {"ENDMEMBERS": library, "ROWS": 20, "COLUMNS": 25, "DATECOUNT": 8,
                                               "SAMPLECOUNT": 3, "MINANGLE": 1}, **outputs)
    event, begun, strength = (read(tmp_path / f"{name}.tif")[0] for name in ("event", "date", "strength"))
    assert np.bincount(event.ravel()).tolist()[0] == 350 and np.array_equal(event > 0, begun > 0)
    assert np.array_equal(event > 0, strength > 0)
    looks = result["folders"]["IMAGES"]
    layer = result["spectra"]["SAMPLES"]
    assert layer["names"] == ["abrupt", "plateau", "gradual", "none"] and "32633" in layer["crs"]
    assert [feature["name"] for feature in layer["features"]] == sum(
        ([name] * count for name, count in zip(layer["names"], (3, 3, 3, 9))), [])
    cubes = np.stack([read(tmp_path / "images" / look["file"]) for look in looks])
    with rasterio.open(tmp_path / "event.tif") as file:
        for feature in layer["features"]:
            row, col = file.index(*feature["point"])
            named = feature["attributes"]["event"]
            assert event[row, col] == (layer["names"][:3].index(named) + 1 if named != "none" else 0)
            t = max(int(begun[row, col]) - 1, 0)
            assert feature["attributes"]["eventdate"] == (looks[t]["time"][0][:10] if named != "none" else None)
            assert feature["profile"]["y"] == pytest.approx(cubes[t, :, row, col].tolist(), rel=1e-6)
    assert any(line.startswith("abrupt: 50 pixels, of b") for line in said)


@pytest.mark.parametrize(("values", "words"), [
    ({"CLASSES": 7}, "event classes is 7"), ({"STRENGTH": 0.9}, "Strengths from 0.7 to 1.1"),
    ({"SEASONAL": 3}, "3 of 3 materials"), ({"SAMPLECOUNT": 400}, "400 samples are asked for"),
    ({"START": "spring"}, "spring in First date is no date"), ({"COUNT": 1}, "The number of endmembers is 1")])
def test_simulation_that_cannot_be_is_a_sentence(tmp_path, values, words):
    library = spectra(np.random.default_rng(0).uniform(0.1, 1, (8, 3)))
    with pytest.raises((UserError, ValueError), match=words):
        run_tool("simulateevents", {"ENDMEMBERS": library, "ROWS": 20, "COLUMNS": 25, **values},
                 IMAGES=tmp_path / "images")


SMALL = {"DATEFIELD": "eventdate", "LENGTH": 3, "BACKGROUNDS": 2, "LAYERS": 40, "DISCRIMINATIVE": 3, "EPOCHS": 2,
         "MIXTURES": 50, "BATCH": 30}


@pytest.mark.parametrize("tool", ["padnmf", "deepnmfd"])
@pytest.mark.parametrize("more", [{}, {"FEATURES": "values", "UNCERTAINTY": "0"}])
def test_networks_find_what_was_planted(series, tmp_path, tool, more):
    series["SAMPLES"]["features"] += [sample(row, col, 100 + 10 * row + col, event="none", eventdate=None)
                                      for row in (3, 4, 7) for col in range(COLS)]
    _, said = run_tool(tool, {**series, **SMALL, **more}, EVENT=tmp_path / "event.tif",
                       DATEOFEVENT=tmp_path / "date.tif", REPORT=tmp_path / "report.html", MODEL=tmp_path / "model.npz")
    event, begun = read(tmp_path / "event.tif")[0], read(tmp_path / "date.tif")[0]
    for number, events in ((1, FIRES), (2, FLOODS)):
        assert [event[at] for at in events] == [number] * 3
        assert [begun[at] - 1 for at in events] == list(events.values())
    assert ((event == 1) | (event == 2)).sum() < 15 and event[0, 0] == 255
    assert not any("sample pixels are without an event" in line for line in said)
    assert sum(line.startswith("Epoch ") for line in said) == 2
    assert any(line.startswith("Learning ") for line in said)
    settings = json.loads(str(models.load(str(tmp_path / "model.npz"), (tool,))[1]["settings"]))
    wanted = {"length": 3, "backgrounds": 2, "K": 40, "C": 3, "mixtures": 50, "changes": not more, "groups": 12,
              "beta": 0.0 if more else 2.0, "threshold": "max", "fidelity": 1e6, "sparsity": 0.0}
    assert settings == wanted
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("Learning", "What the events change", "images off on average"):
        assert words in text


def test_layers_that_do_not_learn_need_no_epochs(series, tmp_path):
    _, said = run_tool("deepnmfd", {**series, **SMALL, "DISCRIMINATIVE": 0}, EVENT=tmp_path / "event.tif")
    assert not any("Epoch" in line or "lower" in line for line in said)
    assert any(line.startswith("Only 3 sample pixels are without an event") for line in said)


@pytest.mark.parametrize(("values", "words"), [
    ({"LENGTH": 7}, "to last 7 images .LENGTH., and the series has 6"),
    ({"DISCRIMINATIVE": 50}, "50 of 40 layers are to learn")])
def test_settings_that_do_not_fit_are_a_sentence(series, tmp_path, values, words):
    with pytest.raises(UserError, match=words):
        run_tool("padnmf", {**series, **SMALL, **values}, EVENT=tmp_path / "event.tif")


def test_more_mixtures_than_memory_holds_are_refused(series, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**8)
    with pytest.raises(UserError, match="Learn from fewer mixtures .MIXTURES."):
        run_tool("padnmf", {**series, **SMALL, "MIXTURES": 10**6}, EVENT=tmp_path / "event.tif")


def test_a_class_that_is_like_the_background_is_named(series, tmp_path):
    darker = cubes()
    for (row, col), begin in FIRES.items():
        darker[begin:, 0, row, col] -= 2
        darker[begin:begin + 3, :, row, col] /= 2
    with pytest.raises(UserError, match="The samples of fire do not differ from the background at their dates"):
        run_tool("deepnmfd", {**series, **SMALL, "FEATURES": "values", "IMAGES": images(tmp_path, darker)},
                 EVENT=tmp_path / "event.tif")


@pytest.fixture(scope="module", params=[("padnmf", PadNMF), ("deepnmfd", DeepNMFD)], ids=["padnmf", "deepnmfd"])
def trained(request, tmp_path_factory):
    """A model learned from the small series, and its file."""
    folder = tmp_path_factory.mktemp(request.param[0])
    series = {"IMAGES": images(folder), "SAMPLES": samples()}
    X, valid, label, dates = find(series, EVENT=folder / "event.tif")[0].learned
    network, _, _ = request.param[1].learn(X, valid, label, dates, np.random.default_rng(0),
                                           Settings(length=3, backgrounds=2, K=40, C=2), epochs=1)
    models.save(folder / "model.npz", request.param[0], Scene(series["IMAGES"][0]["path"]), network.state(),
                names=["fire", "flood"], dates=T, days=20.0)
    return network, str(folder / "model.npz")


def test_a_saved_model_detects_what_it_did_when_it_was_learned(trained, tmp_path):
    network, model = trained
    given = images(tmp_path)
    outputs = {name: tmp_path / f"{name.lower()}.tif" for name in ("EVENT", "DATEOFEVENT", "INDEX")}
    result, said = run_tool("applyevents", {"IMAGES": given, "MODEL": model}, **outputs,
                            REPORT=tmp_path / "report.html")
    values = cubes().reshape(T, 3, -1)
    valid = (values != NODATA).all(axis=1)
    found = network.detect(np.where(valid[:, None], values, 0).transpose(1, 2, 0).astype(np.float32), valid.T)
    index = read(outputs["INDEX"]).reshape(2, -1)
    np.testing.assert_allclose(np.where(index == -9999, np.nan, index), found.index, rtol=1e-3)
    event = read(outputs["EVENT"]).ravel()
    assert event[0] == 255 and np.array_equal(event[1:], found.event[1:])
    assert np.array_equal(read(outputs["DATEOFEVENT"]).ravel(), found.date + 1)
    assert result["rasters"]["EVENT"]["names"] == ["none", "fire", "flood"] and any("fire: " in line for line in said)
    assert "Courses of the events" in (tmp_path / "report.html").read_text(encoding="utf-8")


def apply(model, given, tmp_path):
    return run_tool("applyevents", {"IMAGES": given, "MODEL": model}, EVENT=tmp_path / "event.tif")[1]


def test_a_model_for_other_bands_or_dates_is_refused(trained, tmp_path):
    model = trained[1]
    with pytest.raises(UserError, match="The model is for images of 3 bands, and these have 2"):
        apply(model, images(tmp_path, cubes()[:, :2]), tmp_path)
    with pytest.raises(UserError, match="The model is for series of 6 images, and this one has 5"):
        apply(model, images(tmp_path, cubes()[:5]), tmp_path)
    models.save(tmp_path / "other.npz", "redsunn", Scene(images(tmp_path)[0]["path"]), {})
    with pytest.raises(UserError, match="is a model of the tool redsunn, and one of padnmf or deepnmfd is needed"):
        apply(str(tmp_path / "other.npz"), images(tmp_path), tmp_path)


def test_images_farther_apart_than_the_models_are_said(trained, tmp_path):
    apart = [f"20{year}-01-10" for year in range(20, 20 + T)]
    assert any(line.startswith("The images are 365 days apart on average, and those of the model were 20")
               for line in apply(trained[1], images(tmp_path, dates=apart), tmp_path))
    assert not any("apart on average" in line for line in apply(trained[1], images(tmp_path), tmp_path))
