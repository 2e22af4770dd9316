// The page: what people do, and what is shown of it.
import { EXAMPLES } from "/page/examples.js";
import { readFile, textDocuments } from "/page/files.js";
import { MEDIA, written } from "/page/formats.js";
import { ServiceError, describeModel, tagAll, useKey } from "/page/service.js";
import { documentElement, element, colourOf, fillTable, percent } from "/page/view.js";

const COLUMNS = [
  ["Entity", ([, e]) => e.text], ["Label", ([, e]) => e.label],
  ["Confidence", ([, e]) => e.confidence], ["Document", ([, e, d]) => d * 1e9 + e.start],
  ["Start", ([, e]) => e.start], ["End", ([, e]) => e.end],
];

const $ = (id) => document.getElementById(id);
const state = { model: null, tagged: [], entries: [], off: new Set(), sort: [3, 1], run: null, name: "" };

// --- the model ---------------------------------------------------------------------------------

async function model() {
  if (state.model) return state.model;
  state.model = await describeModel();
  $("model").textContent = `${state.model.labels.join(", ")} · version ${state.model.version}`;
  return state.model;
}

// --- tagging -----------------------------------------------------------------------------------

async function tagDocuments(read, name) {
  state.run?.abort();
  const run = state.run = new AbortController();
  state.name = name;
  say("Tagging…");
  $("tag").disabled = true;
  try {
    const { limits } = await model();
    const documents = await read(limits);
    if (run !== state.run) return;
    const items = documents.flatMap((d, i) => d.parts.map((text) => ({ text: wellFormed(text), document: String(i) })));
    const results = [];
    await tagAll(items, limits, run.signal, (index, result) => {
      results[index] = result;
      if (items.length > 1) say(`Tagging… ${results.length} of ${items.length}`);
    });
    show(joined(documents, items, results));
    say("");
  } catch (error) {
    if (run === state.run && error.name !== "AbortError") fail(error);
  } finally {
    if (run === state.run) $("tag").disabled = false;
  }
}

const wellFormed = (text) => (typeof text === "string" ? text.toWellFormed() : text.map((w) => w.toWellFormed()));

/** The parts of each document put together again, a line break between them. */
function joined(documents, items, results) {
  const tagged = documents.map((d) => ({ id: d.id, text: "", length: 0, words: [], sentences: [], entities: [] }));
  items.forEach((item, index) => {
    const text = typeof item.text === "string" ? item.text : item.text.join(" ");
    const to = tagged[Number(item.document)];
    const gap = to.length ? 1 : 0;
    const shift = to.length + gap;
    to.text += (gap ? "\n" : "") + text;
    to.length = shift + Array.from(text).length;
    const moved = ([start, end]) => [start + shift, end + shift];
    to.words.push(...results[index].words.map(moved));
    to.sentences.push(...results[index].sentences.map(moved));
    to.entities.push(...results[index].entities.map((e) => ({ ...e, start: e.start + shift, end: e.end + shift })));
  });
  return tagged.map(({ length, ...rest }) => rest);
}

function say(text) {
  $("status").textContent = text;
  $("error").textContent = "";
}

function fail(error) {
  say("");
  $("error").textContent = error.message;
  if (error instanceof ServiceError && error.status === 401) {
    $("key-row").hidden = false;
    $("key").focus();
  }
}

// --- the result --------------------------------------------------------------------------------

function show(tagged) {
  const { labels } = state.model;
  state.tagged = tagged;
  state.entries = [];
  $("documents").replaceChildren(...tagged.map((one, place) => {
    const marks = [];
    const box = documentElement(one, labels, marks);
    state.entries.push(...marks.map(([mark, entity]) => [mark, entity, place]));
    return box;
  }));
  showLabels(labels);
  $("result").hidden = false;
  hideDetails();
  refresh();
}

function showLabels(labels) {
  const found = labels.filter((label) => state.entries.some(([, e]) => e.label === label));
  const boxes = found.map((label) => {
    const box = element("label");
    const input = element("input");
    input.type = "checkbox";
    input.checked = !state.off.has(label);
    input.addEventListener("change", () => {
      if (input.checked) state.off.delete(label); else state.off.add(label);
      refresh();
    });
    const count = state.entries.filter(([, e]) => e.label === label).length;
    box.append(input, element("span", `chip ${colourOf(label, labels)}`, label), ` ${count}`);
    return box;
  });
  $("labels").replaceChildren(element("legend", "", "Labels"), ...boxes);
  $("labels").hidden = !boxes.length;
}

const isShown = (entity) => entity.confidence * 100 >= Number($("threshold").value) && !state.off.has(entity.label);

function refresh() {
  const threshold = `${$("threshold").value}%`;
  $("threshold-value").textContent = threshold;
  $("threshold").setAttribute("aria-valuetext", threshold);
  const shown = state.entries.filter(([, entity]) => isShown(entity));
  for (const [mark, entity] of state.entries) {
    mark.classList.toggle("off", !isShown(entity));
    mark.tabIndex = -1;
  }
  if (shown.length) shown[0][0].tabIndex = 0;
  $("keys").hidden = !shown.length;
  const all = state.entries.length;
  $("count").textContent = all === 0 ? "No entities were found." : `${shown.length} of ${all} entities`;
  showTable(shown);
}

function showTable(shown) {
  const [column, direction] = state.sort;
  const key = COLUMNS[column][1];
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const sorted = shown.toSorted((a, b) => direction * compare(key(a), key(b)));
  const left = fillTable($("rows"), sorted, state.model.labels, reveal);
  $("more").textContent = left ? `${left} more are in the download.` : "";
  [...$("head").children].forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
    head.firstChild.textContent = COLUMNS[i][0] + (i === column ? (direction > 0 ? " ▲" : " ▼") : "");
  });
}

function reveal(mark) {
  mark.scrollIntoView({ block: "center" });
  focusMark(mark);
}

// --- details on hover and focus ----------------------------------------------------------------

function showDetails(mark) {
  const [, entity] = state.entries.find(([other]) => other === mark) ?? [];
  if (!entity || mark.classList.contains("off")) return;
  const box = $("details");
  box.textContent = `${entity.label}, confidence ${(entity.confidence * 100).toFixed(1)}%, characters ${entity.start} to ${entity.end}`;
  box.hidden = false;
  const at = mark.getClientRects()[0];
  const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 8);
  const above = at.top - box.offsetHeight - 6;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${above > 0 ? above : at.bottom + 6}px`;
}

function hideDetails() { $("details").hidden = true; }

function focusMark(mark) {
  for (const [other] of state.entries) other.tabIndex = -1;
  mark.tabIndex = 0;
  mark.focus();
}

function moveFocus(event) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const marks = state.entries.filter(([, e]) => isShown(e)).map(([mark]) => mark);
  const at = marks.indexOf(event.target.closest("mark"));
  if (at < 0) return;
  if (event.key === "Escape") hideDetails();
  const to = event.key === "Home" ? 0 : event.key === "End" ? marks.length - 1 : at + (steps[event.key] ?? NaN);
  if (!marks[to]) return;
  event.preventDefault();
  focusMark(marks[to]);
}

const onMark = (action) => (event) => {
  const mark = event.target instanceof Element ? event.target.closest("mark") : null;
  if (mark) action(mark);
};

// --- taking along ------------------------------------------------------------------------------

function export_() {
  const format = $("format").value;
  const documents = state.tagged.map((one) => ({ ...one, entities: one.entities.filter(isShown) }));
  return [format, written(format, documents)];
}

function download() {
  const [format, text] = export_();
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${MEDIA[format]};charset=utf-8` }));
  link.download = `${state.name.replace(/\.[^.]*$/, "") || "entities"}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function copy() {
  const [format, text] = export_();
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied as ${format.toUpperCase()}.`);
  } catch {
    fail(new Error("The browser does not let this page copy; download instead."));
  }
}

// --- what people do ----------------------------------------------------------------------------

function tagText() {
  const text = $("text").value;
  return tagDocuments((limits) => textDocuments(text, limits.characters), "");
}

function tagFile(file) {
  if (!file) return;
  $("text").value = "";
  tagDocuments((limits) => readFile(file, limits.characters), file.name)
    .then(() => { if (!$("error").textContent) say(`${file.name} is tagged.`); });
}

function listen() {
  $("form").addEventListener("submit", (event) => { event.preventDefault(); useKey($("key").value); tagText(); });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("file").addEventListener("change", () => { tagFile($("file").files[0]); $("file").value = ""; });
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  }
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) { tagFile(file); return; }
    const text = event.dataTransfer.getData("text/plain");
    if (text) { $("text").value = text; tagText(); }
  });
  $("threshold").addEventListener("input", refresh);
  $("documents").addEventListener("pointerover", onMark(showDetails));
  $("documents").addEventListener("pointerout", onMark(hideDetails));
  $("documents").addEventListener("focusin", onMark(showDetails));
  $("documents").addEventListener("focusout", onMark(hideDetails));
  $("documents").addEventListener("keydown", moveFocus);
  document.addEventListener("scroll", hideDetails, { passive: true });
  $("download").addEventListener("click", download);
  $("copy").addEventListener("click", copy);
}

function build() {
  for (const [name, text] of EXAMPLES) {
    const button = element("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => { $("text").value = text; tagText(); });
    $("examples").append(button);
  }
  COLUMNS.forEach(([name], i) => {
    const head = element("th", i > 1 ? "number" : "");
    head.scope = "col";
    const button = element("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => {
      state.sort = [i, state.sort[0] === i ? -state.sort[1] : 1];
      refresh();
    });
    head.append(button);
    $("head").append(head);
  });
}

build();
listen();
model().catch((error) => { if (error.status !== 401 && error.status !== 503) fail(error); });
