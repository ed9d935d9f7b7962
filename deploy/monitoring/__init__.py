"""Questions of others to a running stream: its metrics, whether it lives, whether it is ready."""
