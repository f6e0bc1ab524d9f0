"""When an image was taken: as people write dates, as metadata hold them, and as names of products carry them."""

from datetime import datetime

import pytest

from subpixel.engine.dates import ends, of_metadata, of_name, of_words, parse, written
from subpixel.engine.sentences import UserError

DAY = datetime(2020, 5, 1)


# as it is written

@pytest.mark.parametrize("words, date", [
    ("2020-05-01", DAY), ("20200501", DAY), (" 2020-05-01 ", DAY), ("2020/05/01", DAY),
    ("2020-05", DAY), ("2020", datetime(2020, 1, 1)), ("2020-02-29", datetime(2020, 2, 29)),
    ("2020-05-01T10:30", datetime(2020, 5, 1, 10, 30)), ("2020-05-01 10:30:15", datetime(2020, 5, 1, 10, 30, 15)),
    ("20200501T103015", datetime(2020, 5, 1, 10, 30, 15)), ("2020-05-01t10:30z", datetime(2020, 5, 1, 10, 30)),
    ("2020-05-01T10:30:15.123456Z", datetime(2020, 5, 1, 10, 30, 15)),
    ("2020-05-01T10:30:15,5", datetime(2020, 5, 1, 10, 30, 15)),
    ("2020-05-01T00:30:00+02:00", datetime(2020, 4, 30, 22, 30)),
    ("2020-05-01T10:30:00-0530", datetime(2020, 5, 1, 16, 0)),
    ("2022-09-03T16:31:29+0000", datetime(2022, 9, 3, 16, 31, 29)),
    ("2020-05-01 10:30:15 UTC", datetime(2020, 5, 1, 10, 30, 15)),
    ("2020-05-01T10:30utc", datetime(2020, 5, 1, 10, 30)),
    ("2020-05-01Z", DAY), ("2020-05-01+02:00", DAY)])
def test_a_date_is_read(words, date):
    assert parse(words) == date


@pytest.mark.parametrize("words", [
    "", "no date", "May 1, 2020", "01.05.2020", "01/05/2020", "2020-13-01", "2020-02-30", "2019-02-29", "1200", "12",
    "99999999", "10:30", "2020-05-01T25:00", "2020-05-01T10", "2020-05-01 and later", "20200501103000123", None])
def test_what_is_no_date_is_none(words):
    assert parse(words) is None


@pytest.mark.parametrize("words", ["2020-05-01, 2020-08-15", "2020-05-01 2020-08-15", "2020-05-01;2020-08-15",
                                   "2020-05-01\n2020-08-15\n", " 20200501 ,20200815, "])
def test_several_dates_are_separated_by_commas_semicolons_spaces_or_lines(words):
    assert of_words(words) == [DAY, datetime(2020, 8, 15)]


def test_dates_with_times_are_separated_by_commas():
    assert of_words("2020-05-01 10:30, 2020-05-01 11:45") == [datetime(2020, 5, 1, 10, 30),
                                                             datetime(2020, 5, 1, 11, 45)]
    with pytest.raises(UserError, match="10:30 in Dates is no date. Write dates as 2020-05-01"):
        of_words("2020-05-01 10:30 2020-05-01 11:45")


def test_a_wrong_date_is_named():
    with pytest.raises(UserError, match="2020-02-30 in Dates is no date"):
        of_words("2020-02-28, 2020-02-30")
    with pytest.raises(UserError, match="^soon in Further dates is no date"):
        of_words("soon", "Further dates")
    assert of_words("  ") == []


@pytest.mark.parametrize("date, words", [(DAY, "2020-05-01"), (datetime(2020, 5, 1, 10, 30), "2020-05-01T10:30"),
                                         (datetime(2020, 5, 1, 0, 0, 7), "2020-05-01T00:00:07")])
def test_a_date_is_written_so_that_it_is_read_again(date, words):
    assert written(date) == words and parse(words) == date
    assert of_name(words.replace(":", "") + ".tif") == date, "as files of a folder are named"


def test_each_image_stands_until_the_next_and_the_last_for_the_median_interval():
    dates = [datetime(2020, 1, 1), datetime(2020, 1, 3), datetime(2020, 1, 5), datetime(2020, 3, 5)]
    assert ends(dates) == [*dates[1:], datetime(2020, 3, 7)]
    assert ends(dates[:1]) == [datetime(2020, 1, 2)]
    assert all(end > date for date, end in zip(dates, ends(dates)))


# in metadata

@pytest.mark.parametrize("tags, date", [
    ({"ACQUISITION_DATE": "2020-05-01"}, DAY),
    ({"start_time": "2020-05-01T10:30:00Z"}, datetime(2020, 5, 1, 10, 30)),
    ({"ACQUISITIONDATETIME": "2020-05-01 10:30:00"}, datetime(2020, 5, 1, 10, 30)),
    ({"DATE_ACQUIRED": "2020-05-01", "AREA_OR_POINT": "Area"}, DAY),
    ({"acquisition time": "2020-05-01T00:00:00.000000Z"}, DAY),
    ({"PRODUCT_START_TIME": "2020-05-01T10:10:31.024Z"}, datetime(2020, 5, 1, 10, 10, 31)),
    ({"RANGEBEGINNINGDATE": "2020-05-01"}, DAY),
    ({"Product_StartTime": "2020-05-01T10:30:15Z"}, datetime(2020, 5, 1, 10, 30, 15)),
    ({"acquisition_time": "2020-05-01 10:30:15.250 UTC"}, datetime(2020, 5, 1, 10, 30, 15)),
    ({"NC_GLOBAL#time_coverage_start": "2022-09-03T16:31:29+0000"}, datetime(2022, 9, 3, 16, 31, 29)),
    ({"start_time": "soon", "DATE_ACQUIRED": "2020-05-01"}, DAY),
    ({"DATE_ACQUIRED": "2020-05-01", "start_time": "2020-05-01T10:30:00"}, datetime(2020, 5, 1, 10, 30))])
def test_metadata_tell_the_date(tags, date):
    assert of_metadata(tags) == date


@pytest.mark.parametrize("tags", [{}, {"TIFFTAG_DATETIME": "2020:05:01 10:30:00"}, {"PROCESSING_DATE": "2020-05-01"},
                                  {"start_time": ""}, {"acquisition_time": "10:30:00"}])
def test_when_a_file_was_made_is_not_when_the_image_was_taken(tags):
    assert of_metadata(tags) is None


# in names

@pytest.mark.parametrize("name, date", [
    ("scene_2020-05-01.tif", DAY), ("2020_05_01_scene.tif", DAY), ("scene.2020.05.01.tif", DAY),
    ("image_20200501.tif", DAY), ("Abundances 2020-05-01", DAY), ("x20200501y", DAY),
    ("scene_2020-05-01T10:30", datetime(2020, 5, 1, 10, 30)), ("20200501-103015", datetime(2020, 5, 1, 10, 30, 15)),
    ("ENMAP01-____L2A-DT0000001056_20220627T104012Z_001_V010110_20221012T131315Z-SPECTRAL_IMAGE.TIF",
     datetime(2022, 6, 27, 10, 40, 12)),
    ("DESIS-HSI-L2A-DT0483531728_001-20200828T154021-V0210-SPECTRAL_IMAGE.tif", datetime(2020, 8, 28, 15, 40, 21)),
    ("LC08_L2SP_193023_20200501_20200820_02_T1_SR_B4.TIF", DAY),
    ("LT05_L1TP_008067_19850608_20170218_01_T1", datetime(1985, 6, 8)),
    ("LC81930232013123LGN00_B4.TIF", datetime(2013, 5, 3)), ("LM21930121976123AAA01", datetime(1976, 5, 2)),
    ("S2A_MSIL2A_20200501T101031_N0214_R022_T33UUU_20200501T123456.SAFE", datetime(2020, 5, 1, 10, 10, 31)),
    ("T33UUU_20200501T101031_B02_10m.jp2", datetime(2020, 5, 1, 10, 10, 31)),
    ("PRS_L2D_STD_20200501103000_20200501103004_0001.he5", datetime(2020, 5, 1, 10, 30)),
    ("f970620t01p02_r03_sc01.a.rfl", datetime(1997, 6, 20)), ("f130612t01p00r10_refl", datetime(2013, 6, 12)),
    ("ang20190624t101010_rfl_v2", datetime(2019, 6, 24, 10, 10, 10)),
    ("AV320240812t184712_002_L2A_OE_main_rfl.nc", datetime(2024, 8, 12, 18, 47, 12)),
    ("EMIT_L2A_RFL_001_20220903T163129_2224611_012.nc", datetime(2022, 9, 3, 16, 31, 29)),
    ("EO1H1930232010123110KF.L1R", datetime(2010, 5, 3)),
    ("MOD09GA.A2020122.h18v03.006.2020124033553.hdf", DAY), ("VNP09GA.A2020122.h18v03.001.2020123080012.h5", DAY),
    ("MOD13Q1.061__250m_16_days_NDVI_doy2020122_aid0001.tif", DAY), ("HLS.L30.T33UUU.2020122T101031.v2.0", DAY),
    ("20200501_103015_1032_3B_AnalyticMS.tif", datetime(2020, 5, 1, 10, 30, 15)),
    ("scene_20200501_0001.tif", DAY), ("20200501-1030.tif", DAY), ("2020-05-01 0007", DAY),
    ("20200501T1030.tif", datetime(2020, 5, 1, 10, 30)), ("2020-05-01_10:30", datetime(2020, 5, 1, 10, 30)),
    ("20200501_000112.tif", datetime(2020, 5, 1, 0, 1, 12)),
    ("20200501_9999.tif", DAY), ("12345678_20200501.tif", DAY), ("20209901_2020-05-01.tif", DAY)])
def test_names_of_products_tell_the_date(name, date):
    assert of_name(name) == date


@pytest.mark.parametrize("name", [
    "", "scene.tif", "12345678.tif", "20201301.tif", "20200230.tif", "99990101", "18991231", "scene_202005.tif",
    "1193020.tif", "tile_2020400.tif", "2021366.tif", "202005011.tif", "20200501999999.tif", "2020-0501.tif",
    "NEON_D02_SERC_DP3_364000_4305000_reflectance.h5", "20200501103015123.tif", "1920x1080.png", "f970620.tif",
    "house_f201305t01"])
def test_other_numbers_are_no_dates(name):
    assert of_name(name) is None


def test_a_day_of_the_year_is_counted_in_leap_years():
    assert of_name("A2020366") == datetime(2020, 12, 31) and of_name("A2021365") == datetime(2021, 12, 31)
    assert of_name("A2021001") == datetime(2021, 1, 1) and of_name("A2021000") is None
