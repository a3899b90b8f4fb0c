"""Spectra of organic molecules computed from structure: molecule list, quantum chemistry, shifts, fragmentation."""
