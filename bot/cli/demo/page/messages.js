// The list of messages: renders what the server sends and follows the newest message.
import { enlarge, find, make, toast } from "./dom.js";
import { inline, markdown, writeTime } from "./markdown.js";
import { openModal } from "./modal.js";
import { act, commandTitle, localized, state, text } from "./state.js";

const COLOURS = { alice: "#e0637f", bob: "#3f9ec4" };
const NEAR_BOTTOM = 120;
const shown = new Map();
const scroller = find("scroller");
const list = find("messages");
let pinned = true;
let lastTop = 0;
let onReply;

/** Start following the list; `reply` is called with a message to reply to. */
export function startMessages(reply) {
  onReply = reply;
  scroller.addEventListener("scroll", () => {
    const near = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_BOTTOM;
    // The event comes after the scrolling: a picture that has loaded since then is not a reason to
    // stop following, only scrolling up is.
    if (near) pinned = true;
    else if (scroller.scrollTop < lastTop) pinned = false;
    lastTop = scroller.scrollTop;
    if (pinned) find("latest").hidden = true;
  });
  new ResizeObserver(() => { if (pinned) toBottom(); }).observe(list);
  new ResizeObserver(() => { if (pinned) toBottom(); }).observe(scroller);
  find("latest").addEventListener("click", toBottom);
  setInterval(() => list.querySelectorAll("time").forEach(writeTime), 10_000);
}

/** Show the newest message, and keep showing it as the list grows. */
export function toBottom() {
  pinned = true;
  scroller.scrollTop = scroller.scrollHeight;
  find("latest").hidden = true;
}

/** Remove all messages, before those of another channel or user are shown. */
export function clearMessages() {
  shown.clear();
  list.replaceChildren();
  pinned = true;
}

/** Show these messages: unchanged ones keep their elements. */
export function showMessages(messages) {
  const first = shown.size === 0;
  const ids = new Set(messages.map((message) => message.id));
  for (const [id, entry] of shown) {
    if (!ids.has(id)) {
      entry.element.remove();
      shown.delete(id);
    }
  }
  let previous = null;
  for (const message of messages) {
    const compact = continues(previous, message);
    const json = JSON.stringify([message, compact]);
    const old = shown.get(message.id);
    if (!old) {
      const element = messageElement(message, compact);
      list.append(element);
      shown.set(message.id, { json, element });
      if (!first) announce(message);
    } else if (old.json !== json) {
      const element = messageElement(message, compact);
      keepPictures(old.element, element);
      old.element.replaceWith(element);
      shown.set(message.id, { json, element });
    }
    previous = message;
  }
  if (pinned) toBottom();
}

/** Scroll to a message and mark it for a moment. */
export function jumpTo(id) {
  const element = shown.get(id)?.element;
  if (!element) {
    toast(text("gone"));
    return;
  }
  element.scrollIntoView({ block: "center" });
  element.classList.add("marked");
  setTimeout(() => element.classList.remove("marked"), 2000);
}

function announce(message) {
  const me = state.server.users.find((user) => user.id === state.user);
  const mine = message.author.id === state.user || message.command?.user === me.name
    || message.reply?.author === me.name;
  if (mine) toBottom();
  else if (!pinned) find("latest").hidden = false;
}

function continues(previous, message) {
  return Boolean(previous) && previous.author.id === message.author.id && !message.command
    && !message.reply && !previous.private
    && new Date(message.at) - new Date(previous.at) < 5 * 60_000;
}

/** Show the old picture until the new one is loaded, so that nothing flickers. */
function keepPictures(before, after) {
  const old = [...before.querySelectorAll("img.picture")];
  [...after.querySelectorAll("img.picture")].forEach((image, index) => {
    const kept = old[index];
    if (!kept || !kept.naturalWidth) return;
    if (kept.src === image.src) {
      image.replaceWith(kept);
      return;
    }
    const placeholder = kept.cloneNode();
    placeholder.alt = "";
    image.replaceWith(placeholder);
    image.decode().catch(() => {}).then(() => placeholder.replaceWith(image));
  });
}

function messageElement(message, compact) {
  const name = message.author.name;
  const when = make("time", { datetime: message.at, "data-style": "t" });
  writeTime(when);
  const body = make("div", { class: "body" });
  if (!compact) {
    body.append(make("div", { class: "author" },
      make("strong", {}, name),
      message.author.bot ? make("span", { class: "badge" }, text("app")) : null, when));
    body.querySelector("strong").style.color = COLOURS[name] ?? "";
  }
  if (message.loading) {
    body.append(make("div", { class: "loading" }, text("loading", { name })));
  }
  if (message.content) {
    const content = make("div", { class: "content" }, markdown(message.content));
    if (message.edited) content.lastElementChild?.append(make("span", { class: "edited" }, text("edited")));
    body.append(content);
  }
  if (message.attachments.length) {
    body.append(make("div", { class: "attachments" }, ...message.attachments.map(attachment)));
  }
  for (const component of message.components) body.append(renderComponent(component, message));
  if (message.private) body.append(make("div", { class: "private" }, text("private")));
  return make("li", { class: `message${compact ? " compact" : ""}${message.private ? " ephemeral" : ""}`,
    "data-id": message.id },
  context(message), compact ? make("span", { class: "gutter" }) : avatar(message.author), body,
  make("div", { class: "toolbar" }, tools(message)));
}

function avatar(author) {
  if (author.bot) return make("img", { class: "avatar", src: "/page/bot.svg", alt: "" });
  const element = make("span", { class: "avatar", "aria-hidden": "true" }, author.name[0].toUpperCase());
  element.style.background = COLOURS[author.name] ?? "";
  return element;
}

function context(message) {
  if (message.reply) {
    return make("button", { type: "button", class: "context", "data-message": message.reply.id },
      "↰ ", make("strong", {}, message.reply.author ?? ""), " ",
      message.reply.author ? inline(message.reply.excerpt) : text("gone"));
  }
  if (message.command?.name) {
    return make("div", { class: "context" }, "↰ ",
      text("used", { user: message.command.user, command: commandName(message.command.name) }));
  }
  return null;
}

function commandName(name) {
  const menu = state.commands?.message.find((command) => command.name === name);
  const slash = state.commands?.slash.find((command) => command.path === name);
  return menu ? localized(menu) : `/${slash ? commandTitle(slash) : name}`;
}

function tools(message) {
  const box = make("div", { class: "tools" });
  if (!message.private && !message.loading) {
    box.append(tool(text("reply"), () => onReply(message)));
    for (const command of state.commands?.message ?? []) {
      box.append(tool(localized(command),
        () => run("menu", { name: command.name, message: message.id })));
    }
  }
  if (message.author.bot && !message.private && !message.loading) {
    box.append(tool(text("react"), () => run("react", { message: message.id, emoji: "❌" })));
  }
  if (message.author.id === state.user) {
    box.append(tool(text("delete"), () => run("delete", { message: message.id })));
  }
  return box;
}

const tool = (label, onclick) => make("button", { type: "button", onclick }, label);

function attachment(file) {
  if (!file.picture) return make("a", { href: file.url, download: file.name }, file.name);
  return picture(file.url, file.alt);
}

function picture(url, alt) {
  return make("img", { class: "picture", src: url, alt, onclick: () => enlarge(url, alt) });
}

// Component types: https://discord.com/developers/docs/components/reference#component-object
const COMPONENTS = {
  1: (row, message) => make("div", { class: "row" },
    ...row.components.map((child) => renderComponent(child, message))),
  2: button,
  3: select,
  9: (section, message) => make("div", { class: "section" },
    make("div", {}, ...section.components.map((child) => renderComponent(child, message))),
    renderComponent(section.accessory, message)),
  10: (display) => make("div", { class: "content" }, markdown(display.content)),
  11: (thumbnail) => {
    const image = picture(thumbnail.media.url, thumbnail.description ?? "");
    image.classList.add("thumbnail");
    return image;
  },
  12: (gallery) => make("div", { class: `gallery of-${gallery.items.length}` },
    ...gallery.items.map((item) => {
      const image = picture(item.media.url, item.description ?? "");
      return item.spoiler ? spoiler(image) : image;
    })),
  13: (file) => make("a", { href: file.file.url, download: true }, file.name ?? "file"),
  14: (separator) => make("hr", { class: separator.divider === false ? "space" : "" }),
  17: (container, message) => {
    const box = make("div", { class: "container" },
      ...container.components.map((child) => renderComponent(child, message)));
    if (container.accent_color) {
      box.style.borderLeftColor = `#${container.accent_color.toString(16).padStart(6, "0")}`;
    }
    return box;
  },
};

function renderComponent(component, message) {
  return COMPONENTS[component.type]?.(component, message) ?? make("span");
}

function spoiler(image) {
  const cover = make("button", { type: "button", class: "spoiler" }, "SPOILER", image);
  cover.addEventListener("click", (event) => {
    if (cover.classList.contains("open")) return;
    event.stopPropagation();
    cover.classList.add("open");
  }, true);
  return cover;
}

const BUTTONS = { 1: "primary", 2: "secondary", 3: "success", 4: "danger" };

function button(component, message) {
  const label = [component.emoji?.name, component.label].filter(Boolean).join(" ");
  if (component.url) {
    return make("a", { class: "button secondary", href: component.url, target: "_blank", rel: "noreferrer" }, label, " ↗");
  }
  const element = make("button", { type: "button", class: `button ${BUTTONS[component.style] ?? "secondary"}`,
    disabled: component.disabled }, label);
  element.addEventListener("click", async () => {
    element.classList.add("busy");
    await run("click", { message: message.id, custom_id: component.custom_id });
    element.classList.remove("busy");
  });
  return element;
}

function select(component, message) {
  const most = component.max_values ?? 1;
  const chosen = component.options.filter((option) => option.default).map((option) => option.value);
  const menu = make("select", { multiple: most > 1, disabled: component.disabled,
    "aria-label": component.placeholder ?? "" },
  most > 1 || chosen.length ? null : make("option", { value: "", disabled: true, selected: true, hidden: true }, component.placeholder ?? ""),
  ...component.options.map((option) => make("option",
    { value: option.value, title: option.description, selected: option.default }, option.label)));
  menu.addEventListener("change", () => {
    const values = [...menu.selectedOptions].map((option) => option.value);
    if (values.length >= (component.min_values ?? 1)) {
      run("select", { message: message.id, custom_id: component.custom_id, values });
    }
  });
  return menu;
}

/** Perform an action of a message; open the form that it leads to. */
async function run(kind, fields) {
  try {
    openModal(await act(kind, fields));
  } catch (error) {
    toast(error.message);
  }
}
