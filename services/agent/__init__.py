"""The agent: a process beside a downstream system that carries out commands and acknowledges them."""
