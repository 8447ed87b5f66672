"use strict";
// Everything that comes from a meme or from the server is set as text, never as markup.

const at = (id) => document.getElementById(id);
const limits = { image_bytes: Infinity, text_characters: Infinity, encoders: { image: true, text: true }, reads: false };
let image = null; // the File to score
let asked = 0; // only the answer to the latest question is shown
let read = ""; // what was read from the image, which another image's words may replace

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function complain(message) {
  at("error").textContent = message;
  at("error").hidden = !message;
}

function choose(file) {
  if (!file) return;
  image = file;
  asked += 1; // an answer on its way is of another meme
  ready();
  URL.revokeObjectURL(at("preview").src);
  at("preview").src = URL.createObjectURL(file);
  at("preview").hidden = false;
  at("hint").hidden = true;
  at("drop").classList.add("filled");
  at("name").textContent = file.name;
  at("answer").hidden = true;
  at("read").textContent = "";
  complain("");
  if (limits.reads && !fault() && (!at("text").value || at("text").value === read)) readWords();
}

function busy(doing) {
  at("go").disabled = true;
  at("go").textContent = doing;
}

async function readWords() {
  const number = asked;
  at("text").value = read = "";
  busy("Reading …");
  try {
    const form = new FormData();
    form.append("image", image, "image");
    const { text } = await post("words", form);
    if (number !== asked || at("text").value) return; // typed words stay
    at("text").value = read = text;
    at("read").textContent = text ? "Read from the image. Correct it before you score." : "No words were read from the image.";
  } catch (error) {
    if (number === asked) complain(error.message);
  } finally {
    if (number === asked) ready();
  }
}

function ready() {
  at("go").disabled = false;
  at("go").textContent = "Score";
}

// An image that the browser cannot show may still be one that the server can read (TIFF).
at("preview").addEventListener("error", () => {
  at("preview").hidden = true;
  at("hint").hidden = false;
  at("hint").textContent = "No preview of this file";
});

function fault() {
  if (image && image.size > limits.image_bytes) return `The image is larger than ${limits.image_bytes / 1e6} MB.`;
  if (at("text").value.length > limits.text_characters) {
    return `The text is longer than ${limits.text_characters.toLocaleString("en")} characters.`;
  }
  return "";
}

async function ask() {
  const form = new FormData();
  if (image) form.append("image", image, "image"); // the file's own name stays here
  form.append("text", at("text").value);
  return post("score", form);
}

async function post(where, form) {
  let response;
  try {
    response = await fetch(where, { method: "POST", body: form });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const isJson = (response.headers.get("content-type") || "").startsWith("application/json");
  const answer = isJson ? await response.json() : { error: await response.text() };
  if (!response.ok) throw new Error(answer.error || `The server answered ${response.status}.`);
  return answer;
}

function row(opinion, chosen) {
  const scale = element("div", `scale ${opinion.head}`);
  const percent = (value) => `${100 * value}%`;
  const [bar, span, tick] = ["bar", "span", "tick"].map((name) => scale.appendChild(element("i", name)));
  bar.style.width = percent(opinion.probability);
  span.style.left = percent(opinion.lowest);
  span.style.width = percent(opinion.highest - opinion.lowest);
  tick.style.left = percent(opinion.threshold);
  scale.title = `its runs: ${opinion.runs}`;
  const value = element("div", "value");
  value.append(scale, element("b", "", opinion.shown));

  const head = element("th", "", opinion.head);
  head.scope = "row";
  head.append(element("span", "", opinion.looks_at + (chosen ? ", decides" : "")));
  const cell = element("td", "");
  cell.append(value);
  const made = element("tr", chosen ? "chosen" : "");
  made.append(head, cell, element("td", "figure", opinion.label));
  return made;
}

function near(meme) {
  const made = element("li", "");
  if (meme.text !== null || meme.image !== null) {
    const [veil, box, shown] = [element("label", "veil"), element("input", ""), element("div", "")];
    Object.assign(box, { type: "checkbox", autocomplete: "off" });
    box.setAttribute("aria-label", `Show meme ${meme.id}`);
    if (meme.image !== null) {
      shown.append(Object.assign(element("img", ""), { src: `nearest/${meme.image}`, alt: `Image of meme ${meme.id}` }));
    }
    shown.append(element("p", "", meme.text || ""));
    veil.append(box, shown, element("span", "", "click to show"));
    made.append(veil);
  } else {
    made.append(element("p", "quiet", "It is no longer where it was."));
  }
  made.append(element("b", "", `label ${meme.label}`), ` ${meme.example ? "example" : "train"} ${meme.id}`);
  made.append(element("p", "quiet", `cosine ${meme.cosine}, share ${meme.share}`));
  return made;
}

function show(answer) {
  at("verdict").textContent = `Label ${answer.label}, probability ${answer.probability}`;
  at("origin").textContent = answer.origin;
  at("modalities").textContent = answer.modalities;
  at("opinions").replaceChildren(...answer.opinions.map((opinion) => row(opinion, opinion.head === answer.head)));
  at("nearest").hidden = !answer.nearest;
  at("told").textContent = answer.nearest ? answer.nearest.told : "";
  at("memes").replaceChildren(...(answer.nearest ? answer.nearest.memes : []).map(near));
  at("answer").hidden = false;
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (at("go").disabled) return;
  complain(fault());
  if (fault()) return;
  const number = ++asked;
  busy("Scoring …");
  try {
    const answer = await ask();
    if (number === asked) show(answer);
  } catch (error) {
    if (number === asked) {
      at("answer").hidden = true;
      complain(error.message);
    }
  }
  if (number === asked) ready();
});

at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
at("image").addEventListener("change", () => choose(at("image").files[0]));
document.addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
document.addEventListener("dragover", () => at("drop").classList.add("over"));
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  at("drop").classList.remove("over");
  choose(event.dataTransfer.files[0]);
});

fetch("model").then((response) => response.json()).then((model) => {
  Object.assign(limits, model);
  at("drop").hidden = !model.encoders.image;
  at("words").hidden = !model.encoders.text;
  if (!model.encoders.image) ready();
  const names = Object.values(model.encoders).join(" and ");
  at("model").textContent = `${names}; the head ${model.head} decides, AUC-ROC ${model.dev} on dev. ` +
    "Nothing that you drop here leaves this machine." + (model.examples ? ` ${model.examples}` : "");
}).catch(() => complain("The server does not answer. Is it still running?"));
