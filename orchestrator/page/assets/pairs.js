// Videos beside the same with all rounds full.

const FIRST_PAIRS = 4;
let drawnPairs = "";

function drawPairs() {
  if (JSON.stringify(run.head.pairs) === drawnPairs) return;
  drawnPairs = JSON.stringify(run.head.pairs);
  const pairs = Object.entries(run.head.pairs).filter(([id]) => run.byId.has(id));
  const section = document.getElementById("pairs");
  section.hidden = !pairs.length;
  const ids = pairs.map(([id]) => id).sort((a, b) => run.byId.get(a).order - run.byId.get(b).order);
  const list = document.getElementById("pair-list");
  const more = document.getElementById("more-pairs");
  const showFirst = (number) => {
    for (const id of ids.slice(list.children.length, number)) list.append(pairPanel(run.byId.get(id)).element);
    more.hidden = ids.length <= number;
    more.textContent = `Show ${ids.length - number} more`;
  };
  letGo(list);
  list.replaceChildren();
  more.onclick = () => showFirst(ids.length);
  showFirst(FIRST_PAIRS);
}

/** Both videos in step with their figures, and what plays them. */
function pairPanel(video, { withPrompt = true } = {}) {
  const pair = run.head.pairs[video.id];
  const own = loadNearby(videoOf(video.id, { "aria-label": "As the batch rendered it" }));
  const full = loadNearby(videoOf(pair.folder, { "aria-label": "With all rounds full" }));
  for (const one of [own, full]) one.style.aspectRatio = video.width / video.height;
  const player = new InStep(own, full, { fps: video.fps, label: `both of ${titleOf(video)}` });
  const element = el(
    "article",
    { class: "pair" },
    withPrompt ? el("h3", { class: "prompt", dir: "auto" }, el("a", { href: addressOf({ ...readChoice(), video: video.id }), click: openOf(video) }, titleOf(video))) : null,
    el(
      "div",
      { class: "two" },
      el("figure", {}, own, el("figcaption", {}, el("b", {}, `${video.full} of ${video.steps} full`), ` · ${duration(video.seconds)}`)),
      el("figure", {}, full, el("figcaption", {}, el("b", {}, "all full"), ` · ${duration(pair.seconds)}`)),
    ),
    player.controls,
    el("dl", { class: "numbers" }, ...terms(likenessOf(video, pair))),
  );
  return { element, player };
}

function likenessOf(video, pair) {
  const { likeness, floor } = pair;
  const unmeasured = "measured when the launch ends";
  return [
    ["PSNR", likeness ? `${likeness.psnr.toFixed(1)} dB` : unmeasured, "Of the mp4s' frames, compression included"],
    ["SSIM", likeness ? likeness.ssim.toFixed(4) : null, "Mean over the frames of the mp4s"],
    ["Noise floor", floor ? `${floor.psnr.toFixed(1)} dB · ${floor.ssim.toFixed(4)}` : pair.hasFloor ? unmeasured : "not asked for", "All rounds full against all rounds full from noise rounded to bfloat16"],
    ["Measured speed-up", isNumber(pair.seconds) && video.seconds ? ratio(pair.seconds / video.seconds) : null, "Seconds of the render with all rounds full, over the video's own"],
  ];
}
