"""Measured spectra of public collections and of your own: read into one table, prepared for training and evaluation.

`symspectra.datasets.measured.records` is the table, one row per spectrum. nmrshiftdb2, MassBank and tables of peaks are
read into it; `symspectra.datasets.measured.prepare.prepare` joins the spectra of a molecule by the first block of its
InChIKey.
"""
