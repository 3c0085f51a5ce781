/** Pages as `docs/page.schema.json` has them, to what the views show. */

const SURE = [
  [0.9, "high"],
  [0.6, "middling"],
  [0, "low"],
];

/** A page's words in reading order, and its blocks as lists of lines as lists of their indices. */
export function wordsOf(page) {
  const words = [];
  const blocks = page.blocks.map((block) =>
    block.lines.map((line) => line.words.map((word) => words.push(word) - 1)),
  );
  return { words, blocks, lines: blocks.flat() };
}

/** The class of a confidence, with the bounds of the service's own overlays. */
export function sureness(confidence) {
  return SURE.find(([least]) => confidence >= least)[1];
}

export function percent(confidence) {
  return `${Math.round(100 * confidence)} %`;
}

/** `1 word`, `2 words`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
