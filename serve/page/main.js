/** The page: a file is given, read and shown; a word is looked at; formats are taken along. */

import "./file-intake.js";
import "./format-downloads.js";
import "./page-picture.js";
import "./page-text.js";
import "./token-form.js";
import "./word-attention.js";
import { count, wordsOf } from "./pages.js";
import { readDocument, storedToken } from "./service.js";

const $ = (selector) => document.querySelector(selector);
const picture = $("page-picture");
const text = $("page-text");
const downloads = $("format-downloads");

/** What is shown: `{file, image, pages, number, reading}`; `image` is null where there is none. */
let shown = null;
/** The request that is under way, as its AbortController. */
let request = null;
/** What a token that is given makes go on. */
let interrupted = null;

async function read([file, ...others]) {
  const began = performance.now();
  await work(file, `Reading ${file.name} …`, async (signal) => {
    const [image, answer] = await Promise.all([
      loadImage(file),
      readDocument(file, "json", signal).then((response) => response.json()),
    ]);
    signal.throwIfAborted(); // a newer file's, while this picture was being decoded
    if (shown?.image) URL.revokeObjectURL(shown.image.src);
    shown = { file, image, pages: answer.pages };
    document.body.dataset.state = "read";
    $("#result").hidden = false;
    showPage(0);
    return summary(answer.pages, performance.now() - began) + (others.length ? " Only the first file was read." : "");
  });
}

async function download(format) {
  const { file } = shown;
  await work(file, `Writing ${format} …`, async (signal) => {
    const response = await readDocument(file, format, signal);
    downloads.save(await response.blob(), format, file.name);
    return `Written: ${format}.`;
  });
}

/** Do one thing with a file at a time, and say how it goes: `task` returns what is said at its end. */
async function work(file, title, task) {
  request?.abort();
  const own = (request = new AbortController());
  announce(title, true);
  $("#problem").hidden = true;
  interrupted = null;
  try {
    const said = await task(own.signal);
    if (request === own) announce(said, false);
  } catch (error) {
    if (request !== own) return; // something newer is under way
    announce(own.signal.aborted ? "Stopped." : "", false);
    if (!own.signal.aborted) showProblem(file, error, () => work(file, title, task));
  }
}

function announce(said, isBusy) {
  $("#status").textContent = said;
  $(".progress").dataset.busy = isBusy;
  $("#stop").hidden = !isBusy;
}

function showProblem(file, problem, again) {
  const heading = document.createElement("strong");
  heading.textContent = `${file.name}: ${problem.title ?? "this page failed"}`;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.addEventListener("click", again);
  $("#problem").replaceChildren(heading, advice(problem), ...(problem.mayPass ? [button] : []));
  $("#problem").hidden = false;
  interrupted = problem.status === 401 ? again : null;
  if (interrupted) $("token-form").ask();
}

function advice({ status, detail, message, retryAfter }) {
  if (status === 401 && !storedToken()) return "Give it below, and the page goes on.";
  const said = (detail ?? message).replace(/\.+$/, "");
  return `${said}.${retryAfter ? ` Try again in ${count(retryAfter, "second")}.` : ""}`;
}

/** Show the page of that index. */
function showPage(number) {
  const page = shown.pages[number];
  Object.assign(shown, { number, reading: wordsOf(page) });
  $("#result-title").textContent = shown.file.name;
  $("#pages").hidden = shown.pages.length < 2;
  $("#page-number").textContent = `${number + 1} of ${shown.pages.length}`;
  const image = imageOfPage();
  $("#no-picture").hidden = Boolean(image);
  $("#keys").hidden = !image;
  picture.show(page, shown.reading, image);
  text.show(shown.reading);
  if (!shown.reading.words.length) text.textContent = page.error || "No text was found here.";
}

/** The picture of the page that is shown: a browser has that of a file's first page at most. */
function imageOfPage() {
  return shown.number ? null : shown.image;
}

function summary(pages, milliseconds) {
  const words = pages.reduce((sum, page) => sum + wordsOf(page).words.length, 0);
  const where = pages.length > 1 ? ` on ${pages.length} pages` : "";
  return `${count(words, "word")}${where}, in ${(milliseconds / 1000).toFixed(1)} s.`;
}

/** Return the picture, or null where the browser cannot show it: PDF, and mostly TIFF. */
async function loadImage(file) {
  const image = new Image();
  image.alt = "";
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image;
  } catch {
    URL.revokeObjectURL(image.src);
    return null;
  }
}

document.addEventListener("file-given", ({ detail: files }) => read(files));
document.addEventListener("token-given", () => interrupted?.());
document.addEventListener("format-chosen", ({ detail: format }) => download(format));
document.addEventListener("text-copied", () => {
  navigator.clipboard.writeText(shown.pages[shown.number].text).then(
    () => announce("Copied.", false),
    () => announce("The browser did not let the text be copied.", false),
  );
});
document.addEventListener("word-pointed", ({ detail: index }) => {
  picture.mark(index);
  text.mark(index);
});
document.addEventListener("word-chosen", ({ detail: index }) => {
  $("word-attention").open(shown.reading.words[index], imageOfPage());
});
$("#stop").addEventListener("click", () => request.abort());
$("#pages").addEventListener("click", ({ target }) => {
  const number = shown.number + Number(target.dataset.step ?? 0);
  if (number in shown.pages) showPage(number);
});
