"""What operators see: health, readiness, metrics, and a real Prometheus."""
