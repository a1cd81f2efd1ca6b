"""Rules, alerts, dashboard and their manifests: as files, and in a real Prometheus and a real Alertmanager."""
