// Tabs by mouse and arrow keys, as WAI-ARIA has them.

export function tabs(list) {
  const buttons = [...list.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const button of buttons) {
      const on = button === chosen;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      document.getElementById(button.getAttribute("aria-controls")).hidden = !on;
    }
    list.dispatchEvent(new Event("choose"));
  };
  for (const [index, button] of buttons.entries()) {
    button.addEventListener("click", () => choose(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(index + step + buttons.length) % buttons.length];
      choose(next);
      next.focus();
    });
  }
}

/** On a narrow screen sensors and lists take turns. */
export function turns(button) {
  const show = (lists) => {
    document.body.classList.toggle("lists", lists);
    button.setAttribute("aria-expanded", String(lists));
    button.textContent = lists ? "Sensors" : "Lists";
  };
  button.addEventListener("click", () => show(!document.body.classList.contains("lists")));
  window.addEventListener("hashchange", () => show(false));
}
