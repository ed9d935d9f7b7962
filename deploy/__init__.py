"""Wiring: settings, command line, Serve application, broker, live view, demo."""
