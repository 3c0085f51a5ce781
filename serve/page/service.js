/** The service's HTTP interface, as far as this page uses it. */

const TOKEN_KEY = "ocr-token";
const NO_ANSWER = 0;

/** Why a request has no answer: a problem document (RFC 9457), or what stands for one. */
export class Problem extends Error {
  constructor(status, title, detail, retryAfter = null) {
    super(`${status} ${title}: ${detail}`);
    Object.assign(this, { status, title, detail, retryAfter });
  }

  /** Whether the same request may be answered later. */
  get mayPass() {
    return [NO_ANSWER, 408, 429].includes(this.status) || this.status >= 500;
  }
}

export function storedToken() {
  return sessionStorage.getItem(TOKEN_KEY) ?? "";
}

/** Keep a token until the tab is closed; an empty one is forgotten. */
export function storeToken(token) {
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

/** Read a picture or PDF; the answer's body is in `format`. */
export function readDocument(file, format, signal) {
  return post(`v1/ocr?format=${format}`, file, signal);
}

/** Ask where each character of a word's picture was seen. */
export async function attendToWord(picture, signal) {
  return (await post("v1/attention", picture, signal)).json();
}

/** `path` is below the page's own, whatever prefix the service has. */
async function post(path, body, signal) {
  const token = storedToken();
  const headers = { "Content-Type": "application/octet-stream" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { method: "POST", body, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(NO_ANSWER, "The service does not answer", "It may have ended, or the network");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const { title, detail } = await response.json();
    return new Problem(response.status, title, detail, retryAfter);
  } catch {
    // Ray's own proxy answers in plain text where the ingress itself has ended.
    return new Problem(response.status, "The service failed", "It said nothing more", retryAfter);
  }
}
