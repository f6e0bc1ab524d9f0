"""What every benchmark shares: the package, the real scenes, and writing the result as JSON and Markdown."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCENES = ROOT.parent / "shared" / "data"
RESULTS = HERE / "results"

sys.path.append(str(ROOT))
import bootstrap

bootstrap.load()


def machine():
    """The machine in words: processor, cores, Python and numpy."""
    import numpy
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {numpy.__version__}"


def commit():
    """The commit that was measured, with `+` where the tree had changes."""
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def table(rows):
    """A list of dictionaries with the same keys as a Markdown table."""
    heads = list(rows[0])
    def cell(value):
        return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell(row[head]) for head in heads) + " |" for row in rows]
    return "\n".join(lines)


def record(name, title, rows, seed=None, notes=""):
    """Write `results/NAME.json` and `results/NAME.md` and print the table."""
    RESULTS.mkdir(exist_ok=True)
    facts = {"title": title, "seed": seed, "commit": commit(), "machine": machine(),
             "date": time.strftime("%Y-%m-%d"), "notes": notes, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    made = f"Seed {seed}; commit {facts['commit']}; {facts['machine']}; {facts['date']}."
    text = f"# {title}\n\n{table(rows)}\n\n{notes}\n\n{made}\n"
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
