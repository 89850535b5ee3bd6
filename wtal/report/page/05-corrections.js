// Corrections: what a person said about the videos, kept until it is saved, and undone on request.
// An entry is a line of the file: {label, segment, verdict, was?}, and a key that stays while it is edited.

const FORMAT = "wtal corrections 1";
const VERDICTS = ["accepted", "edited", "rejected", "added"];
const NOTHING = Object.freeze({ complete: false, entries: [] });
const storeKey = `wtal-corrections:${index.id}`;

let work = new Map(); // video name -> {complete, entries}; replaced, never changed in place
let savedLines = new Map(); // key -> line, as the file on disk has it
let undone = []; // what to put back: arrays of [name, before]
let newest = 0; // of the keys of added segments

const workOf = (name) => work.get(name) ?? NOTHING;

/** Classes that corrections say are in a video. */
function givenTo(v) {
  const there = workOf(videos.name[v]).entries.filter(({ verdict }) => verdict !== "rejected");
  return [...new Set(there.map(({ label }) => classNumber(label)))];
}

/** Tags with the classes that corrections give, as training takes them: once reviewed, these alone. */
function tagsOf(v) {
  const tags = videos.tags[v];
  const { complete, entries } = workOf(videos.name[v]);
  if (tags === null || !(complete || entries.length)) return tags;
  return [...new Set([...(complete ? [] : tags), ...givenTo(v)])];
}

const originKey = (label, start, end) => `${label}|${start.toFixed(3)}|${end.toFixed(3)}`;

function entryKey(entry) {
  if (entry.verdict === "added") return `added ${++newest}`;
  return originKey(entry.label, ...(entry.was ?? entry.segment));
}

/** Replace the work on some videos, so that it can be undone. */
function change(states) {
  undone.push(states.map(([name]) => [name, work.get(name)]));
  put(states);
}

function put(states) {
  for (const [name, state] of states) {
    if (state && (state.complete || state.entries.length)) work.set(name, state);
    else work.delete(name);
  }
  keep();
  tell("corrections");
}

function undo() {
  const states = undone.pop();
  if (!states) return;
  put(states);
  const name = states[0][0];
  if (states.length === 1 && name !== videos.name[current.video]) say(`Undone in ${name}.`);
}

/** Put an entry in the place of the one with its key; null takes that away. */
function changeEntry(name, key, entry) {
  const before = workOf(name);
  const at = before.entries.findIndex((other) => other.key === key);
  const entries = [...before.entries];
  const next = entry === null ? [] : [Object.freeze({ ...entry, key })];
  entries.splice(at < 0 ? entries.length : at, at < 0 ? 0 : 1, ...next);
  change([[name, { complete: before.complete, entries }]]);
}

// Unsaved -----------------------------------------------------------------------------------------

/** Every correction as a line of its own, to compare with what was saved. */
function linesOf(states) {
  const lines = new Map();
  for (const [name, state] of states) {
    if (state.complete) lines.set(JSON.stringify([name]), "complete");
    for (const entry of state.entries) lines.set(JSON.stringify([name, entry.key]), JSON.stringify(lineOf(entry)));
  }
  return lines;
}

function lineOf({ label, segment, verdict, was }) {
  return { label, segment: segment.map(toMillisecond), verdict, ...(was ? { was: was.map(toMillisecond) } : {}) };
}

function unsavedCount() {
  const lines = linesOf(work);
  let n = 0;
  for (const [key, line] of lines) if (savedLines.get(key) !== line) n++;
  for (const key of savedLines.keys()) if (!lines.has(key)) n++;
  return n;
}

// Files -------------------------------------------------------------------------------------------

function toFile() {
  const one = ({ complete, entries }) => ({ complete, segments: entries.map(lineOf) });
  return { format: FORMAT, videos: Object.fromEntries([...work].map(([name, state]) => [name, one(state)])) };
}

function save() {
  const url = URL.createObjectURL(new Blob([JSON.stringify(toFile(), null, 1), "\n"], { type: "application/json" }));
  make("a", { href: url, download: "corrections.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  savedLines = linesOf(work);
  keep();
  tell("corrections");
  say(`Saved ${plural(savedLines.size, "correction")} in ${plural(work.size, "video")} as corrections.json. Learn from them with: wtal train --corrections corrections.json`);
}

/** Take a checked file in: of one segment the file's verdict counts, other work stays. */
function takeIn(file) {
  const states = Object.entries(file.videos).map(([name, video]) => {
    const entries = new Map(workOf(name).entries.map((entry) => [entry.key, entry]));
    const lines = new Set([...entries.values()].map((entry) => JSON.stringify(lineOf(entry))));
    for (const line of video.segments) {
      const entry = { ...lineOf(line), key: "" };
      if (lines.has(JSON.stringify(lineOf(entry)))) continue;
      entry.key = entryKey(entry);
      entries.set(entry.key, Object.freeze(entry));
      classNumber(entry.label);
    }
    return [name, { complete: video.complete || workOf(name).complete, entries: [...entries.values()] }];
  });
  for (const [key, line] of linesOf(states)) {
    if (isIn(file, key, line)) savedLines.set(key, line);
  }
  return states;
}

function isIn(file, key, line) {
  const video = file.videos[JSON.parse(key)[0]];
  return line === "complete" ? video.complete : video.segments.some((other) => JSON.stringify(lineOf(other)) === line);
}

async function load(chosen) {
  try {
    if (chosen.size > 1 << 26) throw new Error("it has more than 64 MB");
    const file = checkFile(parse(await chosen.text()));
    const strangers = Object.keys(file.videos).filter((name) => !videoNumbers.has(name));
    const states = takeIn(file);
    change(states);
    const known = `${chosen.name}: ${plural(states.length, "video")} read.`;
    say(strangers.length ? `${known} ${plural(strangers.length, "video is", "videos are")} not in this report (${strangers[0]}); they are kept and saved again.` : known);
  } catch (error) {
    say(`${chosen.name} was not read: ${error.message}. Nothing was changed.`, { stays: true });
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is no JSON file; choose a corrections.json that this page saved");
  }
}
