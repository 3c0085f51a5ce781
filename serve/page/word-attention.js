/** `<word-attention>`: a dialog that shows where each character of a word was seen. */

import { cropWord, encode } from "./crop.js";
import { percent } from "./pages.js";
import { attendToWord } from "./service.js";

const HEAT = [200, 30, 90]; // seen on white paper and on black
const MOST_HEAT = 0.72; // opacity: letters stay legible below

class WordAttention extends HTMLElement {
  #dialog = document.createElement("dialog");
  #request = null;

  connectedCallback() {
    this.append(this.#dialog);
    this.#dialog.setAttribute("aria-labelledby", "attention-title");
    this.#dialog.addEventListener("close", () => this.#request?.abort());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it
    });
  }

  /** Show a word of `image`, or why there is nothing to show. */
  async open(word, image) {
    this.#request = new AbortController();
    const { signal } = this.#request;
    const title = make("h2", word.text || "Nothing was read", { id: "attention-title", dir: "auto" });
    const note = make("p", `Read with a confidence of ${percent(word.confidence)}.`);
    const state = make("p", "Looking …", { className: "hint", role: "status" });
    const tiles = make("div", "", { className: "tiles" });
    const close = make("button", "Close", { type: "button" });
    close.addEventListener("click", () => this.#dialog.close());
    this.#dialog.replaceChildren(title, note, tiles, state, close);
    this.#dialog.showModal();
    if (!image) {
      state.textContent = "The browser has no picture of this page to look at again.";
      return;
    }
    const crop = cropWord(image, word.polygon);
    tiles.append(makeTile(crop, null, "The word", ""));
    try {
      const answer = await attendToWord(await encode(crop), signal);
      tiles.append(...tilesOf(crop, answer));
      state.textContent = explain(word, answer);
    } catch (error) {
      if (error.name !== "AbortError") state.textContent = error.message;
    }
  }
}

function tilesOf(crop, { text, char_confidences: confidences, maps }) {
  return [...text].map((char, index) =>
    makeTile(crop, maps[index], char, percent(confidences[index])),
  );
}

function explain(word, answer) {
  const seen = "The colour shows where the model looked for each character.";
  if (answer.text === word.text) return seen;
  return `${seen} Alone, the word is read as “${answer.text}”.`;
}

function makeTile(crop, map, char, note) {
  const canvas = document.createElement("canvas");
  canvas.width = crop.width;
  canvas.height = crop.height;
  const context = canvas.getContext("2d");
  context.drawImage(crop, 0, 0);
  if (map) context.drawImage(heat(map), 0, 0, crop.width, crop.height);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", map ? `Where “${char}” was seen` : char);
  const caption = make("figcaption", `${char} `);
  caption.append(make("small", note));
  const tile = make("figure", "", { className: map ? "heat" : "plain" });
  tile.append(canvas, caption);
  return tile;
}

/** A canvas with a pixel for each value of the map. */
function heat(map) {
  const pixels = new ImageData(map[0].length, map.length);
  map.flat().forEach((value, index) => {
    pixels.data.set([...HEAT, 255 * MOST_HEAT * value], 4 * index);
  });
  const canvas = document.createElement("canvas");
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function make(name, text, properties = {}) {
  const { role, ...rest } = properties;
  const element = Object.assign(document.createElement(name), rest);
  if (role) element.setAttribute("role", role);
  element.textContent = text;
  return element;
}

customElements.define("word-attention", WordAttention);
