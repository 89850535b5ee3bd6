// The clock of the open video: the player's, or one of its own where there is nothing to play.

const media = byId("media");
const clock = {
  length: 0,
  playing: false,
  plays: false, // the player has the video
  own: 0, // time of the own clock
  rate: 1,
  looping: false,
  last: 0, // time at the last tick
  stamp: 0, // when that was
};

const timeNow = () => (clock.plays ? media.currentTime : clock.own);

function seek(time) {
  const wanted = clamp(time, 0, clock.length);
  clock.own = clock.last = wanted;
  if (clock.plays) media.currentTime = wanted;
  showTime();
}

function setPlaying(yes) {
  if (yes && timeNow() >= clock.length - 0.01) seek(0);
  if (clock.plays && yes) media.play().catch(() => showPlaying(false));
  else if (clock.plays) media.pause();
  showPlaying(yes);
  if (yes) startTicking();
}

function showPlaying(yes) {
  clock.playing = yes;
  byId("play").setAttribute("aria-label", yes ? "Pause" : "Play");
  byId("play-icon").setAttribute("href", yes ? "#i-pause" : "#i-play");
  if (!yes) showMoment();
}

let ticking = false;

function startTicking() {
  clock.last = timeNow();
  clock.stamp = performance.now();
  if (!ticking) requestAnimationFrame(tick);
  ticking = true;
}

function tick(stamp) {
  ticking = clock.playing;
  if (!ticking) return;
  if (!clock.plays) {
    clock.own += (Math.max(stamp - clock.stamp, 0) / 1000) * clock.rate;
    if (clock.own >= clock.length) {
      clock.own = clock.length;
      showPlaying(false);
    }
  }
  clock.stamp = stamp;
  loopBack();
  clock.last = timeNow();
  showTime();
  requestAnimationFrame(tick);
}

/** Back to the start when playback runs over the end of the selected segment; a jump is no run. */
function loopBack() {
  const segment = clock.looping ? selected() : null;
  if (!segment || clock.last < segment.start - 0.05 || clock.last > segment.end) return;
  if (timeNow() < segment.end && clock.playing) return;
  seek(segment.start);
  if (!clock.playing) setPlaying(true);
}

function setLooping(yes) {
  clock.looping = yes;
  pressed(byId("loop"), yes);
}

// The video file -----------------------------------------------------------------------------------

const chosenFiles = new Map(); // lower-case name without its ending -> File, picked by hand

function openMedia(v) {
  setPlaying(false);
  clock.plays = false;
  clock.own = clock.last = 0;
  if (media.src.startsWith("blob:")) URL.revokeObjectURL(media.src);
  media.removeAttribute("src");
  media.load();
  const picked = chosenFiles.get(lowerNames[v]);
  const url = picked ? URL.createObjectURL(picked) : safeMedia(v);
  byId("missing").hidden = true;
  showHasVideo(url !== null);
  if (url === null) {
    showMissing(videos.media[v] === null ? "This report has no file to play here. The timeline plays without it; or choose the file." : "The address of this video leads away from this page, so it is not opened. Choose the file by hand.");
    return;
  }
  media.src = url;
}

function showHasVideo(yes) {
  byId("video").classList.toggle("no-video", !yes);
  for (const id of ["mute", "full"]) byId(id).hidden = !yes;
}

function showMissing(text) {
  clock.plays = false;
  showHasVideo(false);
  byId("missing-text").textContent = text;
  byId("missing").hidden = false;
}

function mediaFailed() {
  if (!media.getAttribute("src")) return; // closed, not failed
  const name = decodeURIComponent(media.getAttribute("src").split("/").pop());
  const what = media.src.startsWith("blob:") ? "The chosen file" : `“${name}”`;
  showMissing(`${what} cannot be played: it is not where it was when this report was made, or this browser does not know its format. Keep page and videos together, or choose the file by hand; an H.264 MP4 plays everywhere.`);
}

/** From now on the player is the clock. */
function mediaReady() {
  byId("missing").hidden = true;
  showHasVideo(true);
  if (!Number.isFinite(media.duration)) return;
  const time = clock.own;
  const played = clock.playing;
  clock.plays = true;
  if (videos.duration_s[current.video] === null) setLength(media.duration);
  media.playbackRate = clock.rate;
  seek(time);
  if (played) setPlaying(true);
}

/** Keep picked files by name: one pick can serve all videos of a folder. */
function pickFiles(files) {
  for (const file of files) chosenFiles.set(file.name.replace(/\.[^.]*$/, "").toLowerCase(), file);
  if (files.length === 1) chosenFiles.set(lowerNames[current.video], files[0]);
  if (!chosenFiles.has(lowerNames[current.video])) {
    say(`None of the chosen files is named ${videos.name[current.video]}.`);
    return;
  }
  const time = timeNow();
  openMedia(current.video);
  seek(time);
}

function startPlayer() {
  media.addEventListener("loadedmetadata", mediaReady);
  media.addEventListener("error", mediaFailed);
  media.addEventListener("play", () => (showPlaying(true), startTicking()));
  media.addEventListener("pause", () => clock.plays && !media.ended && showPlaying(false));
  media.addEventListener("ended", () => (showPlaying(false), loopBack()));
  media.addEventListener("seeked", () => showTime());
  media.addEventListener("click", () => setPlaying(!clock.playing));
  byId("play").addEventListener("click", () => setPlaying(!clock.playing));
  byId("loop").addEventListener("click", () => setLooping(!clock.looping));
  byId("previous").addEventListener("click", () => stepSegment(-1));
  byId("next").addEventListener("click", () => stepSegment(1));
  byId("speed").addEventListener("change", (event) => (media.playbackRate = clock.rate = Number(event.target.value)));
  byId("mute").addEventListener("click", () => {
    media.muted = !media.muted;
    pressed(byId("mute"), media.muted);
    byId("mute-icon").setAttribute("href", media.muted ? "#i-muted" : "#i-sound");
  });
  byId("full").addEventListener("click", () => media.requestFullscreen?.().catch(() => say("This browser does not allow full screen here.")));
  byId("choose").addEventListener("click", () => byId("choose-file").click());
  byId("choose-file").addEventListener("change", (event) => {
    pickFiles([...event.target.files]);
    event.target.value = "";
  });
}
