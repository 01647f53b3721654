"""Slopes made up from a seed, with their truth, and the faults of their sensors, with labels.

For tests, the demo and benchmarks. Numpy alone.
"""
