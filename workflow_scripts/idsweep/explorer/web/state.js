// What the page shows: kept in the address, so that a link says exactly this.

/**
 * @typedef {object} State
 * @property {string} model group of models
 * @property {string} seed name of the model whose cells are shown
 * @property {string} dataset
 * @property {string} estimate set | estimator | scope
 * @property {string} variant
 * @property {string} cloud
 * @property {string} quantity
 * @property {string} a checkpoint @ representation
 * @property {string} b the cell to compare with, or nothing
 * @property {string} steps log, linear
 * @property {string} band
 * @property {string} layers all, or the picked one
 * @property {string} shape histogram, violin
 * @property {string} colour what tokens are coloured by
 * @property {string} list text, tokens
 * @property {string} search
 * @property {string} part
 * @property {string} class
 * @property {string} least least count of a token
 * @property {string} most
 * @property {string} sort
 * @property {string} page
 * @property {string} selected which points of the map: see selection.js
 */

/** @type {State} */
export const DEFAULTS = {
  model: "", seed: "", dataset: "", estimate: "", variant: "data", cloud: "", quantity: "mean", a: "", b: "", steps: "log", band: "interval", layers: "all",
  shape: "histogram", colour: "dimension", list: "text", search: "", part: "", class: "", least: "", most: "", sort: "highest", page: "1", selected: "",
};

/** @type {State} */
export const state = { ...DEFAULTS };

/** @type {((changed: Set<string>) => void)[]} */
const listeners = [];

/** @param {(changed: Set<string>) => void} listener */
export function whenChanged(listener) {
  listeners.push(listener);
}

/**
 * Change what is shown, and the address with it.
 * @param {Partial<State>} changes
 */
export function show(changes) {
  const changed = new Set(Object.entries(changes).filter(([key, value]) => state[/** @type {keyof State} */ (key)] !== value).map(([key]) => key));
  if (!changed.size) return;
  Object.assign(state, changes);
  history.replaceState(null, "", `#${asHash(state)}`);
  for (const listener of listeners) listener(changed);
}

/**
 * @param {State} one
 * @returns {string}
 */
export function asHash(one) {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(one)) {
    if (value !== DEFAULTS[/** @type {keyof State} */ (key)]) said.set(key, value);
  }
  return said.toString();
}

/**
 * @param {string} hash
 * @returns {State} with defaults for what it does not say
 */
export function fromHash(hash) {
  const said = { ...DEFAULTS };
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (Object.hasOwn(DEFAULTS, key)) said[/** @type {keyof State} */ (key)] = value;
  }
  return said;
}
