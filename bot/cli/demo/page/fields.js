// Input fields of commands and forms: build an element, read its value.
import { make } from "./dom.js";
import { sampleFile, state, text } from "./state.js";

/** A field for files: choose, drop, paste, or take a sample. `files()` gives what was chosen. */
export function filesField({ id, most = 1, chosen = [] }) {
  let files = [...chosen];
  const input = make("input", { type: "file", accept: "image/*", id, multiple: most > 1, class: "visually-hidden" });
  const names = make("span", { class: "chosen" });
  const samples = make("span", { class: "thumbnails" }, ...state.server.samples.map((name) =>
    make("button", { type: "button", title: name, "aria-label": name, onclick: async () => set([await sampleFile(name)]) },
      make("img", { src: `/samples/${name}`, alt: "" }))));
  const element = make("div", { class: "files" },
    make("label", { class: "button secondary", for: id }, text("choose")), input, samples, names);
  const set = (given) => {
    files = [...given].slice(0, most);
    names.replaceChildren(...files.map((file) =>
      make("figure", {}, make("img", { src: URL.createObjectURL(file), alt: "" }), make("figcaption", {}, file.name))));
    element.dispatchEvent(new Event("change"));
  };
  input.addEventListener("change", () => set(input.files));
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    set(event.dataTransfer.files);
  });
  if (files.length) set(files);
  return { element, set, files: () => files };
}

/** Say what a number may be; null if the typed text is right. */
export function numberProblem(typed, { whole, low, high }) {
  const value = Number(typed.replace(",", "."));
  const wrong = typed.trim() === "" || Number.isNaN(value) || (whole && !Number.isInteger(value))
    || (low !== undefined && value < low) || (high !== undefined && value > high);
  return wrong ? rangeHint({ low, high }) : null;
}

/** The allowed range of a number, as a hint. */
export function rangeHint({ low, high }) {
  return low !== undefined && high !== undefined ? text("range", { low, high }) : "";
}

/** A select menu; choices are [value, label]. */
export function choiceField({ id, choices, chosen, empty }) {
  return make("select", { id },
    empty ? make("option", { value: "" }, "") : null,
    ...choices.map(([value, label]) => make("option", { value, selected: value === chosen }, label)));
}
