"""Shows every tool to QGIS as a Processing algorithm, runs it in the engine, and styles what comes back."""
