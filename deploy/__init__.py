"""Wiring: settings, command line, Serve application, broker, live view, demo.

A process that imports this is one of irstream's: from here on `contracts`, `models` and so on are the folders beside this one,
whatever else has their names.
"""

from pathlib import Path

import irstream_names

irstream_names.pin(str(Path(__file__).resolve().parents[1]))
