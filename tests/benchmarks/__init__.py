"""Benchmarks: what Termijn costs, as ratios from one run on one machine."""
