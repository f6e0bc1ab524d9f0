"""Rasters, spectra and jobs: what every tool needs around the science. Never imports QGIS."""
