"""Tracing: W3C trace context on the bus, and spans for whoever collects them."""
