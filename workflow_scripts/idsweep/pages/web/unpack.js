// What `packing.py` packed, as values again.

/** @typedef {Float64Array | Float32Array | Int32Array | Uint16Array | Uint8Array} Numbers */

/** @type {Record<string, {new (buffer: ArrayBuffer, at: number, length: number): Numbers}>} */
const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  int32: Int32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
};

/**
 * @param {string} text base64 of gzip
 * @returns {Promise<any>}
 */
export async function unpack(text) {
  const characters = atob(text.trim());
  const packed = Uint8Array.from(characters, (character) => character.charCodeAt(0));
  const buffer = await decompress(packed);
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  /** @type {Numbers[]} */
  const arrays = header.arrays.map((/** @type {{type: string, length: number, at: number}} */ one) =>
    new ARRAYS[one.type](buffer, 4 + length + one.at, one.length));
  return restore(header.value, arrays);
}

/**
 * @param {Uint8Array<ArrayBuffer>} packed gzip
 * @returns {Promise<ArrayBuffer>}
 */
async function decompress(packed) {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const written = writer.write(packed).then(() => writer.close());
  const parts = [];
  let length = 0;
  const reader = stream.readable.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    length += part.value.length;
  }
  await written;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.buffer;
}

/**
 * @param {any} value
 * @param {Numbers[]} arrays
 * @returns {any}
 */
function restore(value, arrays) {
  if (Array.isArray(value)) return value.map((one) => restore(one, arrays));
  if (value === null || typeof value !== "object") return value;
  if (typeof value.array === "number") return arrays[value.array];
  // Without what every object has: a model may be called "constructor", and an address may ask for it.
  return Object.assign(Object.create(null), Object.fromEntries(Object.entries(value).map(([key, one]) => [key, restore(one, arrays)])));
}

/** @type {Map<string, Promise<any>>} */
const unpacked = new Map();

/**
 * What a pack of the page holds; each is unpacked once.
 * @param {string} id
 * @returns {Promise<any>}
 */
export function packOf(id) {
  const known = unpacked.get(id);
  if (known) return known;
  const element = document.getElementById(`pack-${id}`);
  if (!element) throw new Error(`The page has no data called ${id}.`);
  const value = unpack(element.textContent ?? "");
  unpacked.set(id, value);
  return value;
}
