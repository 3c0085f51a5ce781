/** `<page-picture>`: the page with its words' outlines over it. */

import { percent } from "./pages.js";
import { WordGroup } from "./word-group.js";

const SVG = "http://www.w3.org/2000/svg";
const BASELINE = 0.78; // of a word's height: where its letters stand

class PagePicture extends HTMLElement {
  #group = new WordGroup(this);

  /**
   * Show a page and `{words, lines}` of it. `image` is null where the browser has no picture of it, as
   * of a PDF: then the words are set where they were read.
   */
  show(page, { words, lines }, image) {
    const drawing = makeSvg("svg", { viewBox: `0 0 ${page.width} ${page.height}`, role: "group" });
    drawing.setAttribute("aria-label", "Words on the page");
    const outlines = words.map(makeOutline);
    if (!image) drawing.append(...words.map(makeLetters));
    drawing.append(...outlines);
    this.replaceChildren(...(image ? [image] : []), drawing);
    this.style.setProperty("--ratio", page.width / page.height || 1);
    this.#group.hold(outlines, words, lines);
  }

  mark(index) {
    this.#group.mark(index);
  }
}

function makeSvg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function makeOutline(word) {
  const points = word.polygon.map((corner) => corner.join(",")).join(" ");
  const outline = makeSvg("polygon", { points, role: "button" });
  const title = makeSvg("title", {});
  title.textContent = `${word.text}, ${percent(word.confidence)}`;
  outline.append(title);
  return outline;
}

/** The word's text, stretched over its quad. */
function makeLetters({ text, polygon: [[x0, y0], [x1, y1], , [x3, y3]] }) {
  const width = Math.hypot(x1 - x0, y1 - y0) || 1;
  const height = Math.hypot(x3 - x0, y3 - y0) || 1;
  const letters = makeSvg("text", {
    transform: `matrix(${(x1 - x0) / width} ${(y1 - y0) / width} ${(x3 - x0) / height} ${
      (y3 - y0) / height
    } ${x0} ${y0})`,
    y: BASELINE * height,
    "font-size": height,
    textLength: width,
    lengthAdjust: "spacingAndGlyphs",
    "aria-hidden": "true",
  });
  letters.textContent = text;
  return letters;
}

customElements.define("page-picture", PagePicture);
