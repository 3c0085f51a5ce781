/** `<format-downloads>`: a button per format, sending `format-chosen`, and one that copies. */

const FORMATS = {
  text: ["Text", ".txt"],
  json: ["JSON", ".json"],
  hocr: ["hOCR", ".hocr"],
  alto: ["ALTO", ".alto.xml"],
  pdf: ["PDF", ".pdf"],
};

class FormatDownloads extends HTMLElement {
  connectedCallback() {
    // Browsers give the clipboard to HTTPS and to loopback alone.
    if (navigator.clipboard) this.#add("Copy text", "text-copied", null);
    for (const [format, [title]] of Object.entries(FORMATS)) {
      this.#add(title, "format-chosen", format).dataset.format = format;
    }
  }

  /** Save what was answered in `format`, named like the file that was read. */
  save(content, format, fileName) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = fileName.replace(/\.[^.]*$/, "") + FORMATS[format][1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href)); // once the download has begun
  }

  #add(title, eventName, detail) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent(eventName, { detail, bubbles: true }));
    });
    this.append(button);
    return button;
  }
}

customElements.define("format-downloads", FormatDownloads);
