"""The simulated spectra of Alberts et al. (2024), prepared once into vectors that a data set is read from.

`symspectra.datasets.alberts.prepare.prepare` reads a folder of the parquet files (Zenodo 14770232 or 11611178).
"""
