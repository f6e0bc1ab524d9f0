"""The tools: one small file per tool. Everything that QGIS shows of a tool stands in its declaration."""

import importlib
import pkgutil

from ..engine.declare import Tool


def all_tools():
    """Every tool class declared below this folder, by id. Modules whose name starts with `_` hold shared parts."""
    found = {}
    for module in pkgutil.walk_packages(__path__, __name__ + "."):
        if module.name.rsplit(".", 1)[1].startswith("_"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Tool) and value.id and value.__module__ == module.name:
                found[value.id] = value
    return dict(sorted(found.items()))
