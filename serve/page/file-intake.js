/** `<file-intake>`: a file that is chosen, photographed, dropped or pasted, as `file-given`. */

class FileIntake extends HTMLElement {
  connectedCallback() {
    for (const button of this.querySelectorAll("[data-input]")) {
      const input = this.querySelector(`#${button.dataset.input}`);
      button.addEventListener("click", () => input.click());
      input.addEventListener("change", () => {
        this.#give(input.files);
        input.value = ""; // or the same file could not be chosen again
      });
    }
    document.addEventListener("paste", (event) => this.#give(event.clipboardData.files));
    document.addEventListener("dragover", (event) => this.#drag(event, true));
    document.addEventListener("dragleave", (event) => this.#drag(event, event.relatedTarget !== null));
    document.addEventListener("drop", (event) => {
      this.#drag(event, false);
      this.#give(event.dataTransfer.files);
    });
  }

  #drag(event, isOver) {
    event.preventDefault(); // or the browser would open the file
    this.toggleAttribute("data-over", isOver);
  }

  #give(files) {
    if (!files.length) return;
    this.dispatchEvent(new CustomEvent("file-given", { detail: [...files], bubbles: true }));
  }
}

customElements.define("file-intake", FileIntake);
