// What is known of the run. From a disk a page may load scripts but not read files: so the data are scripts that call
// `runPage`, and those of single videos are loaded when one is opened.

const run = { head: null, videos: [], byId: new Map() };
const detailsById = new Map();
const loadingGroups = new Map();

globalThis.runPage = {
  run(head, videos) {
    run.head = head;
    run.videos = videos.map((video, order) => ({ ...video, order, haystack: haystackOf(video) }));
    run.byId = new Map(run.videos.map((video) => [video.id, video]));
    detailsById.clear();
  },
  details(byId) {
    for (const [id, details] of Object.entries(byId)) detailsById.set(id, details);
  },
};

function haystackOf(video) {
  return [video.prompt, video.name, video.seed, video.id, video.error].filter((one) => one !== undefined).join("\n").toLowerCase();
}

/** Load page/videos.js; anew each time, as it is replaced while videos finish. */
function loadRun() {
  return loadScript(`page/videos.js?${Date.now()}`);
}

/** Everything on one video; null where it is not there any more. */
async function loadDetails(video) {
  const key = `${video.id.slice(0, run.head.groupDigits)}`;
  if (!detailsById.has(video.id)) {
    if (!loadingGroups.has(key)) {
      loadingGroups.set(key, loadScript(`page/${key}.js?${Date.now()}`).finally(() => loadingGroups.delete(key)));
    }
    await loadingGroups.get(key).catch(() => null);
  }
  return detailsById.get(video.id) ?? null;
}

function loadScript(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(script.remove());
    script.onerror = () => reject(new Error(`${source} cannot be read`, script.remove()));
    document.head.append(script);
  });
}

/** Whether more is to come. */
function isGoingOn() {
  return run.head.launches.some((launch) => launch.phase && !launch.stale);
}
