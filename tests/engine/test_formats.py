"""Files of spectra: what users have comes in, what goes out comes in again, and what is wrong is said."""

import numpy as np
import pytest
from subpixel.engine.formats import read_spectra, write_spectra
from subpixel.engine.sentences import UserError
from subpixel.engine.spectra import Spectra


def table(tmp_path, text, name="library.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_spectra(path)


def two(spectra):
    """Asserts that these are the two spectra that most tables below hold."""
    assert spectra.names == ["tree", "soil"]
    np.testing.assert_allclose(spectra.M, [[0.1, 0.3], [0.2, 0.4], [0.5, 0.6]])


ROWS = "name,400,500,600.5\ntree,0.1,0.2,0.5\nsoil,0.3,0.4,0.6\n"
COLUMNS = "wavelength,tree,soil\n400,0.1,0.3\n500,0.2,0.4\n600.5,0.5,0.6\n"


@pytest.mark.parametrize("text", [
    ROWS, COLUMNS, "\ufeff" + ROWS, ROWS.replace("\n", "\r\n"), ROWS.replace("\n", ",\n"), ROWS + "\n,,,\n",
    ROWS.replace(",", "\t"), ROWS.replace(",", ";"), COLUMNS.replace(",", ";").replace(".", ","),
    ROWS.replace(",", ";").replace(".", ","), COLUMNS.replace(",", "  "), ROWS.replace("600.5", "600.5 nm"),
    "# made by hand\n" + COLUMNS, "# " + COLUMNS, ROWS.replace("name", ""), COLUMNS.replace("wavelength", ""),
    "name,X400,X500,X600.5\ntree,0.1,0.2,0.5\nsoil,0.3,0.4,0.6\n",
    "Wavelength (um),tree,soil\n0.4,0.1,0.3\n0.5,0.2,0.4\n0.6005,0.5,0.6\n",
    "wavelength,tree,soil\n0.4,0.1,0.3\n0.5,0.2,0.4\n0.6005,0.5,0.6\n",
    "wavenumber cm-1,tree,soil\n25000,0.1,0.3\n20000,0.2,0.4\n16652.78934,0.5,0.6\n",
])
def test_tables_in_rows_and_columns_give_the_same_spectra(tmp_path, text):
    spectra = table(tmp_path, text)
    two(spectra)
    assert spectra.wavelengths
    np.testing.assert_allclose(spectra.x, [400, 500, 600.5], atol=1e-4)


def test_utf16_from_a_spreadsheet(tmp_path):
    two(table(tmp_path, ROWS.replace(",", "\t"), "library.txt", "utf-16"))


def test_numeric_names_beside_named_wavelengths(tmp_path):
    spectra = table(tmp_path, "wavelength,1,2\n400,0.1,0.3\n500,0.2,0.4\n600.5,0.5,0.6\n")
    assert spectra.names == ["1", "2"]
    assert spectra.x.tolist() == [400, 500, 600.5]


def test_numbers_alone(tmp_path):
    spectra = table(tmp_path, "400,0.1,0.3\n500,0.2,0.4\n600.5,0.5,0.6\n")
    assert spectra.names == ["spectrum 1", "spectrum 2"]
    assert spectra.x.tolist() == [400, 500, 600.5]
    lying = table(tmp_path, "400,500,600.5,700\n0.1,0.2,0.5,0.4\n")
    assert lying.x.tolist() == [400, 500, 600.5, 700] and lying.M.shape == (4, 1)


@pytest.mark.parametrize("text", [
    "tree,soil\n0.1,0.3\n0.2,0.4\n0.5,0.6\n", "name,b1,b2,b3\ntree,0.1,0.2,0.5\nsoil,0.3,0.4,0.6\n",
    "name,red,green,blue\ntree,0.1,0.2,0.5\nsoil,0.3,0.4,0.6\n", "tree,0.1,0.5,0.2\nsoil,0.5,0.4,0.6\n",
    "band,tree,soil\n1,0.1,0.3\n2,0.2,0.4\n3,0.5,0.6\n", "index;tree;soil\n0;0,1;0,3\n1;0,2;0,4\n2;0,5;0,6\n"])
def test_tables_without_wavelengths_are_numbered(tmp_path, text):
    spectra = table(tmp_path, text)
    assert spectra.names == ["tree", "soil"]
    assert not spectra.wavelengths
    assert spectra.x.tolist() == [1, 2, 3]


def test_further_columns_become_attributes(tmp_path):
    spectra = table(tmp_path, 'id,Name,FID,note,400,500\n7,tree,1,"a, b",0.1,0.2\n8,soil,,"c ""d""",0.3,0.4\n')
    assert spectra.names == ["tree", "soil"]
    assert spectra.attributes == [{"id": 7, "FID_2": 1, "note": "a, b"}, {"id": 8, "FID_2": None, "note": 'c "d"'}]


def test_repeated_names_are_made_distinct_and_kept_as_a_class(tmp_path):
    spectra = table(tmp_path, "Class,400,500\ntree,0.1,0.2\ntree,0.3,0.4\n")
    assert spectra.names == ["tree", "tree (2)"]
    assert spectra.attributes == [{"Class": "tree"}] * 2


def test_transposed_ecosis_takes_its_first_rows_as_attributes(tmp_path):
    spectra = table(tmp_path, "Latin Species,Acer rubrum,Pinus\nDate,2010,2011\n350,0.1,0.3\n351,0.2,0.4\n", "a.txt")
    assert spectra.names == ["Acer rubrum", "Pinus"]
    assert spectra.x.tolist() == [350, 351]
    assert spectra.attributes == [{"Date": 2010}, {"Date": 2011}]


@pytest.mark.parametrize("cell", ["", "NA", "nan", "#N/A", "-1.23e34", "-1.23E+34"])
def test_missing_values_become_nan(tmp_path, cell):
    spectra = table(tmp_path, f"name,400,500,600\ntree,0.1,{cell},0.5\n")
    np.testing.assert_array_equal(spectra.M[:, 0], [0.1, np.nan, 0.5])


def test_wavelengths_that_step_back_are_kept_in_their_order(tmp_path):
    x = [*range(400, 700, 10), *range(680, 900, 10)]
    spectra = table(tmp_path, "wavelength,tree\n" + "".join(f"{value},{row}\n" for row, value in enumerate(x)))
    assert spectra.x.tolist() == x
    assert spectra.M[:, 0].tolist() == list(range(len(x)))


@pytest.mark.parametrize("text, words", [
    ("", ["empty"]), ("\n\n", ["empty"]), ("hello\n", ["no spectra"]), ("name,400,500\n", ["no spectra"]),
    ("name,400,500\ntree,0.1,0.2\nsoil,0.1\n", ["Line 3", "2 cells", "3"]),
    ("name,400,500\ntree,0.1,oops\n", ["'oops'", "line 2", "column 3"]),
    ("wavelength,tree,soil\n400,0.1,0.2\n500,0.1,oops\n", ["'oops'", "line 3", "column 3"]),
    ("name,0,500\ntree,0.1,0.2\n", ["wavelength 0.0", "line 1", "column 2"]),
    ("a\0b", ["no table of text"])])
def test_a_bad_table_is_a_sentence(tmp_path, text, words):
    with pytest.raises(UserError) as error:
        table(tmp_path, text)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_spectra(path)


def library(tmp_path, values, header="", dtype="<f8", kind=5, name="lib.sli", offset=b""):
    """Write an ENVI library of `values` (lines, samples)."""
    values = np.asarray(values)
    path = tmp_path / name
    path.write_bytes(offset + values.astype(dtype).tobytes())
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {values.shape[1]}\nlines = {values.shape[0]}\nbands = 1\nheader offset = {len(offset)}\n"
        f"data type = {kind}\nbyte order = {int(dtype[0] == '>')}\ninterleave = bil\n{header}", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind, code", [(1, "u1"), (2, "i2"), (3, "i4"), (4, "f4"), (5, "f8"), (12, "u2"), (13, "u4"),
                                        (14, "i8"), (15, "u8")])
@pytest.mark.parametrize("order", "<>")
def test_envi_types_and_byte_orders(tmp_path, kind, code, order):
    values = [[1, 2, 3], [4, 50, 100]]
    spectra = read_spectra(library(tmp_path, values, dtype=order + code, kind=kind, offset=b"12345"))
    assert spectra.M.T.tolist() == values
    assert not spectra.wavelengths


def test_envi_header_is_obeyed(tmp_path):
    path = library(tmp_path, [[100, -1, 300], [400, 500, -1.23e34]], "Wavelength = {0.4,\n 0.5, 0.6}\n"
                   "wavelength units = Micrometers\nreflectance scale factor = 1000\ndata ignore value = -1\n"
                   "spectra names = {\n tree (old),\n soil }\nz plot titles = {wavelength [!7l!3m]!N, reflectance}\n")
    for chosen in (path, path.with_suffix(".hdr")):
        spectra = read_spectra(chosen)
        assert spectra.names == ["tree (old)", "soil"]
        np.testing.assert_allclose(spectra.x, [400, 500, 600])
        np.testing.assert_allclose(spectra.M.T, [[0.1, np.nan, 0.3], [0.4, 0.5, np.nan]])


def test_envi_takes_the_fields_of_the_table_beside_it(tmp_path):
    path = library(tmp_path, [[1, 2], [3, 4]], "spectra names = {tree, soil}\n")
    path.with_suffix(".csv").write_text("spectra names,level_1\ntree,vegetation\nsoil,ground\n")
    assert read_spectra(path).attributes == [{"level_1": "vegetation"}, {"level_1": "ground"}]
    path.with_suffix(".csv").write_text("spectra names,level_1\nwater,vegetation\nsoil,ground\n")
    said = []
    assert read_spectra(path, lambda template, **arguments: said.append(template)).attributes == [{}, {}]
    assert len(said) == 1


@pytest.mark.parametrize("change, words", [
    (("samples = 3", "samples = 30"), ["has 48 bytes", "480"]), (("samples = 3\n", ""), ["samples", "nothing"]),
    (("data type = 5", "data type = 6"), ["data type 6"]), (("data type = 5", "data type = x"), ["data type: x"]),
    (("bands = 1", "bands = 4"), ["image of 4 bands"]), (("ENVI", "NVI"), ["first line is 'NVI'"]),
    (("interleave", "wavelength = {1, 2}\ninterleave"), ["2 wavelengths for 3 bands"]),
    (("interleave", "reflectance scale factor = x\ninterleave"), ["reflectance scale factor", "x"]),
    (("interleave", "file compression = 1\ninterleave"), ["compressed"])])
def test_a_bad_library_is_a_sentence(tmp_path, change, words):
    path = library(tmp_path, [[1, 2, 3], [4, 5, 6]])
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text().replace(*change))
    with pytest.raises(UserError) as error:
        read_spectra(path)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_half_a_library_is_a_sentence(tmp_path):
    path = library(tmp_path, [[1, 2]])
    header = path.with_suffix(".hdr")
    header.rename(tmp_path / "away.txt")
    with pytest.raises(UserError, match="no .hdr file"):
        read_spectra(path)
    (tmp_path / "away.txt").rename(header)
    path.unlink()
    with pytest.raises(UserError, match="no .sli file"):
        read_spectra(header)


def sample():
    return Spectra(["tree", "soil, red {dry}"], np.array([[0.1, 1 / 3], [np.nan, 4], [5e-7, 6]]),
                   np.array([399.96, 500.123456, 2500]), True, ["scene.tif, row 1, column 2", "mean"],
                   [(364822.5, 5804636.25), None],
                   [{"material": "tree", "pixels": 1}, {"material": "soil", "pixels": 3}])


@pytest.mark.parametrize("extension", ["csv", "txt", "sli"])
def test_what_goes_out_comes_in_again(tmp_path, extension):
    spectra = sample()
    path = tmp_path / f"müll library.{extension}"
    write_spectra(path, spectra)
    again = read_spectra(path)
    np.testing.assert_array_equal(again.M, spectra.M)
    np.testing.assert_allclose(again.x, spectra.x, rtol=1e-9)
    for before, after in zip(spectra.attributes, again.attributes):
        assert before.items() <= after.items()
    if extension == "sli":
        assert again.names == ["tree", "soil; red (dry)"]
    else:
        assert (again.names, again.sources) == (spectra.names, spectra.sources)
    if extension == "csv":
        assert again.attributes[0]["x"] == 364822.5


@pytest.mark.parametrize("extension", ["csv", "sli"])
def test_band_numbers_survive(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    write_spectra(path, Spectra(["tree"], np.array([[0.1], [0.2]]), np.array([1.0, 2.0]), False))
    again = read_spectra(path)
    assert not again.wavelengths
    assert again.x.tolist() == [1, 2]


def test_formats_say_what_they_cannot_hold(tmp_path):
    numbered = Spectra(["tree"], np.array([[0.1], [0.2]]), np.array([1.0, 2.0]), False)
    with pytest.raises(UserError, match="EcoSIS demands"):
        write_spectra(tmp_path / "a.txt", numbered)
    with pytest.raises(UserError, match=r"\.csv, \.txt"):
        write_spectra(tmp_path / "a.xlsx", numbered)
    with pytest.raises(UserError, match="cannot be written"):
        write_spectra(tmp_path / "none" / "a.csv", numbered)


def test_real_libraries(scenes):
    emit = read_spectra(scenes / "libraries" / "emit_basic_endmember_library.csv")
    assert emit.names[0] == "SOIL" and emit.x[0] == 365.92981 and emit.attributes[1] == {"Class": "SOIL"}
    berlin = read_spectra(scenes / "libraries" / "library_berlin.sli")
    assert berlin.M.shape == (177, 75) and berlin.x[-1] == pytest.approx(2409)
    assert berlin.names[-1] == "water 2" and berlin.attributes[0]["level_3"] == "roof"
    samson = read_spectra(scenes / "samson" / "samson_reference_endmembers.csv")
    assert samson.M.shape == (156, 3) and not samson.wavelengths and samson.names[:2] == ["soil", "tree"]
