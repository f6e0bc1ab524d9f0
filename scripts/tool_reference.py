"""Write docs/TOOLS.md from the tools' declarations: tool_reference.py [TARGET]."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
import bootstrap

bootstrap.load()
from subpixel.engine.declare import Choice, Group
from subpixel.tools import all_tools

INTRODUCTION = """# The tools

Made from the tools' declarations by `scripts/tool_reference.py`. Every tool is `subpixel:ID` in scripts, models and
`qgis_process`.
"""


def reference():
    """The whole page."""
    parts = [INTRODUCTION]
    for group in Group:
        tools = [tool for tool in all_tools().values() if tool.group is group]
        if tools:
            parts.append(f"\n## {group.value}\n")
            parts += [entry(tool) for tool in tools]
    return "\n".join(parts)


def entry(tool):
    """One tool: what it does, its parameters, its outputs, its source."""
    lines = [f"### `{tool.id}`: {tool.label}\n", "\n\n".join(tool.help()), "",
             "| parameter | | default |", "|---|---|---|"]
    lines += [f"| `{parameter.name}` | **{parameter.label}**{' (advanced)' if parameter.advanced else ''}. "
              f"{parameter.help}{options(parameter)} | {default(parameter)} |" for parameter in tool.parameters()]
    lines += ["", "| output | |", "|---|---|"]
    lines += [f"| `{output.name}` | **{output.label}**{' (advanced)' if output.advanced else ''}. "
              f"{output.help} |" for output in tool.outputs()]
    return "\n".join([*lines, "", f"Reference: {tool.citation}.", ""])


def options(parameter):
    if not isinstance(parameter, Choice):
        return ""
    return " " + "; ".join(f"`{value}`: {words}" for value, words in parameter.options.items()) + "."


def default(parameter):
    if parameter.default is None:
        return "none" if parameter.optional else "required"
    return {True: "yes", False: "no"}.get(parameter.default, parameter.default) \
        if isinstance(parameter.default, bool) else parameter.default


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "TOOLS.md"
    target.write_text(reference(), encoding="utf-8")
