// The what-if page's data: what was planned for each position. No plan is computed here.
const data = JSON.parse(document.getElementById("what-if-data").textContent);
const { axes, texts } = data;
const place = new Map(axes.map((axis, n) => [axis.name, n]));
const at = axes.map((axis) => axis.base);

// Texts: "{name}" is filled in; names that are not given stay as they are.
const say = (key, values = {}) =>
  texts[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
const number = (text) => Number(text.replaceAll(",", ""));

// Packed columns: every entry a fixed number of digits in base 64.
const DIGIT = new Map([...data.digits].map((digit, n) => [digit, n]));
const NUMBER_WIDTH = 5;
function whole(text, from, to) {
  let value = 0;
  for (let n = from; n < to; n += 1) value = value * DIGIT.size + DIGIT.get(text[n]);
  return value;
}
function packedNumber(text, n) {
  const from = n * NUMBER_WIDTH;
  const power = whole(text, from, from + 1) - data.power;
  return Number(`${whole(text, from + 1, from + NUMBER_WIDTH)}e${power}`);
}
const tables = new Map(Object.entries(data.tables).map(([name, table]) =>
  [name, typeof table === "string" ? table.split("|") : table]));
function cell([table, text], n) {
  if (!table) return packedNumber(text, n);
  const width = text.length / data.rows;
  return tables.get(table)[whole(text, n * width, (n + 1) * width)];
}
const known = new Map();
function row(n) {
  if (!known.has(n)) {
    known.set(n, Object.fromEntries(
      Object.entries(data.columns).map(([name, column]) => [name, cell(column, n)])));
  }
  return known.get(n);
}

// The plan of a position as an object by field, or why there is none.
const INDEX_WIDTH = data.index.length / data.positions;
function numberOf(where) {
  let flat = 0;
  axes.forEach((axis, n) => { flat = flat * axis.values.length + where[n]; });
  return whole(data.index, flat * INDEX_WIDTH, (flat + 1) * INDEX_WIDTH);
}
const planned = (where) => numberOf(where) < data.rows;
function look(where) {
  const found = numberOf(where);
  if (found < data.rows) return row(found);
  const [limit, need, have, missing] = data.refused[found - data.rows];
  return { refused: { limit, need, have, missing } };
}
const moved = (axis, value) => at.map((v, n) => (n === axis ? value : v));
const own = row(data.own);
const basis = (name) => data.basis[name] ?? name;

// The only figures that are computed here: differences in percent, and a price.
function change(now, before) {
  const [a, b] = [number(now), number(before)];
  if (now === "" || !b || !Number.isFinite(a / b)) return "";
  if (a === b) return say("change.none");
  const ratio = a / b - 1;
  if (ratio >= 1) return `×${(a / b).toFixed(a / b < 10 ? 1 : 0)}`;
  const percent = Math.abs(ratio * 100);
  return percent < 0.5 ? say("change.trace") : `${ratio > 0 ? "+" : "−"}${percent.toFixed(0)} %`;
}
// "37.4 ms" as seconds, for a comparison of two times in units of their own.
const UNIT = { s: 1, ms: 1e-3, "µs": 1e-6, ns: 1e-9 };
function seconds(text) {
  const [value, unit] = text.split(" ");
  return String(number(value) * UNIT[unit]);
}
const MILLION = 1e6;
const HOUR = 3600;
const dollars = (price, speed) => (price * MILLION) / HOUR / speed;
function three(value) {
  if (value >= 999.5) return Math.round(value).toLocaleString("en-US");
  return value === 0 ? "0" : value.toPrecision(3);
}
// [value, low, high] in USD per million tokens, as text.
function cost(price, found) {
  return [found.speed, found.speed_high, found.speed_low].map((s) => three(dollars(price, s)));
}
