"""From history to a bundle: windows, training, conversion, parity, gate."""
