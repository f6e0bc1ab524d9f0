"""The engine as a program: what it answers, where, and how it ends."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from conftest import ROOT
from toolruns import raster, spectra

from subpixel.algorithms.state_estimation.simplex import to_basis
from subpixel.engine.main import _explain, _is_the_users
from subpixel.engine.sentences import UnreadableRaster, UserError

# the engine with one more tool, whose `run` is the body given
WITH_A_TOOL = """
import sys
sys.path.append({root!r})
import bootstrap
bootstrap.load()
import subpixel.tools
from subpixel.engine.declare import Integer, NumberOutput, ReportOutput, Tool
from subpixel.engine.sentences import UserError

class Made(Tool):
    '''Made up.'''

    id, label, citation = "made", "Made up", "Nobody"
    count = Integer("COUNT", "Count", help="A number.", default=3)
    answer = NumberOutput("ANSWER", "Answer", help="A number.")
    page = ReportOutput("REPORT", "Report", help="A page.")

    def run(self, job):
{body}

subpixel.tools.all_tools = lambda: {{"made": Made}}
from subpixel.engine.main import main
sys.exit(main(sys.argv[1:]))
"""


def environment(**more):
    """No encoding of standard output but the one that the engine chooses."""
    return {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", **more}


def answers(process):
    """Every line of the answer as an object: anything else on standard output is an error."""
    return [json.loads(line) for line in process.stdout.decode("utf-8").splitlines()]


def start(tmp_path, job, program=str(ROOT / "bootstrap.py"), **variables):
    """Run the program on a job. Returns the finished process and its answers."""
    path = tmp_path / "jöb 1.json"
    path.write_text(json.dumps(job, ensure_ascii=False), encoding="utf-8")
    process = subprocess.run([sys.executable, program, str(path)], capture_output=True, timeout=60,
                             env=environment(**variables))
    return process, answers(process)


def made(tmp_path, body, values=None, variables=None, **outputs):
    """Run a tool made up for the test."""
    return start(tmp_path, {"tool": "made", "values": values or {}, "outputs": outputs, "version": "9"},
                 program_of(tmp_path, body), **(variables or {}))


def program_of(tmp_path, body):
    """The engine with the tool `made`, as a file."""
    lines = "\n".join(" " * 8 + line for line in body.splitlines())
    (tmp_path / "engine.py").write_text(WITH_A_TOOL.format(root=str(ROOT), body=lines), encoding="utf-8")
    return str(tmp_path / "engine.py")


def spoken(answer):
    """An error's sentence."""
    return answer["error"].format(**answer["arguments"])


def scene(path):
    """A scene of three mixed spectra, and these."""
    rng = np.random.default_rng(1)
    M, A = rng.random((6, 3)), rng.dirichlet(np.ones(3), 80).T
    raster(path, (M @ A).reshape(6, 8, 10))
    return M, A


# a run that works

@pytest.fixture(scope="module")
def run_of_fcls(tmp_path_factory):
    """A run of a real tool in a folder with spaces and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("Größe 木 и т.д")
    M, A = scene(folder / "Szene é.tif")
    job = {"tool": "fcls", "version": "1.2", "outputs": {"ABUNDANCES": str(folder / "Anteile ß.tif")}, "values": {
        "INPUT": {"path": str(folder / "Szene é.tif"), "crs": None},
        "ENDMEMBERS": {"features": spectra(M, ["Bäume", "sol nu", "水"]).to_features(), "source": "Bibliothek"}}}
    process, said = start(folder, job)
    return folder, A, process, said


def test_a_run_ends_with_its_result_and_exit_code_0(run_of_fcls):
    _, _, process, said = run_of_fcls
    assert process.returncode == 0, process.stderr.decode()
    assert ["result" in answer for answer in said] == [False] * (len(said) - 1) + [True]
    assert said[-1]["result"]["numbers"]["RMSE"] == pytest.approx(0, abs=1e-5)


def test_every_line_is_one_of_the_kinds_that_the_protocol_has(run_of_fcls):
    for answer in run_of_fcls[3][:-1]:
        assert set(answer) in ({"progress"}, {"message", "arguments"}, {"warning", "arguments"})


def test_progress_grows_and_is_told_once(run_of_fcls):
    progress = [answer["progress"] for answer in run_of_fcls[3] if "progress" in answer]
    assert progress and progress == sorted(set(progress)) and 0 <= progress[0] and progress[-1] <= 100


def test_paths_and_names_beyond_ascii_come_through(run_of_fcls):
    folder, A, _, said = run_of_fcls
    with rasterio.open(folder / "Anteile ß.tif") as file:
        assert file.descriptions == ("Bäume", "sol nu", "水")
        np.testing.assert_allclose(file.read().reshape(3, -1), A, atol=1e-5)
    assert said[-1]["result"]["rasters"]["ABUNDANCES"]["names"] == ["Bäume", "sol nu", "水"]


def test_the_metadata_say_how_the_raster_was_made(run_of_fcls):
    with rasterio.open(run_of_fcls[0] / "Anteile ß.tif") as file:
        tags = file.tags()
    assert (tags["SUBPIXEL_TOOL"], tags["SUBPIXEL_VERSION"]) == ("subpixel:fcls", "1.2")
    parameters = json.loads(tags["SUBPIXEL_PARAMETERS"])
    assert parameters["INPUT"].endswith("Szene é.tif") and parameters["ENDMEMBERS"] == "3 features of Bibliothek"


# what libraries print

def test_what_libraries_print_goes_to_standard_error(tmp_path):
    process, said = made(tmp_path, "import os\nprint('printed')\nos.write(1, b'from C\\n')\n"
                                   "os.system('echo from a child')\njob.say('Said {what}.', what='é')\n"
                                   "job.give_number(self.answer, 4)", variables={"PYTHONUTF8": "0"})
    assert process.returncode == 0
    assert said[0] == {"message": "Said {what}.", "arguments": {"what": "é"}}
    assert len(said) == 2 and said[1]["result"]["numbers"] == {"ANSWER": 4}
    for words in (b"printed", b"from C", b"from a child"):
        assert words in process.stderr and words not in process.stdout


def test_progress_is_that_of_all_passes_told_once_per_percent(tmp_path):
    _, said = made(tmp_path, "job.passes(2)\nfor _ in range(2):\n    for done in (0, 1, 250, 251, 500, 1000):\n"
                             "        job.progress(done, 1000)")
    assert [answer["progress"] for answer in said[:-1]] == [0, 12, 25, 50, 62, 75, 99]


def test_numpys_numbers_are_answered_as_plain_ones(tmp_path):
    _, said = made(tmp_path, "import numpy\njob.give_number(self.answer, numpy.float32(0.5))")
    assert said[-1]["result"]["numbers"] == {"ANSWER": 0.5}


def test_a_report_names_the_tool_its_version_and_its_parameters(tmp_path):
    made(tmp_path, "job.give_report(self.page, job.report(self.page))", {"COUNT": 7}, REPORT=str(tmp_path / "ü.html"))
    page = (tmp_path / "ü.html").read_text(encoding="utf-8")
    for words in ("subpixel:made, Subpixel 9", "<td>Nobody</td>", "<td>COUNT</td><td>7</td>"):
        assert words in page


@pytest.mark.skipif(os.name == "nt", reason="Windows sets no such limit")
def test_more_files_may_be_open_than_a_system_allows_at_first(tmp_path):
    import resource
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= most < 1000:
        pytest.skip("this system allows no more")
    program = f"import resource, subprocess, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, {most}))\n" + (
        f"sys.exit(subprocess.call([sys.executable, {program_of(tmp_path, MANY)!r}, *sys.argv[1:]]))")
    (tmp_path / "limited.py").write_text(program)
    process, said = start(tmp_path, {"tool": "made", "values": {}}, str(tmp_path / "limited.py"))
    assert process.returncode == 0, said
    assert said[-1]["result"]["numbers"] == {"ANSWER": 200}


MANY = """import os
job.give_number(self.answer, len([os.open(os.devnull, os.O_RDONLY) for _ in range(200)]))"""


# a run that fails

FULL = """import resource
from subpixel.engine.raster import RasterWriter, Scene, open_raster
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
scene = Scene({path!r})
resource.setrlimit(resource.RLIMIT_NOFILE, (40, limit))
held = []
while len(held) < 50:
    held.append({what})"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sets no such limit")
@pytest.mark.parametrize("what", ["open_raster(scene.path, 'INPUT', {{'sharing': False}})",
                                  "RasterWriter(f'{{scene.path}}{{len(held)}}', scene, ['a'])"])
def test_too_many_open_files_are_said_to_be_that(what, tmp_path):
    raster(tmp_path / "scene.tif", np.arange(60).reshape(3, 4, 5))
    process, said = made(tmp_path, FULL.format(path=str(tmp_path / "scene.tif"), what=what.format()))
    assert "scene.tif" in spoken(said[-1]) and "unreadable" not in said[-1]
    assert spoken(said[-1]).endswith("cannot be opened: so many files are open that the system allows no more. Choose "
                                     "fewer images, or raise its limit (ulimit -n).")

@pytest.mark.parametrize("body, sentence", [
    ("raise UserError('{what} is wrong.', what='Größe')", "Größe is wrong."),
    ("raise ValueError('More endmembers than bands.')", "More endmembers than bands."),
    ("raise KeyError('inner')", "This run failed for a reason that Subpixel did not foresee: KeyError: 'inner'. "
                                "The log holds the details; please report them."),
    ("import numpy; numpy.empty(1 << 50)", "There is not enough memory for this run. Clip the raster or use fewer "
                                           "bands."),
    ("open('/dev/full', 'w').write('x' * 1000000)", "The output could not be written completely: no room left. Make "
                                                   "room on the disk, or choose another place for the output.")])
def test_a_failure_is_a_sentence_and_exit_code_1_with_the_traceback_of_what_is_not_the_users(tmp_path, body, sentence):
    if "/dev/full" in body and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    process, said = made(tmp_path, f"job.say('Begun.')\n{body}")
    assert process.returncode == 1
    assert [list(answer)[0] for answer in said] == ["message", "error"]
    assert spoken(said[-1]) == sentence
    if "UserError" in body:
        assert said[-1]["traceback"] == ""
    else:
        assert said[-1]["traceback"].startswith("Traceback") and "run" in said[-1]["traceback"]


@pytest.mark.parametrize("fails, is_the_users", [
    (lambda: np.linalg.cholesky(-np.eye(2)), False), (lambda: to_basis(np.ones((2, 1))), True)])
def test_errors_of_packages_in_the_plugins_folder_are_not_the_users(fails, is_the_users):
    with pytest.raises(ValueError) as raised:
        fails()
    assert _is_the_users(raised.value) == is_the_users


def broken(tmp_path):
    """Jobs that cannot work, and their sentences."""
    scene(tmp_path / "scene.tif")
    image = {"INPUT": {"path": str(tmp_path / "scene.tif")}}
    return {
        "unknown": ({"tool": "nosuch", "values": {}}, "There is no tool nosuch. Choose one of: "),
        "missing": ({"tool": "hysime", "values": {}}, "(INPUT) is missing. Give it a value."),
        "range": ({"tool": "vca", "values": {**image, "COUNT": -1}}, " is -1; it must be at least "),
        "unreadable": ({"tool": "hysime", "values": {"INPUT": {"path": str(tmp_path / "nö.tif")}}},
                       f"{tmp_path / 'nö.tif'} cannot be read as a raster: ")}


@pytest.mark.parametrize("kind", ["unknown", "missing", "range", "unreadable"])
def test_a_job_that_cannot_work_is_a_sentence_and_exit_code_1(tmp_path, kind):
    job, words = broken(tmp_path)[kind]
    process, said = start(tmp_path, job)
    assert process.returncode == 1 and len(said) == 1
    assert words in spoken(said[0]) and "did not foresee" not in spoken(said[0])
    assert said[0].get("unreadable") == (["INPUT"] if kind == "unreadable" else None)


def test_a_job_that_is_no_job_is_answered_too(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for arguments in ([], [str(tmp_path / "absent.json")], [str(tmp_path / "broken.json")]):
        process = subprocess.run([sys.executable, str(ROOT / "bootstrap.py"), *arguments], capture_output=True)
        assert process.returncode == 1 and "error" in answers(process)[0] and len(answers(process)) == 1


def test_an_attended_engine_ends_with_its_parent_and_leaves_no_trace(tmp_path):
    program = program_of(tmp_path, "import threading\njob.say('Begun.')\nthreading.Event().wait(60)")
    stages, made = [tmp_path / "work", tmp_path / "new" / "stage"], [tmp_path / "new", tmp_path / "shared"]
    for stage in stages:
        stage.mkdir(parents=True)
        (stage / "half.tif").write_text("half")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "others.tif").write_text("of another run")
    (tmp_path / "job.json").write_text(json.dumps({
        "tool": "made", "values": {}, "attended": True, "traces": [list(map(str, stages)), list(map(str, made))]}))
    with subprocess.Popen([sys.executable, program, str(tmp_path / "job.json")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert "Begun." in process.stdout.readline().decode()
        process.stdin.close()
        assert process.wait(30) == 1
    assert not any(stage.exists() for stage in stages) and not (tmp_path / "new").exists()
    assert (tmp_path / "shared" / "others.tif").read_text() == "of another run"


# exceptions as sentences

@pytest.mark.parametrize("error, words", [
    (MemoryError(), "not enough memory"),
    (type('NumpysOwn', (MemoryError,), {})('Unable to allocate 4 TiB'), "not enough memory"),
    (OSError(errno.ENOSPC, "No space left on device", "/x/é.tif"), "/x/é.tif could not be written completely"),
    (OSError(errno.EDQUOT, "Quota"), "The output could not be written completely"),
    (OSError(errno.EFBIG, "File too large"), "no room left"),
    (OSError(errno.EACCES, "Permission denied", "/x"), "/x cannot be read or written: Permission denied. Choose"),
    (OSError(errno.EIO, "Input/output error"), "did not foresee: OSError: "),
    (ValueError("K is 3; N is 2."), "K is 3; N is 2."), (ValueError("shapes (3,) (2,)"), "did not foresee: ValueError"),
    (ValueError("Braces {like} these."), "Braces {like} these."), (RuntimeError(), "did not foresee: RuntimeError: . "),
    (UserError("{a} and {b}.", a=1, b="{c}"), "1 and {c}.")])
def test_an_exception_becomes_a_sentence(error, words):
    assert words in spoken(_explain(error))


def test_an_unreadable_raster_is_answered_with_its_parameter():
    assert _explain(UnreadableRaster("MSI", "/x", "no"))["unreadable"] == ["MSI"]
    assert "unreadable" not in _explain(UserError("x."))


def test_numbers_of_numpy_are_said_and_told_of_in_errors(tmp_path):
    body = ("import numpy as np\njob.say('{count} values', count=np.int64(5))\n"
            "raise UserError('{least} is too small.', least=np.float32(-0.5))")
    process, found = made(tmp_path, body)
    assert found[0]["message"].format(**found[0]["arguments"]) == "5 values"
    assert process.returncode == 1 and spoken(found[-1]) == "-0.5 is too small."
