"use strict";
// Sentences are rendered a page at a time from the data element. Text reaches the page as text
// nodes only. Offsets count code points, as in Python.

const data = JSON.parse(document.getElementById("data").textContent);
const SIZE = 20;

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const percent = (value) => `${(100 * value).toFixed(value > 0.99 && value < 1 ? 1 : 0)}%`;
const number = (value) => value.toLocaleString("en");
const same = (a, b) => a && b && a.label === b.label && a.start === b.start && a.end === b.end;
const named = (entity) =>
  entity.confidence === undefined ? entity.label : `${entity.label} ${percent(entity.confidence)}`;

/** The sentence with marks: [{entity, kind, name, focus}], which may overlap. */
function markedText(text, marks) {
  const characters = Array.from(text);
  const cuts = new Set([0, characters.length]);
  for (const { entity } of marks) cuts.add(entity.start).add(entity.end);
  const places = [...cuts].sort((a, b) => a - b);
  const line = element("p", "sentence");
  line.dir = "auto";
  for (let i = 0; i + 1 < places.length; i++) {
    const [start, end] = [places[i], places[i + 1]];
    const over = marks.filter(({ entity }) => entity.start <= start && end <= entity.end);
    const part = characters.slice(start, end).join("");
    const classes = over.map(({ kind, focus }) => kind + (focus ? " focus" : "")).join(" ");
    line.append(over.length ? element("mark", `mark ${classes}`, part) : part);
    for (const { entity, kind, name, focus } of over) {
      if (entity.end === end) line.append(element("span", `tag ${kind}${focus ? " focus" : ""}`, name));
    }
  }
  return line;
}

function sentenceMarks(sentence, error) {
  const marks = [];
  for (const entity of sentence.gold) {
    const twin = sentence.found.find((other) => same(entity, other));
    if (twin) marks.push({ entity, kind: "right", name: named(twin) });
    else marks.push({ entity, kind: "gold", name: `gold ${entity.label}`, focus: same(entity, error.gold) });
  }
  for (const entity of sentence.found) {
    if (sentence.gold.some((other) => same(entity, other))) continue;
    marks.push({ entity, kind: "found", name: `found ${named(entity)}`, focus: same(entity, error.found) });
  }
  for (const entity of sentence.loose) {
    marks.push({ entity, kind: "loose", name: `ill-formed ${entity.label}` });
  }
  return marks;
}

const place = (sentence) =>
  element("span", "place", `${sentence.document}, sentence ${number(sentence.number + 1)}`);

function errorCard(sentence, error) {
  const head = element("p", "head", element("b", "", error.kind), " ");
  if (error.gold) head.append(element("span", "tag gold", `gold ${error.gold.label}`), " ");
  if (error.found) head.append(element("span", "tag found", `found ${named(error.found)}`), " ");
  if (error.gold_confidence !== null) {
    head.append(element("span", "hint", `confidence in gold ${percent(error.gold_confidence)}`), " ");
  }
  head.append(place(sentence));
  return element("li", "", head, markedText(sentence.text, sentenceMarks(sentence, error)));
}

/** The end of a path, where it tells the systems apart. */
function lastPart(name, other) {
  const [end, otherEnd] = [name, other].map((path) => path.split("/").pop());
  return end && end !== otherEnd ? end : name;
}

function differenceCard(sentence) {
  const { first, second } = data.comparison;
  const verdicts = {
    "only first right": `only ${first} is right`,
    "only second right": `only ${second} is right`,
    "both wrong": "both are wrong",
  };
  const head = element("p", "head", element("b", "", verdicts[sentence.verdict]), " ", place(sentence));
  const card = element("li", "", head);
  for (const [title, kind] of [["gold", "gold"], [lastPart(first, second), "first"], [lastPart(second, first), "second"]]) {
    const marks = sentence[kind].map((entity) => {
      const right = sentence.gold.some((other) => same(entity, other));
      return { entity, kind: right ? kind : `${kind} wrong`, name: named(entity) + (right ? "" : " ✗") };
    });
    card.append(element("div", "version", element("span", `who ${kind}`, title), markedText(sentence.text, marks)));
  }
  return card;
}

/** A list of rows with a form of filters and pages; `select` gives the rows that a form asks for. */
class Browser {
  constructor(root, select, card) {
    this.root = root;
    this.form = root.querySelector("form.filters");
    this.list = root.querySelector(".cards");
    this.select = select;
    this.card = card;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.later());
    this.form.addEventListener("reset", () => setTimeout(() => this.refresh()));
    for (const pager of root.querySelectorAll(".pager")) {
      pager.querySelector("[name=previous]").addEventListener("click", () => this.show(this.start - SIZE));
      pager.querySelector("[name=next]").addEventListener("click", () => this.show(this.start + SIZE));
    }
    this.refresh();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), 80);
  }

  refresh() {
    this.rows = this.select(Object.fromEntries(new FormData(this.form)));
    this.show(0);
  }

  show(start) {
    this.start = start;
    const rows = this.rows.slice(start, start + SIZE);
    this.list.replaceChildren(...rows.map(this.card));
    const end = start + rows.length;
    const told = rows.length
      ? `${number(start + 1)} to ${number(end)} of ${number(this.rows.length)}`
      : "none fits";
    for (const pager of this.root.querySelectorAll(".pager")) {
      pager.querySelector(".range").textContent = told;
      pager.querySelector("[name=previous]").disabled = start === 0;
      pager.querySelector("[name=next]").disabled = end >= this.rows.length;
    }
    const [upper, lower] = this.root.querySelectorAll(".pager");
    lower.hidden = this.rows.length <= SIZE;
    // Whoever used the lower buttons wants to read on from the top.
    if (lower.contains(document.activeElement)) upper.scrollIntoView();
  }
}

// Choices are written with a "=" before them: "=" alone is "nothing", and "" is any.
const labelOf = (entity) => (entity ? `=${entity.label}` : "=");
const fits = (choice, ...values) => !choice || values.includes(choice);
const finder = (search) => {
  const wanted = (search || "").trim().toLowerCase();
  return (sentence) => !wanted || (sentence.lower ??= sentence.text.toLowerCase()).includes(wanted);
};
const sureness = (error) => error.found?.confidence ?? error.suspicion ?? 0;

function errorRows(errors, sentences, wanted) {
  const found = finder(wanted.search);
  const rows = errors.filter(
    (error) =>
      fits(wanted.kind, error.kind) &&
      fits(wanted.label, labelOf(error.gold), labelOf(error.found)) &&
      fits(wanted.gold, labelOf(error.gold)) &&
      fits(wanted.found, labelOf(error.found)) &&
      found(sentences.get(error.sentence)),
  );
  if (wanted.order) {
    const sign = wanted.order === "high" ? -1 : 1;
    rows.sort((a, b) => sign * (sureness(a) - sureness(b)));
  }
  return rows;
}

function mistakeRows(errors, sentences, wanted) {
  const minimum = Number.parseFloat(wanted.minimum);
  const rows = errorRows(errors, sentences, { label: wanted.label, search: wanted.search });
  return rows
    .filter((error) => error.suspicion !== null && error.suspicion >= (minimum || 0))
    .sort((a, b) => b.suspicion - a.suspicion);
}

function download(name, type, content) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function exported(rows, sentences) {
  return rows.map((error) => {
    const sentence = sentences.get(error.sentence);
    const characters = Array.from(sentence.text);
    const part = (entity) => (entity ? characters.slice(entity.start, entity.end).join("") : "");
    return {
      suspicion: error.suspicion,
      kind: error.kind,
      document: sentence.document,
      sentence: sentence.number + 1,
      gold_label: error.gold?.label ?? "",
      gold_text: part(error.gold),
      found_label: error.found?.label ?? "",
      found_text: part(error.found),
      text: sentence.text,
    };
  });
}

function csv(rows) {
  // A cell that begins so would be a formula to a spreadsheet; an apostrophe makes it text.
  const cell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const lines = rows.map((row) => Object.values(row).map(cell).join(","));
  const head = Object.keys(rows[0] ?? { suspicion: 0 }).join(",");
  return `\ufeff${[head, ...lines].join("\r\n")}\r\n`;
}

function setUpSystem(article) {
  const report = data.reports[Number(article.dataset.system)];
  const sentences = new Map(report.sentences.map((sentence) => [sentence.number, sentence]));
  const card = (error) => errorCard(sentences.get(error.sentence), error);
  const root = article.querySelector("[data-browser=errors]");
  const errors = new Browser(root, (wanted) => errorRows(report.errors, sentences, wanted), card);
  for (const button of article.querySelectorAll(".pick button")) {
    button.addEventListener("click", () => {
      errors.form.reset();
      for (const [name, value] of Object.entries(button.dataset)) errors.form.elements[name].value = value;
      errors.refresh();
      errors.form.scrollIntoView();
      errors.form.elements.kind.focus({ preventScroll: true });
    });
  }
  const suspects = article.querySelector("[data-browser=mistakes]");
  if (suspects) {
    const mistakes = new Browser(suspects, (wanted) => mistakeRows(report.errors, sentences, wanted), card);
    const rows = () => exported(mistakes.rows, sentences);
    const lines = () => rows().map((row) => `${JSON.stringify(row)}\n`).join("");
    mistakes.form.elements.csv.addEventListener("click", () =>
      download("annotation-mistakes.csv", "text/csv;charset=utf-8", csv(rows())));
    mistakes.form.elements.jsonl.addEventListener("click", () =>
      download("annotation-mistakes.jsonl", "application/jsonl;charset=utf-8", lines()));
  }
  if (report.frontier) setUpThreshold(article.querySelector("form.threshold"), report.frontier);
}

function setUpThreshold(form, frontier) {
  const tell = () => {
    const wanted = Number.parseFloat(form.elements.precision.value) / 100;
    const point = frontier.find(({ precision }) => precision >= wanted);
    const told = point
      ? `Threshold ${point.threshold.toFixed(4)} gives precision ${(100 * point.precision).toFixed(2)} ` +
        `and recall ${(100 * point.recall).toFixed(2)}.`
      : "No threshold gives this precision.";
    form.querySelector("output").textContent = Number.isNaN(wanted) ? "" : told;
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", tell);
  tell();
}

function setUpTabs() {
  const buttons = [...document.querySelectorAll("[data-shows]")];
  const choose = (chosen) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
    for (const part of document.querySelectorAll("[data-part]")) {
      part.classList.toggle("other", part.id !== chosen.dataset.shows);
    }
  };
  for (const button of buttons) button.addEventListener("click", () => choose(button));
  if (buttons.length) choose(buttons[0]);
}

for (const article of document.querySelectorAll("[data-system]")) setUpSystem(article);
const differences = document.querySelector("[data-browser=differences]");
if (differences) {
  new Browser(
    differences,
    ({ verdict, search }) => {
      const found = finder(search);
      return data.comparison.sentences.filter((s) => fits(verdict, s.verdict) && found(s));
    },
    differenceCard,
  );
}
setUpTabs();
