"""Tools that extract endmembers: the planted pixels where they lie on the map, the same whatever the blocks."""

import numpy as np
import pytest

from subpixel.algorithms.simulate.scene import simulate
from subpixel.engine import memory
from subpixel.engine import raster as engine_raster
from subpixel.engine.sentences import UserError
from toolruns import TRANSFORM, raster, read, run_tool

PICKING = ("atgp", "deim", "nfindr", "ppi", "sga", "sivm", "vca")
ROWS, COLS, BANDS, P = 30, 40, 50, 4


def scene(path, snr_db=None, corner=True, **options):
    """A scene with a pure pixel of each material and a nodata corner. Returns its path, M and the pure positions."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, BANDS)[:, None]
    M = 0.1 + 0.5 * np.exp(-((x - np.linspace(0.1, 0.9, P)) / 0.15) ** 2)
    Y, A = simulate(M, ROWS, COLS, rng, snr_db=snr_db, **options)
    cube = Y.reshape(BANDS, ROWS, COLS).copy()
    places = {(int(i) // COLS, int(i) % COLS) for i in np.flatnonzero(A.max(axis=0) == 1)}
    if corner:
        free = next(r for r in range(1, ROWS) if not any(row < r and col < 3 for row, col in places) or r == 1)
        cube[:, :free, :3] = -9999
        cube[:, ROWS // 2, COLS // 2] = -9999
    return raster(path, cube, wavelengths=np.linspace(450, 2400, BANDS)), M, places


def profiles(result):
    return np.array([feature["profile"]["y"] for feature in result["spectra"]["ENDMEMBERS"]["features"]]).T


def pixels_of(result):
    """Rows and columns of the points."""
    inverse = ~TRANSFORM
    points = [inverse * feature["point"] for feature in result["spectra"]["ENDMEMBERS"]["features"]]
    return {(int(np.floor(row)), int(np.floor(col))) for col, row in points}


@pytest.mark.parametrize("tool", PICKING)
def test_planted_pixels_are_found_on_the_map_with_their_spectra(tool, tmp_path):
    image, M, places = scene(tmp_path / "scene.tif", pure_pixels=True)
    result, _ = run_tool(tool, {"INPUT": image, "COUNT": P, **({"DENOISE": False} if tool == "deim" else {})},
                         ENDMEMBERS=tmp_path / "e.gpkg", REPORT=tmp_path / "r.html")
    assert pixels_of(result) == places
    E = profiles(result)
    order = np.abs(M[:, :, None] - E[:, None]).sum(axis=0).argmin(axis=1)
    np.testing.assert_allclose(E[:, order], M, atol=1e-5)
    sources = [feature["source"] for feature in result["spectra"]["ENDMEMBERS"]["features"]]
    assert {tuple(int(word) for word in source.replace(",", "").split() if word.isdigit())
            for source in sources} == places
    assert "Where they were found" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("tool", (*PICKING, "sisal"))
def test_blocks_change_nothing(tool, tmp_path, monkeypatch):
    image, _, _ = scene(tmp_path / "scene.tif", snr_db=30)
    values = {"INPUT": image, "COUNT": P}
    whole = run_tool(tool, values, ENDMEMBERS=tmp_path / "e.gpkg")[0]
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 5 * COLS * BANDS)
    cut = run_tool(tool, values, ENDMEMBERS=tmp_path / "e.gpkg")[0]
    np.testing.assert_allclose(profiles(whole), profiles(cut), rtol=1e-6)


@pytest.mark.parametrize("tool", ["nfindr", "vca"])
def test_restarts_give_the_largest_simplex_of_many(tool, tmp_path):
    image, _, _ = scene(tmp_path / "scene.tif", snr_db=5)

    def spread(restarts):
        found = [profiles(run_tool(tool, {"INPUT": image, "COUNT": P, "SEED": seed, "RESTARTS": restarts,
                                          "DENOISE": False}, ENDMEMBERS=tmp_path / "e.gpkg")[0]) for seed in range(4)]
        return len({tuple(np.sort(M[0])) for M in found})

    # N-FINDR mends a bad start by itself, VCA cannot
    assert spread(200) == 1 and (spread(1) > 1 or tool == "nfindr")


def test_denoising_brings_spectra_nearer_to_the_truth(tmp_path):
    image, M, _ = scene(tmp_path / "scene.tif", snr_db=25, pure_pixels=True)

    def distance(tool, denoise):
        E = profiles(run_tool(tool, {"INPUT": image, "COUNT": P, "DENOISE": denoise}, ENDMEMBERS=tmp_path / "e")[0])
        return np.linalg.norm(M[:, :, None] - E[:, None], axis=0).min(axis=1).mean()

    for tool in ("deim", "nfindr", "ppi", "vca"):
        assert distance(tool, True) < distance(tool, False), tool


def test_deim_takes_the_pixels_of_curhu(tmp_path):
    image, _, _ = scene(tmp_path / "scene.tif", snr_db=30)
    one, other = (run_tool(tool, {"INPUT": image, "COUNT": P}, ENDMEMBERS=tmp_path / "e.gpkg",
                           ABUNDANCES=tmp_path / "a.tif")[0] for tool in ("deim", "curhu"))
    np.testing.assert_allclose(profiles(one), profiles(other), rtol=1e-6)


def test_deim_finds_the_published_pixels_of_samson(scenes, tmp_path):
    image = scenes / "samson" / "samson_1.img"
    result, _ = run_tool("deim", {"INPUT": image, "COUNT": 3, "DENOISE": False}, ENDMEMBERS=tmp_path / "e.gpkg")
    sources = [feature["source"] for feature in result["spectra"]["ENDMEMBERS"]["features"]]
    assert sources == [f"samson_1.img, row {row}, column {col}" for row, col in ((49, 41), (69, 29), (0, 2))]


def test_votes_are_two_for_each_direction_and_none_on_nodata(tmp_path):
    image, _, places = scene(tmp_path / "scene.tif", pure_pixels=True)
    result, said = run_tool("ppi", {"INPUT": image, "COUNT": P, "SKEWERS": 500}, ENDMEMBERS=tmp_path / "e.gpkg",
                            VOTES=tmp_path / "v.tif")
    votes, masked = read(tmp_path / "v.tif")[0], read(image)[0] == -9999
    assert np.array_equal(votes == -9999, masked) and votes[~masked].sum() == 2 * 500
    assert set(zip(*map(list, np.nonzero(np.where(masked, 0, votes))))) == places
    assert any("4 pixels got votes" in words for words in said)


def test_sisal_finds_what_no_pixel_shows_and_gives_no_places(tmp_path):
    image, M, places = scene(tmp_path / "scene.tif", max_abundance=0.8)
    assert not places
    result, said = run_tool("sisal", {"INPUT": image, "COUNT": P}, ENDMEMBERS=tmp_path / "e.gpkg")
    E = profiles(result)
    cosine = (M / np.linalg.norm(M, axis=0)).T @ (E / np.linalg.norm(E, axis=0))
    assert np.degrees(np.arccos(cosine.max(axis=1))).max() < 1
    assert all(feature["point"] is None for feature in result["spectra"]["ENDMEMBERS"]["features"])
    assert any("outside the simplex" in words for words in said)


def test_sisal_with_more_pixels_outside_than_memory_holds_is_a_sentence(tmp_path, monkeypatch):
    image, _, _ = scene(tmp_path / "scene.tif")
    monkeypatch.setattr(memory, "available", lambda: 64 * P * 100)
    with pytest.raises(UserError, match="GB of memory and .* Raise TAU"):
        run_tool("sisal", {"INPUT": image, "COUNT": P, "TAU": 1e-3}, ENDMEMBERS=tmp_path / "e.gpkg")
    monkeypatch.setattr(memory, "available", lambda: 64 * P * ROWS * COLS)
    run_tool("sisal", {"INPUT": image, "COUNT": P, "TAU": 1e-3}, ENDMEMBERS=tmp_path / "e.gpkg")


def test_sisal_names_spectra_that_are_negative_in_some_bands_and_in_all(tmp_path):
    x, A = np.linspace(0, 1, BANDS), np.random.default_rng(0).dirichlet(np.ones(3), ROWS * COLS).T
    M = np.column_stack([-0.05 - 0.05 * x, np.sin(6 * x), 0.3 + 0.3 * x ** 2])
    image = raster(tmp_path / "dark.tif", (M @ A).reshape(BANDS, ROWS, COLS))
    result, said = run_tool("sisal", {"INPUT": image, "COUNT": 3}, ENDMEMBERS=tmp_path / "e.gpkg")
    E, names = profiles(result), [feature["name"] for feature in result["spectra"]["ENDMEMBERS"]["features"]]
    (wholly,), (partly,) = np.flatnonzero(E.max(axis=0) < 0), np.flatnonzero((E.min(axis=0) < 0) & (E.max(axis=0) > 0))
    assert any(f"in every band: {names[wholly]}. They are no material" in words for words in said), said
    assert any(f"in some bands: {names[partly]}." in words for words in said)
    assert any("leave dark pixels out" in words and "% of the pixels already lie outside" in words for words in said)


def test_sisal_names_a_corner_of_real_water_that_is_no_material(scenes, tmp_path):
    image = scenes / "enmap_potsdam/enmap_potsdam_block_128x64.tif"
    result, said = run_tool("sisal", {"INPUT": image, "COUNT": 5}, ENDMEMBERS=tmp_path / "e.gpkg")
    (wholly,) = np.flatnonzero(profiles(result).max(axis=0) < 0)
    assert any(f"in every band: endmember {wholly + 1}." in words for words in said), said


@pytest.mark.parametrize("tool", (*PICKING, "sisal"))
@pytest.mark.parametrize("case", ["rank", "constant"])
def test_a_scene_that_holds_too_little_is_a_sentence(tool, case, tmp_path):
    image, M, _ = scene(tmp_path / "scene.tif")
    cube = read(image)
    if case == "constant":
        cube = np.broadcast_to(M[:, :1, None], cube.shape)
    else:  # whole numbers, so that rounding adds no dimensions
        A = np.random.default_rng(1).integers(0, 50, (3, ROWS * COLS))
        cube = (np.random.default_rng(2).integers(1, 9, (BANDS, 3)) @ A).reshape(cube.shape)
    image = raster(tmp_path / "bad.tif", cube)
    values = {"INPUT": image, "COUNT": 8, "BANDS": list(range(1, BANDS + 1))}
    if tool == "deim":
        values["DENOISE"] = False
    with pytest.raises(ValueError, match="too few for 8 endmembers|same spectrum"):
        run_tool(tool, values, ENDMEMBERS=tmp_path / "e.gpkg")
