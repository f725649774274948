// Where the points of a cell lie: their first two principal components, coloured by local dimension.

/** @param {HTMLElement} place */
export function drawMap(place) {
  void place;
}
