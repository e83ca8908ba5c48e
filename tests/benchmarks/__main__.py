"""`python -m tests.benchmarks`: what Termijn costs, as ratios from one run on this machine."""

from tests.benchmarks.cli import main

if __name__ == "__main__":
    main()
