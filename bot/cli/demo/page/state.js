// What the whole page shares: server, user, channel, language; texts and requests.

export const state = { server: null, user: null, channel: null, language: "en", commands: null };

/** A text of the page in the chosen language. */
export function text(key, params = {}) {
  const template = state.server.texts[state.language][key] ?? key;
  return template.replace(/\{(\w+)\}/g, (_, name) => params[name]);
}

/** Discord's locale for the chosen language. */
export const locale = () => ({ en: "en-US", es: "es-ES" })[state.language] ?? state.language;

/** The name or description of a command or an option in the chosen language. */
export const localized = (item, field = "name") =>
  item[`${field}_localizations`]?.[locale()] ?? item[field];

/** The name under which a slash command is shown in the chosen language. */
export const commandTitle = (command) => command.names[locale()] ?? command.path;

export const userById = (id) => state.server.users.find((user) => user.id === id);
/** A channel of the server, or the direct messages of the chosen user. */
export const channelById = (id) => state.server.channels.find((channel) => channel.id === id) ?? directMessages(id);

function directMessages(id) {
  const { bot } = state.server;
  return id === userById(state.user).direct ? { id, name: bot.name, direct: true } : undefined;
}

/** The name of a channel with the sign before it. */
export const channelTitle = (channel) => `${channel.direct ? "@" : "#"}${channel.name}`;

export const place = () => new URLSearchParams({ user: state.user, channel: state.channel });

/** Perform an action. Throws an Error with one sentence if it is refused or fails. */
export async function act(kind, fields, files = {}) {
  const body = new FormData();
  body.append("fields", JSON.stringify({ user: state.user, channel: state.channel, ...fields }));
  for (const [name, given] of Object.entries(files)) {
    for (const file of [given].flat()) body.append(name, file, file.name);
  }
  let response;
  try {
    response = await fetch(`/actions/${kind}?language=${state.language}`, { method: "POST", body });
  } catch {
    throw new Error(text("ended"));
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? text("failed"));
  return answer;
}

/** A sample picture as a file. */
export async function sampleFile(name) {
  const response = await fetch(`/samples/${name}`);
  return new File([await response.blob()], name, { type: "image/png" });
}
