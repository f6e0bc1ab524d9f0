"""
The engine: runs one job and says how it goes, one JSON object per line on its own copy of file descriptor 1.

Each line holds `progress` (percent), `message` or `warning` (a template) with `arguments`, and at last either `result`
or `error` (a template, with `arguments` and, for the log, `traceback`). Whatever libraries print goes to stderr.
"""

import contextlib
import json
import os
import shutil
import threading
import traceback


def main(arguments):
    """Run the job in the file named by the argument, or `--self-test`, or tell the `--state`. Returns the exit code."""
    leave_a_core()
    open_many_files()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def tell(message):
        answers.write(line_of(message))
        answers.flush()

    try:
        if arguments in (["--self-test"], ["--state"]):
            from .selftest import selftest, state
            tell({"result": state() if arguments == ["--state"] else selftest(run)})
            return 0
        with open(arguments[0], encoding="utf-8") as file:
            job = json.load(file)
        if job.get("attended"):
            threading.Thread(target=_end_with_parent, args=job.get("traces", ([], [])), daemon=True).start()
        tell({"result": run(job, tell)})
        return 0
    except Exception as error:
        tell(failure(error))
        return 1


def line_of(message):
    """A message as a line of JSON, in which numpy's numbers are Python's."""
    return json.dumps(message, ensure_ascii=False, default=lambda number: number.item()) + "\n"


def leave_a_core():
    """
    Let linear algebra use all cores but one, unless the user's environment says otherwise.

    One core is for reading ahead and for QGIS: where BLAS has more threads than there are cores, they wait for each
    other (on two cores, five times as long). To be called before numpy is imported.
    """
    threads = str(max(1, (os.cpu_count() or 1) - 1))
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, threads)


def open_many_files():
    """
    Let this process hold as many files open as the system allows it, where systems set such a limit.

    Every image of a sequence is open once in each thread that reads, and so is every raster that is written.
    """
    try:
        import resource
    except ImportError:   # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (10240 if most == resource.RLIM_INFINITY else most, most))


def run(job, tell):
    """Run a job, a dictionary with `tool`, `values`, `outputs` and `version`. Returns its result."""
    import rasterio

    from ..tools import all_tools
    from . import raster
    from .declare import validate
    from .job import Job
    from .sentences import UserError

    tools = all_tools()
    if job["tool"] not in tools:
        raise UserError("There is no tool {tool}. Choose one of: {tools}.", tool=job["tool"], tools=", ".join(tools))
    tool = tools[job["tool"]]()
    values = validate(tool, job["values"])
    outputs = job.get("outputs", {})
    with rasterio.Env(GDAL_CACHEMAX=raster.CACHE):
        work = Job(tool, values, outputs, job.get("version", ""), tell, job.get("kept"))
        tool.run(work)
    return work.result


def failure(error):
    """What is told of an error: its sentence and, where the user cannot mend it, the traceback for the log."""
    return {**_explain(error), "traceback": "" if _is_the_users(error) else "".join(traceback.format_exception(error))}


def _is_the_users(error):
    """Whether an error is one that the user can mend, raised with its sentence by the engine or an algorithm."""
    from .sentences import UserError
    root, frames = os.path.dirname(os.path.dirname(__file__)), traceback.extract_tb(error.__traceback__)
    # packages are within the plugin's folder where the environment is
    raised_here = bool(frames) and frames[-1].filename.startswith(root) and "site-packages" not in frames[-1].filename[
        len(root):]
    return isinstance(error, UserError) or isinstance(error, ValueError) and raised_here or _is_of_a_file(error)


def _is_of_a_file(error):
    """Whether an error says why the system refuses a file."""
    return isinstance(error, OSError) and bool(error.filename and error.strerror)


def _explain(error):
    """An exception as the sentence that the user reads."""
    import errno

    from .sentences import UnreadableRaster, UserError
    if isinstance(error, UserError):
        answer = {"error": error.sentence.template, "arguments": error.sentence.arguments}
        if isinstance(error, UnreadableRaster):
            answer["unreadable"] = error.names
        return answer
    if isinstance(error, MemoryError):
        return {"error": "There is not enough memory for this run. Clip the raster or use fewer bands.",
                "arguments": {}}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return {"error": "{path} could not be written completely: no room left. "
                         "Make room on the disk, or choose another place for the output.",
                "arguments": {"path": error.filename or "The output"}}
    if _is_of_a_file(error):
        return {"error": "{path} cannot be read or written: {reason}. Choose another file, or another place for the "
                         "output.", "arguments": {"path": str(error.filename), "reason": error.strerror}}
    if isinstance(error, ValueError) and str(error).endswith("."):
        return {"error": "{sentence}", "arguments": {"sentence": str(error)}}
    return {"error": "This run failed for a reason that Subpixel did not foresee: {reason}. The log holds the "
                     "details; please report them.",
            "arguments": {"reason": f"{type(error).__name__}: {error}".rstrip(".")}}


def _end_with_parent(staging, made):
    """
    End when whoever started the engine is gone: its end of standard input closes.

    Nobody else is left then to remove the `staging` folders of the run, and the folders `made` for its outputs.
    """
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    for folder in staging:
        for _ in range(20):   # the run goes on writing to it
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
    for folder in reversed(made):
        with contextlib.suppress(OSError):   # it is not empty
            os.rmdir(folder)
    os._exit(1)
