// Small helpers to build the page's elements.

/** Create an element: `make("button", {class: "x", onclick: f}, "text", child)`. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined)
    .map((child) => (typeof child === "string" ? emoji(child) : child)));
  return element;
}

/** Emoji as characters that text fonts have; Discord's clients bring pictures of their own. */
export const emoji = (text) => text.replaceAll("⭐", "★").replaceAll("❌", "✖");

export const find = (id) => document.getElementById(id);

let toastTimer;

/** Show one sentence for some seconds. */
export function toast(sentence, seconds = 6) {
  const box = find("toast");
  box.textContent = sentence;
  box.hidden = false;
  clearTimeout(toastTimer);
  if (seconds) toastTimer = setTimeout(() => { box.hidden = true; }, seconds * 1000);
}

/** Show a picture in full size. */
export function enlarge(url, alt) {
  const dialog = find("lightbox");
  const image = dialog.querySelector("img");
  image.src = url;
  image.alt = alt;
  dialog.onclick = () => dialog.close();
  dialog.showModal();
}
