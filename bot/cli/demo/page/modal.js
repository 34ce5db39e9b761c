// Forms that the bot opens.
import { find, make } from "./dom.js";
import { choiceField, filesField } from "./fields.js";
import { markdown } from "./markdown.js";
import { act, text } from "./state.js";

// Component types: https://discord.com/developers/docs/components/reference#component-object
const ROW = 1, STRING_SELECT = 3, TEXT_INPUT = 4, TEXT = 10, LABEL = 18, UPLOAD = 19, CHECKBOX = 23;
const dialog = find("modal");

/** Open the form of an action's answer, if it has one. */
export function openModal(answer) {
  if (!answer?.modal) return;
  const fields = [];
  const body = make("div", { class: "fields" });
  for (const item of answer.modal.components) {
    if (item.type === TEXT) body.append(make("div", {}, markdown(item.content)));
    else if (item.type === LABEL) addField(body, fields, item.component, item.label, item.description);
    else if (item.type === ROW) item.components.forEach((child) => addField(body, fields, child, child.label));
  }
  const problem = make("p", { class: "problem", role: "alert", hidden: true });
  const submit = make("button", { type: "submit", class: "button primary" }, text("submit"));
  const form = make("form", {}, make("h2", {}, answer.modal.title), body, problem,
    make("footer", {}, make("button", { type: "button", class: "button secondary", onclick: () => dialog.close() },
      text("cancel")), submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const values = {}, files = {};
    for (const field of fields) {
      if (field.files) {
        if (field.files().length) files[field.name] = field.files();
      } else if (field.value() !== null) values[field.name] = field.value();
    }
    try {
      const next = await act("submit", { modal: answer.modal_id, values }, files);
      dialog.close();
      openModal(next);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    submit.disabled = false;
  });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
  fields[0]?.focus?.();
}

function addField(body, fields, component, label, description) {
  const field = createField(component);
  fields.push({ name: component.custom_id, ...field });
  body.append(make("label", { class: "wide", for: component.custom_id },
    make("span", {}, label, field.required ? make("span", { class: "needed" }, " *") : null),
    field.element, description ? make("small", {}, description) : null));
}

function createField(component) {
  const id = component.custom_id;
  if (component.type === UPLOAD) {
    return { ...filesField({ id, most: component.max_values ?? 1 }), required: component.required };
  }
  if (component.type === CHECKBOX) {
    const element = make("input", { id, type: "checkbox", checked: component.default });
    return { element, value: () => element.checked };
  }
  if (component.type === TEXT_INPUT) {
    const element = component.style === 2 ? make("textarea", { id, rows: 2 }) : make("input", { id, type: "text" });
    element.value = component.value ?? "";
    if (component.max_length) element.maxLength = component.max_length;
    if (component.placeholder) element.placeholder = component.placeholder;
    element.required = component.required ?? true;
    return { element, value: () => element.value, required: element.required, focus: () => element.focus() };
  }
  // Select menus and radio groups.
  const chosen = component.options.find((option) => option.default)?.value;
  const element = choiceField({ id, chosen, empty: !chosen && component.required === false,
    choices: component.options.map((option) => [option.value, option.label]) });
  const single = component.type !== STRING_SELECT;
  return { element, required: component.required,
    value: () => (single ? element.value || null : element.value ? [element.value] : []) };
}
