/** `<token-form>`: the token of a service that needs one; sends `token-given`. */

import { storedToken, storeToken } from "./service.js";

class TokenForm extends HTMLElement {
  connectedCallback() {
    const input = this.querySelector("input");
    input.value = storedToken();
    this.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      storeToken(input.value.trim());
      this.querySelector("details").open = false;
      this.dispatchEvent(new CustomEvent("token-given", { bubbles: true }));
    });
  }

  /** Open it and wait for a token. */
  ask() {
    this.querySelector("details").open = true;
    this.querySelector("input").focus();
  }
}

customElements.define("token-form", TokenForm);
