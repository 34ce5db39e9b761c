// The part of Discord's markdown that the bot uses, as elements.
import { emoji, make } from "./dom.js";
import { channelById, channelTitle, state, userById } from "./state.js";

const INLINE = new RegExp(
  [
    /\\([\\*_~`|>#\-\[\]().!])/, // 1 escaped character
    /`([^`]+)`/, // 2 code
    /\*\*(.+?)\*\*(?!\*)/, // 3 bold
    /__(.+?)__/, // 4 underlined
    /~~(.+?)~~/, // 5 struck through
    /\*(\S.*?)\*/, // 6 italic
    /(?<!\w)_(\S.*?)_(?!\w)/, // 7 italic
    /\[([^\]]+)\]\(<?(https?:\/\/[^\s)>]+)>?\)/, // 8, 9 link
    /<@!?(\d+)>/, // 10 user
    /<#(\d+)>/, // 11 channel
    /<t:(\d+)(?::(\w))?>/, // 12, 13 time
    /(https?:\/\/[^\s<>)]+)/, // 14 address
  ].map((part) => part.source).join("|"), "gs");

/** Text as a fragment: lines, headings, quotes, lists, small text and code blocks. */
export function markdown(source) {
  const fragment = document.createDocumentFragment();
  for (const [index, block] of emoji(source).split(/```(?:\w*\n)?/).entries()) {
    if (index % 2) {
      fragment.append(make("pre", {}, block));
      continue;
    }
    for (const line of block.split("\n")) fragment.append(lineElement(line));
  }
  return fragment;
}

function lineElement(line) {
  const forms = [
    [/^-# (.*)/, "small"], [/^### (.*)/, "h4"], [/^## (.*)/, "h3"], [/^# (.*)/, "h2"],
    [/^>>?>? (.*)/, "blockquote"], [/^[-*] (.*)/, "li"],
  ];
  for (const [form, tag] of forms) {
    const match = form.exec(line);
    if (match) return make(tag, {}, inline(match[1]));
  }
  return make("div", { class: "text" }, line ? inline(line) : make("br"));
}

/** One line of text without blocks, as a fragment. */
export function inline(source) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const match of source.matchAll(INLINE)) {
    fragment.append(source.slice(end, match.index), token(match));
    end = match.index + match[0].length;
  }
  fragment.append(source.slice(end));
  return fragment;
}

function token(match) {
  const [whole, escaped, code, bold, under, struck, italic, italic2, label, url, user, channel,
    time, style, address] = match;
  if (escaped) return escaped;
  if (code) return make("code", {}, code);
  if (bold) return make("strong", {}, inline(bold));
  if (under) return make("u", {}, inline(under));
  if (struck) return make("s", {}, inline(struck));
  if (italic || italic2) return make("em", {}, inline(italic || italic2));
  if (url) return link(url, inline(label));
  if (address) return link(address, address);
  if (user) {
    const name = user === state.server.bot.id ? state.server.bot.name : userById(user)?.name;
    return make("span", { class: "mention" }, `@${name ?? user}`);
  }
  if (channel) {
    const known = channelById(channel);
    return make("button", { type: "button", class: "mention", "data-channel": known?.id },
      known ? channelTitle(known) : `#${channel}`);
  }
  if (time) return timeElement(Number(time), style ?? "f");
  return whole;
}

function link(url, label) {
  const message = /^https:\/\/discord\.com\/channels\/(?:\d+|@me)\/(\d+)\/(\d+)/.exec(url);
  if (message) {
    return make("a", { href: "#", "data-channel": message[1], "data-message": message[2] }, label);
  }
  return make("a", { href: url, target: "_blank", rel: "noreferrer" }, label);
}

function timeElement(unix, style) {
  const element = make("time", { datetime: new Date(unix * 1000).toISOString(), "data-style": style });
  writeTime(element);
  return element;
}

/** Write a time as text; relative times are written again as they pass. */
export function writeTime(element) {
  const date = new Date(element.dateTime);
  const language = state.language;
  if (element.dataset.style === "R") {
    const seconds = (date - Date.now()) / 1000;
    const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]
      .find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
    element.textContent = new Intl.RelativeTimeFormat(language, { numeric: "auto" })
      .format(Math.round(seconds / size), unit);
  } else {
    const short = ["t", "T"].includes(element.dataset.style);
    element.textContent = short ? date.toLocaleTimeString(language, { timeStyle: "short" })
      : date.toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
  }
}
