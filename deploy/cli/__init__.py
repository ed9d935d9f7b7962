"""The command `irstream`, one module per sub-command."""
