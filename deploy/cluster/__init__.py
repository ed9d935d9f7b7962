"""The Ray session of a command: start or connect, logs, access, interrupts."""
