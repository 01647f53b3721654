"""What runs on the gateway: calibration, features, GRU and autoencoder, alarms, and their way out.

Importing this package loads nothing heavy; import the room you need, e.g. ``edge.pipeline``.
"""

__version__ = "0.1.0"
