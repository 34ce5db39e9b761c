// The demo's page: channels, users, language, the message field.
import { attachToCommand, closeCommand, commandOpen, openCommand } from "./command.js";
import { find, make, toast } from "./dom.js";
import { clearMessages, jumpTo, showMessages, startMessages, toBottom } from "./messages.js";
import {
  act, channelById, channelTitle, commandTitle, locale, localized, place, sampleFile, state, text, userById,
} from "./state.js";

const SHOWN_PROMPTS = 9;
const FIRST_COMMANDS = ["img2img", "edit", "imagine", "help", "history", "defaults"];
const input = find("text");
const suggestions = find("suggestions");
const seen = {};
let events = null;
let replyTo = null;
let pending = [];
let marked = 0;
// The message to show when its channel has been entered.
let target = null;

async function start() {
  state.server = await (await fetch("/server")).json();
  const { server } = state;
  const kept = (name, known) => known.find((id) => id === sessionStorage.getItem(name));
  const languages = Object.keys(server.texts);
  state.user = kept("user", server.users.map((user) => user.id)) ?? server.users[0].id;
  const channels = [...server.channels.map((channel) => channel.id), userById(state.user).direct];
  state.channel = kept("channel", channels) ?? channels[0];
  state.language = kept("language", languages)
    ?? languages.find((language) => navigator.language.startsWith(language)) ?? "en";
  find("language").append(...languages.map((language) => make("option", { value: language },
    new Intl.DisplayNames([language], { type: "language" }).of(language))));
  startMessages(setReply);
  await setLanguage(state.language);
}

async function setLanguage(language) {
  state.language = language;
  sessionStorage.setItem("language", language);
  document.documentElement.lang = language;
  find("language").value = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const [id, key] of [["send", "send"], ["attach", "attach"]]) {
    find(id).title = text(key);
    find(id).setAttribute("aria-label", text(key));
  }
  showIntro();
  showSamples();
  await enter();
}

/** Show the chosen channel as the chosen user. */
async function enter() {
  sessionStorage.setItem("user", state.user);
  sessionStorage.setItem("channel", state.channel);
  events?.close();
  closeCommand();
  setReply(null);
  clearMessages();
  showPlaces();
  state.commands = await (await fetch(`/commands?${place()}`)).json();
  await act("locale", { locale: locale() }).catch((error) => toast(error.message));
  events = new EventSource(`/events?${place()}`);
  events.onmessage = (event) => {
    const view = JSON.parse(event.data);
    if (view.user !== state.user || view.channel !== state.channel) return;
    showMessages(view.messages);
    if (target) jumpTo(target);
    target = null;
    seen[state.channel] = view.newest[state.channel];
    for (const [id, newest] of Object.entries(view.newest)) {
      seen[id] ??= newest;
      find(`channel-${id}`).classList.toggle("unread", BigInt(newest) > BigInt(seen[id]));
    }
  };
  events.addEventListener("end", () => {
    events.close();
    toast(text("ended"), 0);
  });
}

function showPlaces() {
  const channel = channelById(state.channel);
  const hash = document.querySelector(".hash");
  [hash.textContent, find("channel-name").textContent] = [channelTitle(channel)[0], channel.name];
  input.placeholder = text("message", { channel: channelTitle(channel) });
  input.setAttribute("aria-label", input.placeholder);
  const direct = channelById(userById(state.user).direct);
  find("channels").replaceChildren(...state.server.channels.map(channelButton),
    make("h2", {}, text("direct")), channelButton(direct));
  find("users").replaceChildren(...state.server.users.map((one) => make("button", {
    type: "button", "aria-pressed": String(one.id === state.user),
    onclick: () => { become(one); } }, one.name)));
}

function channelButton(channel) {
  return make("button", { id: `channel-${channel.id}`, type: "button",
    "aria-current": channel.id === state.channel ? "page" : null,
    onclick: () => { state.channel = channel.id; enter(); } }, `${channelTitle(channel)[0]} ${channel.name}`);
}

/** Be another user, in the same channel or in their direct messages. */
function become(user) {
  if (channelById(state.channel).direct) state.channel = user.direct;
  state.user = user.id;
  enter();
}

function showIntro() {
  const prompts = state.server.prompts.slice(0, SHOWN_PROMPTS).map((prompt) => make("button", {
    type: "button", class: "chip", onclick: () => openCommand("img2img", { prompt }) }, prompt));
  find("intro").replaceChildren(
    make("h2", {}, text("welcome")), make("p", {}, text("intro")),
    make("p", { class: "notice", hidden: !state.server.notices[state.language] }, state.server.notices[state.language]),
    make("p", {}, text("prompts")), make("div", { class: "chips" }, ...prompts));
}

function showSamples() {
  const { samples, sample_prompts: prompts } = state.server;
  find("samples").setAttribute("aria-label", text("samples"));
  find("samples").replaceChildren(make("span", {}, text("samples")),
    ...samples.map((name) => make("button", { type: "button", title: name, "aria-label": name,
      onclick: async () => openCommand("img2img", { image: await sampleFile(name), prompt: prompts[name] }) },
    make("img", { src: `/samples/${name}`, alt: "" }))));
}

// ------------------------------------------------------------ the message field

function setReply(message) {
  replyTo = message;
  find("reply").hidden = !message;
  if (message) {
    find("reply").querySelector("span").textContent = text("replying", { name: message.author.name });
    input.focus();
  }
}

function setPending(files) {
  pending = files;
  find("pending").hidden = !files.length;
  find("pending").replaceChildren(...files.map((file) => make("button", { type: "button",
    title: text("cancel"), onclick: () => setPending(pending.filter((one) => one !== file)) },
  make("img", { src: URL.createObjectURL(file), alt: file.name }), "×")));
}

function resize() {
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight, 160)}px`;
}

/** The commands that draw and `/help` first; Discord's clients put the most used ones first. */
function byUse(commands) {
  const rank = (command) => FIRST_COMMANDS.indexOf(command.path) >>> 0;
  return [...commands].sort((one, other) => rank(one) - rank(other));
}

/** What may follow: commands after a slash at the beginning, names after an @. */
function candidates() {
  const before = input.value.slice(0, input.selectionStart);
  const command = /^\/(.*)$/.exec(before);
  if (command) {
    return byUse(state.commands.slash)
      .filter((one) => commandTitle(one).startsWith(command[1].toLowerCase()) || one.path.startsWith(command[1].toLowerCase()))
      .map((one) => ({ label: `/${commandTitle(one)}`, hint: localized(one, "description"), take: () => takeCommand(one) }));
  }
  const name = /(?:^|\s)@(\w*)$/.exec(before);
  if (name) {
    return [state.server.bot, ...state.server.users]
      .filter((one) => one.name.toLowerCase().startsWith(name[1].toLowerCase()))
      .map((one) => ({ label: `@${one.name}`, hint: "", take: () => takeName(name[1], one.name) }));
  }
  return [];
}

function takeCommand(command) {
  input.value = "";
  suggest();
  openCommand(command.path);
}

function takeName(typed, name) {
  const at = input.selectionStart;
  input.setRangeText(`${name} `, at - typed.length, at, "end");
  suggest();
  input.focus();
}

function suggest() {
  const found = candidates();
  marked = Math.min(marked, Math.max(0, found.length - 1));
  suggestions.hidden = !found.length;
  suggestions.replaceChildren(...found.map((one, index) => make("li", { role: "option",
    "aria-selected": String(index === marked), onmousedown: (event) => { event.preventDefault(); one.take(); } },
  make("strong", {}, one.label), make("span", {}, one.hint))));
  suggestions.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  return found;
}

input.addEventListener("input", () => { marked = 0; suggest(); resize(); });
input.addEventListener("blur", () => { suggestions.hidden = true; });
input.addEventListener("keydown", (event) => {
  const found = suggestions.hidden ? [] : candidates();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (found.length && step) {
    event.preventDefault();
    marked = (marked + step + found.length) % found.length;
    suggest();
  } else if (found.length && (event.key === "Enter" || event.key === "Tab")) {
    event.preventDefault();
    found[marked].take();
  } else if (event.key === "Escape") {
    suggestions.hidden = true;
    setReply(null);
  } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    find("composer").requestSubmit();
  }
});

find("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const names = [state.server.bot, ...state.server.users];
  const content = input.value.trim().replace(/@(\w+)/g, (whole, name) => {
    const named = names.find((one) => one.name.toLowerCase() === name.toLowerCase());
    return named ? `<@${named.id}>` : whole;
  });
  if (!content && !pending.length) return;
  const sent = { typed: input.value, replyTo, pending };
  input.value = "";
  resize();
  suggest();
  setReply(null);
  setPending([]);
  try {
    await act("send", { content, reply_to: sent.replyTo?.id }, { files: sent.pending });
    toBottom();
  } catch (error) {
    toast(error.message);
    input.value ||= sent.typed;
    setReply(sent.replyTo);
    setPending(sent.pending);
  }
});

find("reply").querySelector("button").addEventListener("click", () => setReply(null));
find("attach").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", () => {
  setPending([...pending, ...find("file").files]);
  find("file").value = "";
});
find("language").addEventListener("change", () => setLanguage(find("language").value));

function takeFiles(files) {
  const pictures = [...files];
  if (!pictures.length) return;
  if (!commandOpen() || !attachToCommand(pictures)) setPending([...pending, ...pictures]);
}

document.addEventListener("paste", (event) => {
  if (find("modal").open || !event.clipboardData.files.length) return;
  event.preventDefault();
  takeFiles(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  takeFiles(event.dataTransfer.files);
});
document.addEventListener("click", (event) => {
  const clicked = event.target.closest("[data-channel], [data-message]");
  if (!clicked) return;
  event.preventDefault();
  const { channel, message } = clicked.dataset;
  if (channel && channel !== state.channel && channelById(channel)) {
    state.channel = channel;
    target = message ?? null;
    enter();
  } else if (message) jumpTo(message);
});

start();
