"""The running stream: generations and their supervisor, progress, counters."""
