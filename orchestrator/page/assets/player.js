// Videos that play: in the grid while they are looked at, and two in step.

const prefersStill = matchMedia("(prefers-reduced-motion: reduce)");

/** A silent video of a folder beside the page. What cannot be shown says so. */
function videoOf(folder, attributes = {}) {
  const video = el("video", { playsinline: true, loop: true, preload: "metadata", ...attributes });
  video.muted = true;
  video.dataset.folder = folder;
  video.addEventListener("error", () => {
    if (video.hasAttribute("src")) video.replaceWith(el("p", { class: "no-video" }, "video.mp4 cannot be played"));
  });
  return video;
}

/** The time shows the first frame before anything is played. */
function openFile(video) {
  if (!video.hasAttribute("src")) video.src = `${video.dataset.folder}/video.mp4#t=0.001`;
}

function closeFile(video) {
  video.pause();
  if (video.hasAttribute("src")) {
    video.removeAttribute("src");
    video.load();
  }
}

/** To play is refused where it is paused again at once. */
function play(video) {
  openFile(video);
  video.play().catch(() => null);
}

const nearby = new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => (isIntersecting ? openFile(target) : closeFile(target))),
  { rootMargin: "300px" },
);

/** Load a video's file while it is near the window, and let go of it elsewhere. */
function loadNearby(video) {
  nearby.observe(video);
  return video;
}

/** Let go of all files of videos below an element that is about to be drawn anew. */
function letGo(element) {
  for (const video of element.querySelectorAll("video")) {
    nearby.unobserve(video);
    closeFile(video);
  }
}

/** Play while the element is hovered or has the focus, from the beginning each time. */
function playWhileLookedAt(element, video) {
  const begin = () => {
    if (!prefersStill.matches) play(video);
  };
  const end = () => {
    if (element.matches(":hover, :focus-visible")) return;
    video.pause();
    if (video.readyState) video.currentTime = 0;
  };
  element.addEventListener("pointerenter", begin);
  element.addEventListener("focus", begin);
  element.addEventListener("pointerleave", end);
  element.addEventListener("blur", end);
}

/** Two videos of equal length that play in step, with one set of controls. */
class InStep {
  /** How far the second may be from the first, in frames. */
  static MOST_FRAMES_APART = 0.75;

  constructor(first, second, { fps = 16, label }) {
    this.videos = [first, second];
    this.fps = fps;
    this.isPlaying = false;
    this.button = el("button", { type: "button", class: "icon", click: () => (this.isPlaying ? this.pause() : this.play()) });
    this.range = el("input", { type: "range", min: 0, max: 1, step: "any", value: 0, "aria-label": `Position of ${label}` });
    this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
    this.clock = el("span", { class: "clock" });
    this.controls = el("div", { class: "in-step" }, this.button, this.range, this.clock);
    this.label = label;
    for (const video of this.videos) {
      video.loop = false;
      video.addEventListener("click", () => (this.isPlaying ? this.pause() : this.play()));
    }
    first.addEventListener("ended", () => this.isPlaying && this.restart());
    this.show();
  }

  async play() {
    this.videos.forEach(openFile);
    this.isPlaying = true;
    this.show();
    await Promise.all(this.videos.map(ready));
    if (!this.isPlaying) return;
    if (this.videos.some((video) => video.ended)) await this.seek(0);
    this.videos.forEach(play);
    requestAnimationFrame(() => this.tick());
  }

  pause() {
    this.isPlaying = false;
    this.videos.forEach((video) => video.pause());
    this.stand();
    this.show();
  }

  async restart() {
    this.videos.forEach((video) => video.pause());
    await this.seek(0);
    if (this.isPlaying) this.videos.forEach(play);
  }

  /** Put both to a share of their length. */
  async seek(share) {
    await Promise.all(this.videos.map(ready));
    await Promise.all(this.videos.map((video) => sought(video, share * video.duration)));
    this.show();
  }

  /** Whenever the picture is drawn: the second follows the first. */
  tick() {
    if (!this.isPlaying || !this.videos[0].isConnected) return;
    const [first, second] = this.videos;
    const isApart = Math.abs(first.currentTime - second.currentTime) * this.fps > InStep.MOST_FRAMES_APART;
    if (isApart && !first.seeking && !second.seeking && !first.ended) this.align();
    this.show();
    requestAnimationFrame(() => this.tick());
  }

  align() {
    const [first, second] = this.videos;
    if (second.readyState) second.currentTime = first.currentTime;
  }

  /** Put both to the middle of the first's frame: a browser rounds times, and at a frame's edge the two would show different ones. */
  stand() {
    const [first] = this.videos;
    if (this.videos.some((video) => !video.readyState)) return;
    const middle = 0.5 / this.fps;
    const frame = Math.floor(Math.max(0, Math.min(first.currentTime, first.duration - middle)) * this.fps);
    for (const video of this.videos) video.currentTime = frame / this.fps + middle;
  }

  show() {
    const { currentTime, duration: length } = this.videos[0];
    const share = length ? currentTime / length : 0;
    if (document.activeElement !== this.range || this.isPlaying) this.range.value = share;
    this.clock.textContent = `${currentTime.toFixed(1)} s`;
    if (this.shown === this.isPlaying) return;
    this.shown = this.isPlaying;
    this.button.textContent = this.isPlaying ? "❚❚" : "▶";
    this.button.setAttribute("aria-label", `${this.isPlaying ? "Pause" : "Play"} ${this.label}`);
  }
}

/** Until the video's length is known; it never is where the file is missing. */
function ready(video) {
  return video.readyState ? Promise.resolve() : new Promise((resolve) => video.addEventListener("loadedmetadata", resolve, { once: true }));
}

function sought(video, time) {
  return new Promise((resolve) => {
    video.addEventListener("seeked", resolve, { once: true });
    video.currentTime = time;
  });
}
