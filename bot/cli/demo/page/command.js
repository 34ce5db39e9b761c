// The panel in which a slash command is filled in.
import { find, make, toast } from "./dom.js";
import { choiceField, filesField, numberProblem, rangeHint } from "./fields.js";
import { openModal } from "./modal.js";
import { act, commandTitle, localized, state, text } from "./state.js";

// Option types: https://discord.com/developers/docs/interactions/application-commands
const STRING = 3, INTEGER = 4, BOOLEAN = 5, USER = 6, CHANNEL = 7, NUMBER = 10, ATTACHMENT = 11;
const panel = find("command");
let current = null;
let typing = 0;

/** Whether a command is being filled in. */
export const commandOpen = () => current !== null;

/** Put files into the command's attachment option. */
export function attachToCommand(files) {
  const field = current?.fields.find((one) => one.option.type === ATTACHMENT);
  field?.set(files);
  return Boolean(field);
}

/** Open a command; `preset` maps option names to values or files. */
export function openCommand(path, preset = {}) {
  const command = state.commands.slash.find((one) => one.path === path);
  if (!command) return;
  current = { command, fields: [] };
  const options = command.options ?? [];
  const more = make("div", { class: "more" });
  const grid = make("div", { class: "fields" });
  panel.replaceChildren(
    make("header", {}, make("strong", {}, `/${commandTitle(command)}`),
      make("span", {}, localized(command, "description")),
      make("button", { type: "button", class: "quiet", "aria-label": text("cancel"), onclick: closeCommand }, "×")),
    grid, more, make("p", { class: "problem", role: "alert", hidden: true }),
    make("footer", {}, make("button", { type: "submit", class: "button primary" }, text("run"))));
  // The picture that the command is about; further ones are as rare as other options.
  const picture = options.find((option) => option.type === ATTACHMENT);
  for (const option of options) {
    if (option.required || option === picture || option.name in preset) {
      addField(grid, option, preset[option.name]);
    } else {
      const chip = make("button", { type: "button", class: "chip", title: localized(option, "description") },
        `+ ${localized(option)}`);
      chip.addEventListener("click", () => {
        chip.remove();
        addField(grid, option).focus();
      });
      more.append(chip);
    }
  }
  panel.hidden = false;
  find("composer").hidden = true;
  find("samples").hidden = true;
  (current.fields.find((field) => field.option.required && !field.value()) ?? current.fields[0])?.focus();
  if (!current.fields.length) panel.querySelector("[type=submit]").focus();
}

/** Close the panel and return to the message field. */
export function closeCommand() {
  current = null;
  panel.hidden = true;
  panel.replaceChildren();
  find("composer").hidden = false;
  find("samples").hidden = false;
  find("text").focus();
}

function addField(grid, option, preset) {
  const field = createField(option, preset);
  current.fields.push(field);
  grid.append(make("label", { class: option.type === ATTACHMENT || option.autocomplete ? "wide" : "", for: field.id },
    make("span", {}, localized(option), option.required ? make("span", { class: "needed" }, " *") : null),
    field.element, make("small", {}, field.hint || localized(option, "description"))));
  return field;
}

function createField(option, preset) {
  const id = `option-${option.name}`;
  if (option.type === ATTACHMENT) {
    const field = filesField({ id, chosen: preset ? [preset] : [] });
    return { id, option, element: field.element, set: field.set, value: () => field.files()[0],
      focus: () => field.element.querySelector("label").focus() };
  }
  const choices = option.choices?.map((choice) => [String(choice.value), localized(choice)])
    ?? { [BOOLEAN]: [["true", text("yes")], ["false", text("no")]],
      [CHANNEL]: state.server.channels.map((channel) => [channel.id, `#${channel.name}`]),
      [USER]: state.server.users.map((user) => [user.id, user.name]) }[option.type];
  if (choices) {
    const first = option.type === BOOLEAN ? "true" : undefined;
    const element = choiceField({ id, choices, chosen: preset ?? first, empty: !option.required && !first });
    return { id, option, element, value: () => element.value, focus: () => element.focus() };
  }
  const element = option.name === "prompt"
    ? make("textarea", { id, rows: 1 }) : make("input", { id, type: "text" });
  element.value = preset ?? "";
  if (option.max_length) element.maxLength = option.max_length;
  const range = { whole: option.type === INTEGER, low: option.min_value, high: option.max_value };
  const number = option.type === INTEGER || option.type === NUMBER;
  if (number) element.inputMode = "decimal";
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      panel.requestSubmit();
    }
  });
  return { id, option, element: option.autocomplete ? withChoices(element, option) : element, hint: number ? `${localized(option, "description")} · ${rangeHint(range)}` : "",
    value: () => (number ? element.value.trim().replace(",", ".") : element.value),
    problem: () => (number && element.value.trim() ? numberProblem(element.value, range) : null),
    focus: () => element.focus() };
}

/** Offer the bot's choices below the field, and ask again while the user types. */
function withChoices(input, option) {
  const chips = make("div", { class: "chips" });
  const ask = async () => {
    typing += 1;
    const asked = typing;
    const answer = await act("autocomplete", { path: current.command.path, option: option.name, typed: input.value })
      .catch(() => ({ choices: [] }));
    if (asked !== typing) return;
    chips.replaceChildren(...(answer.choices ?? []).map((choice) => make("button", { type: "button", class: "chip",
      onclick: () => { input.value = choice.value; } }, choice.name)));
  };
  input.addEventListener("input", ask);
  input.addEventListener("focus", ask, { once: true });
  return make("div", {}, input, chips);
}

panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeCommand();
});

panel.addEventListener("submit", async (event) => {
  event.preventDefault();
  const asked = current;
  const options = {}, files = {};
  for (const field of asked.fields) {
    const value = field.value();
    const problem = field.option.required && !value ? text("required") : field.problem?.();
    if (problem) {
      showProblem(`${localized(field.option)}: ${problem}`);
      field.focus();
      return;
    }
    if (!value) continue;
    if (field.option.type === ATTACHMENT) files[field.option.name] = value;
    else options[field.option.name] = field.option.type === BOOLEAN ? value === "true" : value;
  }
  const button = panel.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const answer = await act("slash", { path: asked.command.path, options }, files);
    if (current === asked) closeCommand();
    openModal(answer);
  } catch (error) {
    if (current === asked) showProblem(error.message);
    else toast(error.message);
  }
  button.disabled = false;
});

function showProblem(sentence) {
  const box = panel.querySelector(".problem");
  box.textContent = sentence;
  box.hidden = false;
}
