"""Worked examples of agents, one for each adapter; the tests run them."""
