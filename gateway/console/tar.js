// Reads a tar out of a file piece by piece: only heads are read, bodies stay where they are. The file may be hostile.

import { fromUtf8 } from "./encoding.js";
import { Told } from "./problem.js";

const BLOCK = 512;
const MAX_ENTRIES = 20_000;
const MAX_EXTENDED = 64 << 10;
const MAX_PATH = 1024;

/** The regular files of a tar: `[{ path, size, body }]`, each body a slice of the file. Refuses whatever else is in it. */
export async function entries(file) {
  const found = [];
  const paths = new Set();
  let extended = {};
  let at = 0;
  for (;;) {
    const head = await block(file, at);
    if (head.every((byte) => byte === 0)) {
      await checkEnd(file, at);
      return found;
    }
    const { name, size: plain, type } = parse(head, at);
    at += BLOCK;
    if (type === "x") {
      if (plain > MAX_EXTENDED) throw new Told("An extended head in the tar is too large.");
      extended = records(new Uint8Array(await file.slice(at, at + plain).arrayBuffer()));
      at += padded(plain);
      continue;
    }
    if (type !== "0" && type !== "\0") throw new Told(`The tar holds what is no plain file (type ${JSON.stringify(type)}).`);
    const path = extended.path ?? name;
    const size = extended.size === undefined ? plain : integer(extended.size, 10);
    extended = {};
    checkPath(path);
    if (paths.has(path)) throw new Told(`The tar holds ${shown(path)} twice.`);
    if (at + size > file.size) throw new Told(`The tar ends within ${shown(path)}.`);
    paths.add(path);
    found.push({ path, size, body: file.slice(at, at + size) });
    if (found.length > MAX_ENTRIES) throw new Told(`The tar holds more than ${MAX_ENTRIES} files.`);
    at += padded(size);
  }
}

async function block(file, at) {
  if (at + BLOCK > file.size) throw new Told(at === 0 ? "This is no tar." : "The tar ends too early.");
  return new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer());
}

/** Two empty blocks end a tar; nothing may hide behind them. */
async function checkEnd(file, at) {
  const rest = new Uint8Array(await file.slice(at, Math.min(file.size, at + (64 << 10))).arrayBuffer());
  if (file.size - at > 64 << 10 || rest.length < 2 * BLOCK || rest.some((byte) => byte !== 0)) {
    throw new Told("Something stands behind the end of the tar.");
  }
}

function parse(head, at) {
  if (String.fromCharCode(...head.subarray(257, 262)) !== "ustar") throw new Told(at === 0 ? "This is no tar." : "A head in the tar is not one of ustar.");
  let sum = 0;
  for (let index = 0; index < BLOCK; index += 1) sum += index >= 148 && index < 156 ? 32 : head[index];
  if (integer(text(head, 148, 8), 8) !== sum) throw new Told("A head in the tar does not have its checksum.");
  const prefix = text(head, 345, 155);
  const name = text(head, 0, 100);
  return { name: prefix ? `${prefix}/${name}` : name, size: integer(text(head, 124, 12), 8), type: String.fromCharCode(head[156]) };
}

function text(head, from, length) {
  const field = head.subarray(from, from + length);
  const end = field.indexOf(0);
  const found = fromUtf8(end < 0 ? field : field.subarray(0, end));
  if (found === null) throw new Told("A head in the tar is no text.");
  return found;
}

function integer(digits, base) {
  const trimmed = digits.trim();
  const known = base === 8 ? /^[0-7]{1,12}$/ : /^[0-9]{1,15}$/;
  if (!known.test(trimmed)) throw new Told("A number in the tar cannot be read.");
  return Number.parseInt(trimmed, base);
}

/** `LENGTH KEY=VALUE\n`, one after the other (pax). */
function records(bytes) {
  const found = {};
  let at = 0;
  while (at < bytes.length) {
    const blank = bytes.indexOf(32, at);
    const length = blank < 0 ? 0 : integer(fromUtf8(bytes.subarray(at, blank)) ?? "", 10);
    if (length < 5 || at + length > bytes.length || bytes[at + length - 1] !== 10) throw new Told("An extended head in the tar cannot be read.");
    const pair = fromUtf8(bytes.subarray(blank + 1, at + length - 1)) ?? "";
    const equals = pair.indexOf("=");
    const key = pair.slice(0, equals);
    if (key === "path" || key === "size") found[key] = pair.slice(equals + 1);
    else throw new Told(`The tar has an extended head ${shown(key)}, which no bundle has.`);
    at += length;
  }
  return found;
}

function checkPath(path) {
  const parts = path.split("/");
  const isPlain = path.length > 0 && path.length <= MAX_PATH && !/[\u0000-\u001f\u007f\\]/.test(path);
  if (!isPlain || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new Told(`The tar holds a path that leads elsewhere: ${shown(path)}`);
  }
}

function padded(size) {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function shown(path) {
  return JSON.stringify(path.length > 80 ? `${path.slice(0, 80)}…` : path);
}
