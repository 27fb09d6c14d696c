// What of the run is shown, and in which order. It stands in the address, so that it can be kept and gone back to.

const PAGE_SIZE = 48;

/** Name, value of a video, and whether the largest comes first. Videos without the value come last. */
const SORTS = {
  order: { label: "Batch order", value: (video) => video.order },
  finished: { label: "Finished", value: (video) => (video.finished ? Date.parse(video.finished) : undefined), descends: true },
  seconds: { label: "Seconds", value: (video) => video.seconds, descends: true },
  speedup: { label: "Speed-up", value: (video) => video.speedup, descends: true },
  full: { label: "Full rounds", value: (video) => video.full },
  psnr: { label: "PSNR to all rounds full", value: (video) => run.head.pairs[video.id]?.likeness?.psnr },
  prompt: { label: "Prompt", value: (video) => video.prompt },
  seed: { label: "Seed", value: (video) => video.seed },
};

const STATES = { all: "All", done: "Done", failed: "Failed", under_way: "Under way", waiting: "Waiting" };

const DEFAULTS = { q: "", state: "all", sort: "order", turned: "", page: "1", video: "" };

function readChoice() {
  const said = new URLSearchParams(location.hash.slice(1));
  const choice = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (said.has(name)) choice[name] = said.get(name);
  if (!Object.hasOwn(SORTS, choice.sort)) choice.sort = DEFAULTS.sort;
  if (!Object.hasOwn(STATES, choice.state)) choice.state = DEFAULTS.state;
  return choice;
}

function addressOf(choice) {
  const said = Object.entries(choice).filter(([name, value]) => value !== DEFAULTS[name]);
  return `#${new URLSearchParams(said)}`;
}

/** Change what is shown; `isStep` leaves a step to go back to. */
function choose(changes, { isStep = false } = {}) {
  const address = addressOf({ ...readChoice(), ...changes });
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  dispatchEvent(new Event("choice"));
}

/** All videos that are chosen, in their order; `page` and `q` as they are typed. */
function chosenVideos(choice) {
  const words = choice.q.toLowerCase().split(/\s+/).filter(Boolean);
  const isChosen = (video) =>
    (choice.state === "all" || video.state === choice.state) && words.every((word) => video.haystack.includes(word));
  const { value, descends = false } = SORTS[choice.sort];
  const sign = descends !== Boolean(choice.turned) ? -1 : 1;
  return run.videos
    .filter(isChosen)
    .map((video) => ({ video, key: value(video) }))
    .sort((a, b) => compareKeys(a.key, b.key, sign) || a.video.order - b.video.order)
    .map(({ video }) => video);
}

function compareKeys(a, b, sign) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  return sign * (typeof a === "string" ? collator.compare(a, b) : a - b);
}

const collator = new Intl.Collator(undefined, { numeric: true });

function numPages(videos) {
  return Math.max(Math.ceil(videos.length / PAGE_SIZE), 1);
}

/** The page that is asked for, among those that there are; from 1. */
function pageOf(choice, videos) {
  return Math.min(Math.max(Number.parseInt(choice.page, 10) || 1, 1), numPages(videos));
}
