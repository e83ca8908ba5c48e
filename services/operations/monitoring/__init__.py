"""What Prometheus and Grafana are told about Termijn: rules, alerts and dashboards, as typed data.

The files under `deploy/` are written from it by `termijn monitoring write`, and a test finds any drift.
"""
