// Starts the page.

import { Display } from "./display.js";
import { showDisplayPanel } from "./display_panel.js";
import { showLists } from "./lists.js";
import { Loader } from "./loader.js";
import { showStatus } from "./status.js";
import { Store, listen } from "./store.js";
import { tabs, turns } from "./tabs.js";
import { Wall } from "./wall.js";

const store = new Store();
const display = new Display();
const loader = new Loader(store, display);
tabs(document.querySelector(".tabs"));
turns(document.getElementById("to-lists"));
showStatus(store);
showLists(store);
showDisplayPanel(display);
new Wall(store, display, loader);
listen(store);
