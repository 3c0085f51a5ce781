/** `<page-text>`: the words in reading order, as text. */

import { percent } from "./pages.js";
import { WordGroup } from "./word-group.js";

class PageText extends HTMLElement {
  #group = new WordGroup(this);

  /** Show `{words, blocks, lines}`, as `wordsOf` gives them. */
  show({ words, blocks, lines }) {
    const elements = words.map(makeWord);
    const paragraphs = blocks.map((block) => makeParagraph(block, elements));
    this.replaceChildren(...paragraphs);
    this.#group.hold(elements, words, lines);
  }

  mark(index) {
    this.#group.mark(index);
  }
}

function makeWord(word) {
  const element = document.createElement("span");
  element.setAttribute("role", "button");
  element.textContent = word.text || "·";
  element.title = percent(word.confidence);
  return element;
}

function makeParagraph(block, elements) {
  const paragraph = document.createElement("p");
  for (const line of block) {
    const row = document.createElement("span");
    row.className = "line";
    row.dir = "auto";
    row.append(...line.flatMap((index) => [elements[index], " "]));
    paragraph.append(row);
  }
  return paragraph;
}

customElements.define("page-text", PageText);
