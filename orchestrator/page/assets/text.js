// Elements and texts. Whatever a prompt holds goes through `textContent`: nothing here makes markup of a string.

const SVG = "http://www.w3.org/2000/svg";
const MISSING = "–";

// Signs that steer the text around them, or that nobody can see.
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** An element with attributes (`null` and `false` are left out, functions listen) and children. */
function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for drawings. */
function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A list of terms and what they come to; entries without a value are left out. */
function terms(entries) {
  return entries
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([term, value, hint]) => el("div", { title: hint ?? null }, el("dt", {}, term), el("dd", {}, value)));
}

/** Text in which unseen signs are written as escapes, for code that is read before it is copied. */
function withoutUnseen(text) {
  return text.replace(UNSEEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Such as 4.2 s, 3:07 or 2:15:00. */
function duration(seconds) {
  if (!isNumber(seconds)) return MISSING;
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(1)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function ratio(value) {
  return isNumber(value) ? `${value.toFixed(2)}×` : MISSING;
}

function percent(share) {
  return isNumber(share) ? `${(100 * share).toFixed(1)} %` : MISSING;
}

function bytes(number) {
  return isNumber(number) ? `${(number / 2 ** 30).toFixed(2)} GiB` : null;
}

function moment(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? null : date.toLocaleString();
}

function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

function median(values) {
  if (!values.length) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What a video is called: its name if it has one, or its prompt. */
function titleOf(video) {
  return video.name || video.prompt || video.id;
}
