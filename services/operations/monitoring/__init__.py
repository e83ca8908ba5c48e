"""The rules, alerts and dashboards for Prometheus and Grafana, as typed data.

`termijn monitoring write` writes the files under `deploy/` from it; a test fails where they differ.
"""
