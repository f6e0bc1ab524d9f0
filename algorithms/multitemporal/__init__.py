"""One place at several dates: fractions and spectra that are followed through time."""
