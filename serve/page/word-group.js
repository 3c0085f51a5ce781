/** Words that are pointed at and chosen alike, whether drawn over the picture or set as text. */

import { sureness } from "./pages.js";

const KEYS = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

/**
 * Makes one tab stop of a host's words: arrow keys go from one to the next.
 *
 * The host sends `word-pointed` (detail: the word's index, or null) and `word-chosen` (detail: its
 * index), which bubble.
 */
export class WordGroup {
  #host;
  #elements = [];
  #lines = [];
  #current = null;

  constructor(host) {
    this.#host = host;
    host.addEventListener("pointerover", (event) => this.#point(this.#indexOf(event)));
    host.addEventListener("pointerleave", () => this.#point(this.#focused()));
    host.addEventListener("focusin", (event) => this.#focus(this.#indexOf(event)));
    host.addEventListener("focusout", () => this.#point(null));
    host.addEventListener("click", (event) => this.#choose(this.#indexOf(event)));
    host.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Take the elements of `words`, whose indices `lines` has line by line. */
  hold(elements, words, lines) {
    this.#elements = elements;
    this.#lines = lines;
    this.#current = null;
    elements.forEach((element, index) => {
      element.classList.add("word");
      element.dataset.word = index;
      element.dataset.sure = sureness(words[index].confidence);
      element.setAttribute("tabindex", index ? -1 : 0);
    });
  }

  /** Mark a word, or none. */
  mark(index) {
    this.#elements[this.#current]?.classList.remove("pointed");
    this.#elements[index]?.classList.add("pointed");
    this.#current = index;
  }

  #indexOf(event) {
    const element = event.target.closest("[data-word]");
    return element ? Number(element.dataset.word) : null;
  }

  #focused() {
    const index = this.#elements.indexOf(document.activeElement);
    return index < 0 ? null : index;
  }

  #point(index) {
    this.#host.dispatchEvent(new CustomEvent("word-pointed", { detail: index, bubbles: true }));
  }

  #focus(index) {
    if (index === null) return;
    for (const element of this.#elements) element.setAttribute("tabindex", -1);
    this.#elements[index].setAttribute("tabindex", 0);
    this.#point(index);
  }

  #choose(index) {
    if (index === null) return;
    this.#elements[index].focus({ preventScroll: true }); // where a dialog's end leads back to
    this.#host.dispatchEvent(new CustomEvent("word-chosen", { detail: index, bubbles: true }));
  }

  #press(event) {
    const index = this.#indexOf(event);
    if (index === null) return;
    const next = this.#neighbour(index, event.key);
    if (next !== null) this.#elements[next]?.focus();
    else if (event.key === "Enter" || event.key === " ") this.#choose(index);
    else return;
    event.preventDefault();
  }

  #neighbour(index, key) {
    if (key === "Home") return 0;
    if (key === "End") return this.#elements.length - 1;
    if (!(key in KEYS)) return null;
    const [down, right] = KEYS[key];
    if (right) return Math.min(Math.max(index + right, 0), this.#elements.length - 1);
    const row = this.#lines.findIndex((line) => line.includes(index));
    const line = this.#lines[row + down] ?? this.#lines[row];
    return line[Math.min(this.#lines[row].indexOf(index), line.length - 1)];
  }
}
