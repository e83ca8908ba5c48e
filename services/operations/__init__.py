"""What operators see and generate: metrics, logs, health, status, doctor, alerts, manifests, watch."""
