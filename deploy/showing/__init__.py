"""Pictures and clips from a results table (`irstream show`)."""
