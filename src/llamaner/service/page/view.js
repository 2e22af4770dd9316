// Shows tagged documents. Whatever comes from a text is put in by textContent alone.
import { unitsOf } from "/page/offsets.js";

const COLOURS = 8;
const ROWS = 1000;

/** An element with a class and a text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** The class of a label's colour. */
export function colourOf(label, labels) {
  return `c${Math.max(0, labels.indexOf(label)) % COLOURS}`;
}

export const percent = (confidence) => `${Math.floor(confidence * 100)}%`;

/** A document with its entities marked; `marks` gains [mark, entity] of each. */
export function documentElement(tagged, labels, marks) {
  const box = element("div", "document");
  box.dir = "auto";
  const units = unitsOf(tagged.text);
  let position = 0;
  for (const entity of tagged.entities) {
    const [start, end] = [units(entity.start), units(entity.end)];
    box.append(tagged.text.slice(position, start));
    const mark = element("mark", colourOf(entity.label, labels));
    mark.append(
      element("span", "entity", tagged.text.slice(start, end)),
      element("span", "chip", entity.label),
      element("span", "hidden", ` ${percent(entity.confidence)} `),
    );
    mark.tabIndex = -1;
    marks.push([mark, entity]);
    box.append(mark);
    position = end;
  }
  box.append(tagged.text.slice(position));
  return box;
}

/** Fill the table with [mark, entity, document] rows; says how many rows are not shown. */
export function fillTable(body, entries, labels, reveal) {
  body.replaceChildren(...entries.slice(0, ROWS).map(([mark, entity, place]) => {
    const row = element("tr");
    const name = element("th");
    name.scope = "row";
    const go = element("button", "", entity.text);
    go.type = "button";
    go.addEventListener("click", () => reveal(mark));
    name.append(go);
    const label = element("td");
    label.append(element("span", `chip ${colourOf(entity.label, labels)}`, entity.label));
    row.append(name, label, ...[percent(entity.confidence), place + 1, entity.start, entity.end]
      .map((value) => element("td", "number", String(value))));
    return row;
  }));
  return Math.max(0, entries.length - ROWS);
}
