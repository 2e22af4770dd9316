// What is taken along: JSONL as `llamaner tag` writes it, CSV, and CoNLL columns.
// A document is {id, text, words, sentences, entities}; all offsets count code points.

export const MEDIA = { jsonl: "application/jsonl", csv: "text/csv", conll: "text/plain" };

/** The documents in a format, with the entities given for each. */
export function written(format, documents) {
  return { jsonl, csv, conll }[format](documents);
}

function jsonl(documents) {
  return documents.map((d) => JSON.stringify({
    ...(d.id === undefined ? {} : { id: d.id }),
    text: d.text, entities: d.entities, words: d.words, sentences: d.sentences,
  }) + "\n").join("");
}

function csv(documents) {
  const rows = [["document", "text", "label", "confidence", "start", "end"]];
  documents.forEach((d, index) => d.entities.forEach((e) => rows.push(
    [d.id ?? index + 1, e.text, e.label, e.confidence.toFixed(4), e.start, e.end])));
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}

function cell(value) {
  let text = String(value);
  // A spreadsheet would compute what begins like this: https://owasp.org/www-community/attacks/CSV_Injection
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function conll(documents) {
  const lines = [];
  for (const d of documents) {
    if (documents.length > 1) lines.push("-DOCSTART- O", "");
    const characters = Array.from(d.text);
    const tags = tagsOf(d);
    let sentence = 0;
    d.words.forEach(([start, end], index) => {
      if (start >= d.sentences[sentence][1]) { lines.push(""); sentence += 1; }
      lines.push(`${characters.slice(start, end).join("")} ${tags[index]}`);
    });
    if (d.words.length) lines.push("");
  }
  return lines.map((line) => line + "\n").join("");
}

function tagsOf(document) {
  const tags = document.words.map(() => "O");
  for (const entity of document.entities) {
    document.words.forEach(([start, end], index) => {
      if (start === entity.start) tags[index] = `B-${entity.label}`;
      else if (start > entity.start && end <= entity.end) tags[index] = `I-${entity.label}`;
    });
  }
  return tags;
}
