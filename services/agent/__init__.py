"""The agent: what a downstream system runs beside itself to obey commands and answer them."""
