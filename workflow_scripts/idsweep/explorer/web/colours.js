// Colours that colour-blind eyes tell apart, in both themes.

// cividis (Nuñez, Anderton & Renslow 2018, doi:10.1371/journal.pone.0199239), at equal distances.
const CIVIDIS = [
  [0, 34, 78], [0, 49, 111], [47, 65, 108], [75, 84, 108], [98, 104, 112], [117, 118, 120], [139, 135, 121], [165, 155, 115],
  [192, 176, 104], [219, 199, 87], [254, 232, 56],
];
// PuOr, for differences: orange is lower, violet is higher.
const DIVERGING = [[179, 88, 6], [224, 130, 20], [253, 184, 99], [254, 224, 182], [247, 247, 247], [216, 218, 235], [178, 171, 210], [128, 115, 172], [84, 39, 136]];

/**
 * @param {number[][]} stops
 * @param {number} share 0 to 1
 * @returns {[number, number, number]}
 */
function between(stops, share) {
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const below = Math.min(stops.length - 2, Math.floor(at));
  const [one, other] = [stops[below], stops[below + 1]];
  const mixed = one.map((part, channel) => Math.round(part + (other[channel] - part) * (at - below)));
  return [mixed[0], mixed[1], mixed[2]];
}

/**
 * @param {number} share 0 (low) to 1 (high)
 * @returns {[number, number, number]}
 */
export function colourOf(share) {
  return between(CIVIDIS, share);
}

/**
 * @param {number} share 0 (much lower) to 1 (much higher)
 * @returns {[number, number, number]}
 */
export function colourOfDifference(share) {
  return between(DIVERGING, share);
}

/**
 * @param {[number, number, number]} rgb
 * @returns {string}
 */
export function css(rgb) {
  return `rgb(${rgb[0]} ${rgb[1]} ${rgb[2]})`;
}

/**
 * Black or white, whichever is read better on a colour.
 * @param {[number, number, number]} rgb
 * @returns {string}
 */
export function inkOn(rgb) {
  const [red, green, blue] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

/**
 * The page's own colours, which differ between the light and the dark theme.
 * @param {string} variable
 * @returns {string}
 */
export function themed(variable) {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

/**
 * Lines of layers: dark to light, but never lighter than is seen on the background.
 * @param {number} place
 * @param {number} number
 * @returns {string}
 */
export function lineColour(place, number) {
  const share = number > 1 ? place / (number - 1) : 0;
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  return css(colourOf(isDark ? 0.35 + 0.65 * share : 0.05 + 0.6 * share));
}
