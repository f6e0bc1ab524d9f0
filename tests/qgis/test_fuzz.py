"""A share of what scripts/fuzz does: parameter sets at random end in a result or a sentence, and leave nothing."""

import fuzzing
import pytest

from subpixel.engine.declare import Group

SETS = 10     # of each family


@pytest.fixture(scope="module")
def fuzzer(examples, tmp_path_factory):
    with fuzzing.Fuzzer(examples, tmp_path_factory.mktemp("fuzz")) as fuzzer:
        yield fuzzer


@pytest.mark.parametrize("family", [group.id for group in Group])
def test_parameter_sets_at_random_end_well(family, fuzzer):
    verdicts = set()
    for number in range(SETS):
        id, values, out, many = fuzzer.case(fuzzer.family(family), 1, number)
        verdict, words = fuzzer.judge(id, values, out, many)
        assert verdict != "fault", f"scripts/fuzz {family} --seed 1 --first {number} --count 1: {words}"
        verdicts.add(verdict)
    assert len(verdicts) > 1   # not all were refused at once


@pytest.mark.parametrize("answer, words", [
    ("""print('{"error": "This failed for a reason that Subpixel did not foresee.", "arguments": {}}', flush=True)""",
     "unforeseen"),
    ("""print('{"result": {"numbers": {"RANK": NaN}, "rasters": {}, "folders": {}, "spectra": {}, "tables": {}, '
              '"features": {}}}', flush=True)""", "RANK is nan"),
    ("sys.exit('Farewell')", "Farewell"), ("time.sleep(60)", "no end after")])
def test_a_fault_is_seen(answer, words, fuzzer, monkeypatch, tmp_path):
    """An engine stands in that answers wrongly."""
    (tmp_path / "engine.py").write_text(f"import sys, time\nfor line in sys.stdin:\n    {answer}\n")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(fuzzing, "PATIENCE", 3)
    monkeypatch.setattr(fuzzer.engine, "program", tmp_path / "engine.py")
    fuzzer.engine.close()
    verdict, said = fuzzer.judge("hysime", {"INPUT": fuzzer.examples["scene"]}, tmp_path / "out", False)
    fuzzer.engine.close()
    assert verdict == "fault" and words in said
