"""Messages about results: alerts, dead letters and their envelope."""
