"""One material, many spectra: unmixing with spectral variability."""
