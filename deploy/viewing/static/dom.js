// Elements. Text is always set as text: nothing that a message says becomes markup.

/** An element with attributes, handlers (`onclick`) and children; null children are left out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in PROPERTIES) element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

const PROPERTIES = { value: 1, checked: 1, disabled: 1, selected: 1 };

export const byId = (id) => document.getElementById(id);

/** Sets text only where it differs, so that nothing is laid out or read aloud again for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
