// Starts the page.

import { Display } from "./display.js";
import { showDisplayPanel } from "./display_panel.js";
import { byId } from "./dom.js";
import { History } from "./history.js";
import { showLists } from "./lists.js";
import { Loader } from "./loader.js";
import { pages } from "./pages.js";
import { RowView } from "./row_view.js";
import { SensorView } from "./sensor_view.js";
import { showStatus } from "./status.js";
import { Store, listen } from "./store.js";
import { tabs, turns } from "./tabs.js";
import { Wall } from "./wall.js";

const store = new Store();
const display = new Display();
const loader = new Loader(store, display);
tabs(document.querySelector(".tabs"));
turns(byId("to-lists"));
showStatus(store);
showLists(store);
showDisplayPanel(display);
new Wall(store, display, loader);
const sensor = new SensorView(store, display, loader);
const row = new RowView(store, display);
pages({
  open: {
    sensor: (rest) => sensor.open(rest),
    row: (rest) => row.open(rest),
    history: () => byId("history-view").replaceChildren(new History().element),
  },
  close: { sensor: () => sensor.close(), row: () => row.close(), history: () => byId("history-view").replaceChildren() },
});
listen(store);
