// A corrections file is checked before it is taken in; every fault says where it is.

function checkFile(file) {
  if (!isObject(file) || file.format !== FORMAT) {
    throw new Error(`it is no corrections file; expected "format": "${FORMAT}"`);
  }
  refuseOthers(file, ["format", "videos"], "the file");
  if (!isObject(file.videos)) throw new Error('"videos" is no object');
  for (const [name, video] of Object.entries(file.videos)) checkVideo(name, video);
  return file;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function refuseOthers(value, known, where) {
  const other = Object.keys(value).find((key) => !known.includes(key));
  if (other !== undefined) throw new Error(`${where} has the unknown key "${other}"; expected ${known.join(", ")}`);
}

function checkVideo(name, video) {
  const where = `video "${name}"`;
  if (!isObject(video)) throw new Error(`${where} is no object`);
  refuseOthers(video, ["complete", "segments"], where);
  if (typeof video.complete !== "boolean") throw new Error(`${where}: "complete" is neither true nor false`);
  if (!Array.isArray(video.segments)) throw new Error(`${where}: "segments" is no list`);
  video.segments.forEach((line, i) => checkLine(line, `${where}, segment ${i + 1}`));
}

function checkLine(line, where) {
  if (!isObject(line)) throw new Error(`${where} is no object`);
  refuseOthers(line, ["label", "segment", "verdict", "was"], where);
  if (typeof line.label !== "string" || line.label === "") throw new Error(`${where} has no label`);
  if (!VERDICTS.includes(line.verdict)) throw new Error(`${where} has no verdict of ${VERDICTS.join(", ")}`);
  if (!isSpan(line.segment)) throw new Error(`${where}: "segment" is no [start, end] in seconds`);
  if ((line.verdict === "edited") !== (line.was !== undefined)) throw new Error(`${where}: "was" belongs to edited segments, and only there`);
  if (line.was !== undefined && !isSpan(line.was)) throw new Error(`${where}: "was" is no [start, end] in seconds`);
  if (line.verdict !== "added" && !classNumbers.has(line.label)) {
    throw new Error(`${where} has the label "${line.label}", which this report does not have; only added segments may bring a new class`);
  }
}

const isSpan = (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite) && value[0] >= 0 && value[0] < value[1];

// What the browser keeps between visits -------------------------------------------------------------

let warned = false;

function keep() {
  const state = { work: [...work], saved: [...savedLines], newest };
  if (remember(storeKey, JSON.stringify(state)) || warned) return;
  warned = true;
  say("This browser keeps nothing for this page: save your corrections before you close it.", { stays: true });
}

function recallWork(text) {
  try {
    const state = JSON.parse(text);
    if (!state) return false;
    checkFile({ format: FORMAT, videos: Object.fromEntries(state.work.map(([name, { complete, entries }]) => [name, { complete, segments: entries.map(lineOf) }])) });
    [work, savedLines, newest] = [new Map(state.work), new Map(state.saved), state.newest];
    for (const { entries } of work.values()) for (const entry of entries) classNumber(entry.label);
    return true;
  } catch {
    return false; // written by another version of the page
  }
}

/** The report's own corrections count as saved: their file is on disk. Unsaved work goes first. */
function startCorrections() {
  recallWork(recall(storeKey));
  const brought = readBlock("wtal-corrections");
  if (brought !== null && unsavedCount() === 0) {
    try {
      [work, savedLines] = [new Map(), new Map()];
      work = new Map(takeIn(checkFile(brought)));
    } catch (error) {
      say(`The corrections in this report were not read: ${error.message}.`, { stays: true });
    }
  }
  addEventListener("storage", (event) => {
    if (event.key === storeKey && recallWork(event.newValue)) {
      undone = [];
      tell("corrections");
    }
  });
  addEventListener("beforeunload", (event) => {
    if (unsavedCount()) event.preventDefault();
  });
  byId("undo").addEventListener("click", undo);
  byId("save").addEventListener("click", save);
  byId("load").addEventListener("click", () => byId("load-file").click());
  byId("load-file").addEventListener("change", (event) => {
    const [chosen] = event.target.files;
    if (chosen) load(chosen);
    event.target.value = "";
  });
  when("corrections", showUnsaved);
  showUnsaved();
}

function showUnsaved() {
  const n = unsavedCount();
  const status = byId("unsaved");
  status.textContent = n ? `${whole(n)} unsaved` : work.size ? "All saved" : "";
  status.classList.toggle("some", n > 0);
  byId("undo").disabled = undone.length === 0;
  byId("save").disabled = work.size === 0 && n === 0;
}
