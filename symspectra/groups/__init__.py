"""What is predicted: the 37 functional groups of Table 8, as labels of a molecule."""

from symspectra.groups.table8 import IMPLICATIONS, NAMES, SMARTS, from_bits, label, to_bits

__all__ = ["IMPLICATIONS", "NAMES", "SMARTS", "from_bits", "label", "to_bits"]
