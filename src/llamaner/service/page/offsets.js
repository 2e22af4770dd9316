// The service counts Unicode code points, JavaScript counts UTF-16 units.

/** A function from an offset in code points to one in UTF-16 units of `text`. */
export function unitsOf(text) {
  const starts = [];
  for (let unit = 0; unit < text.length; unit += text.codePointAt(unit) > 0xffff ? 2 : 1) {
    starts.push(unit);
  }
  starts.push(text.length);
  // Texts of the Basic Multilingual Plane need no table.
  return starts.length === text.length + 1 ? (offset) => offset : (offset) => starts[offset];
}
