"""Names of metrics, and logging."""
