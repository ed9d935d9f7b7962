"""The synthetic infrared source: backdrops, targets, optics, sensor, exact truth. numpy only, deterministic for a seed."""
