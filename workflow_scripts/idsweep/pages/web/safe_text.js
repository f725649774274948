// Texts from anywhere: shown as what they are, whatever signs they hold.

// Control characters, and those that turn the direction of a text or are not seen.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are looked for
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const READ = new Set(["title", "aria-label"]); // attributes that people are shown or told
const NAMED = new Map([["\n", "↵"], ["\t", "⇥"], ["\r", "↵"]]);

/**
 * A text in which signs that are not seen are told by name, such as ⟨U+202E⟩.
 * @param {string} text
 * @returns {string}
 */
export function visible(text) {
  return text.replace(UNSEEN, (sign) =>
    NAMED.get(sign) ?? `⟨U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/**
 * An element with attributes, and texts and elements in it. Texts, titles and labels are `visible`, and never read as HTML.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, READ.has(name) ? visible(String(value)) : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) made.append(typeof child === "string" ? visible(child) : child);
  return made;
}

/**
 * A name or token, set apart from the direction of the text around it.
 * @param {string} text
 * @param {string} [kind] class
 * @returns {HTMLElement}
 */
export function name(text, kind) {
  return element("bdi", { class: kind }, visible(text));
}
