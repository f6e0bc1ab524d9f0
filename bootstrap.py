"""Import this folder as the package `subpixel`, whatever the folder is called.

Run as a program (`python bootstrap.py JOB`) it starts the engine on a job; with `--self-test` it tests the engine, and
with `--state` it tells which packages are there. Imported, it only offers `load`.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def load():
    """Return the package `subpixel`, importing it from this folder on the first call."""
    if "subpixel" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "subpixel", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
        package = importlib.util.module_from_spec(spec)
        sys.modules["subpixel"] = package
        spec.loader.exec_module(package)
    return sys.modules["subpixel"]


if __name__ == "__main__":
    # the folder of this script would put `ui`, `tools` and the like among the top-level modules
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    load()
    from subpixel.engine.main import main
    sys.exit(main(sys.argv[1:]))
