"""What Termijn costs, measured: ratios from one run on one machine."""
