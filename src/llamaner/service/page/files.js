// Files that people drop: plain text, CoNLL columns and JSON lines.
// A document is {name, parts}, a part a text, or a sentence as an array of words.

const CONLL = /\.(conll|iob2?|bio|bioes|tsv)$/i;
const JSONL = /\.(jsonl|ndjson)$/i;

/** The documents of a file; throws an Error that says what is wrong. */
export async function readFile(file, longest) {
  const text = decode(await file.arrayBuffer(), file.name);
  if (CONLL.test(file.name)) return conllDocuments(text);
  if (JSONL.test(file.name)) return jsonlDocuments(text);
  return textDocuments(text, longest);
}

/** A text as documents of at most `longest` characters, divided at line breaks where it can be. */
export function textDocuments(text, longest) {
  const documents = [];
  let rest = Array.from(text);
  while (rest.length > longest) {
    let cut = Math.max(lastIndex(rest, longest, "\n"), 0) || lastIndex(rest, longest, " ");
    if (cut <= 0) cut = longest - 1;
    documents.push({ parts: [rest.slice(0, cut + 1).join("")] });
    rest = rest.slice(cut + 1);
  }
  documents.push({ parts: [rest.join("")] });
  return documents;
}

function lastIndex(characters, before, wanted) {
  return characters.lastIndexOf(wanted, before - 1);
}

function decode(buffer, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer);
  } catch {
    throw new Error(`${name} is not text in UTF-8.`);
  }
}

function conllDocuments(text) {
  const documents = [];
  let parts = [];
  let words = [];
  const endSentence = () => { if (words.length) parts.push(words); words = []; };
  const endDocument = () => { endSentence(); if (parts.length) documents.push({ parts }); parts = []; };
  for (const line of text.split(/\r\n|\n|\r/)) {
    const word = line.includes("\t") ? line.split("\t")[0].trim() : line.trim().split(/ +/)[0];
    if (word === "-DOCSTART-") endDocument();
    else if (line.trim() === "") endSentence();
    else if (word && !/^# /.test(line)) words.push(word);
  }
  endDocument();
  if (!documents.length) throw new Error("There is no word in this file.");
  return documents;
}

function jsonlDocuments(text) {
  const documents = [];
  text.split(/\r\n|\n|\r/).forEach((line, index) => {
    if (!line.trim()) return;
    let record;
    try { record = JSON.parse(line); } catch { record = null; }
    if (typeof record?.text !== "string") {
      throw new Error(`Line ${index + 1} is not a JSON object with a "text".`);
    }
    documents.push({ id: record.id, parts: [record.text] });
  });
  if (!documents.length) throw new Error("There is no text in this file.");
  return documents;
}
