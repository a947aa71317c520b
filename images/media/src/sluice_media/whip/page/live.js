"use strict";
// A WHIP client (RFC 9725). States: idle → connecting → live → idle; trouble while the connection
// is interrupted. The key is read from its field when a broadcast starts, and is never stored.

const $ = (id) => document.getElementById(id);
const ICE_GRACE_MS = 8000;
const ANSWER_MS = 30000;

const fixedStream = streamFromPath();
let media = null;      // the stream of the camera and the microphone
let session = null;    // the running broadcast: {pc, location, key, timers}
let meter = null;

const mediaErrors = {
  NotAllowedError: "This page may not use the camera and the microphone. Allow both in the browser's address bar, then reload the page.",
  NotFoundError: "No camera or microphone was found. Connect one, then reload the page.",
  NotReadableError: "Another program uses the camera or the microphone. Close it, then reload the page.",
  OverconstrainedError: "The selected camera or microphone was disconnected. Select another one.",
};
const noPath = "No media connection: the server's UDP port cannot be reached from this network. Ask the operator of the server.";
const ended = "The server ended the broadcast: the stream was switched off, its key was changed, or another publisher took over.";
const refusals = {
  401: "The stream key is wrong. Check it, then go live again.",
  403: "The stream refuses this broadcast.",
  404: "There is no such stream. Check the namespace and the name.",
  406: "This browser does not offer H.264 and Opus, which are both required. Use another browser.",
  409: "Another publisher is live on this stream.",
  429: "Too many attempts. Wait a minute, then go live again.",
  503: "The stream's server cannot be reached now. Go live again in a moment.",
};

function show(state, text) {
  $("state").dataset.state = state;
  $("state-text").textContent = text;
  const busy = session !== null;
  $("start").disabled = busy || !media;
  $("stop").disabled = !busy;
  $("stream").readOnly = busy || fixedStream !== "";
  $("key").readOnly = busy;
  for (const id of ["camera", "microphone"]) $(id).disabled = !media || $(id).options.length === 0;
}

function fail(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

function streamFromPath() {
  const parts = location.pathname.split("/").filter(Boolean);
  return parts.length === 3 ? `${parts[1]}/${parts[2]}` : "";
}

// ---------------------------------------------------------------- camera and microphone

async function openMedia() {
  if (!window.isSecureContext || !navigator.mediaDevices) {
    $("preview-hint").textContent = "";
    fail("Browsers allow the camera only on pages with HTTPS. Open this page with https://.");
    return;
  }
  const wanted = (id) => ($(id).value ? { deviceId: { exact: $(id).value } } : {});
  try {
    const fresh = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...wanted("camera") },
      audio: { channelCount: { ideal: 2 }, ...wanted("microphone") },
    });
    if (media) media.getTracks().forEach((track) => track.stop());
    media = fresh;
  } catch (error) {
    $("preview-hint").textContent = "No camera";
    fail(mediaErrors[error.name] || `The camera could not be opened (${error.name}).`);
    return;
  }
  fail("");
  $("preview").srcObject = media;
  $("preview-hint").textContent = "";
  for (const track of media.getTracks()) {
    track.addEventListener("ended", () => fail(`The ${track.kind === "video" ? "camera" : "microphone"} was disconnected.`));
  }
  watchLevel();
  await listDevices();
  if (session) {
    for (const sender of session.pc.getSenders()) {
      const track = media.getTracks().find((t) => sender.track && t.kind === sender.track.kind);
      if (track) await sender.replaceTrack(track);
    }
    return;
  }
  show("idle", "Not live");
}

async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  for (const [id, kind, name] of [["camera", "videoinput", "Camera"], ["microphone", "audioinput", "Microphone"]]) {
    const used = media && media.getTracks().find((t) => t.kind === (kind === "videoinput" ? "video" : "audio"));
    const current = used ? used.getSettings().deviceId : "";
    const options = devices.filter((d) => d.kind === kind).map((d, index) => {
      const option = new Option(d.label || `${name} ${index + 1}`, d.deviceId);
      option.selected = d.deviceId === current;
      return option;
    });
    $(id).replaceChildren(...options);
    $(id).disabled = options.length === 0;
  }
}

function watchLevel() {
  if (meter) meter.context.close();
  meter = null;
  const sound = media.getAudioTracks()[0];
  if (!sound) return;
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(new MediaStream([sound])).connect(analyser);
  meter = { context, analyser, samples: new Float32Array(512) };
}

setInterval(() => {
  if (!meter) return;
  meter.analyser.getFloatTimeDomainData(meter.samples);
  const power = meter.samples.reduce((sum, x) => sum + x * x, 0) / meter.samples.length;
  $("level").value = Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-6) / 6));
}, 100);

// ---------------------------------------------------------------- going live

function preferH264(transceiver) {
  const all = RTCRtpSender.getCapabilities("video").codecs;
  const rank = (codec) => {
    if (codec.mimeType.toLowerCase() === "video/rtx") return 2;
    if (codec.mimeType.toLowerCase() !== "video/h264") return 3;
    return /packetization-mode=1/.test(codec.sdpFmtpLine) && /profile-level-id=42e0/i.test(codec.sdpFmtpLine) ? 0 : 1;
  };
  const wanted = all.filter((codec) => rank(codec) < 3).sort((a, b) => rank(a) - rank(b));
  if (wanted.some((codec) => rank(codec) < 2)) transceiver.setCodecPreferences(wanted);
}

async function start() {
  const key = $("key").value.trim();
  const stream = $("stream").value.trim();
  const pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });
  const mine = { pc, key, location: "", timers: [], grace: 0, since: 0 };
  session = mine;
  window.whipConnection = pc; // for debugging with the browser's tools
  fail("");
  show("connecting", "Connecting…");
  for (const track of media.getTracks()) {
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [media] });
    if (track.kind === "video") preferH264(transceiver);
  }
  pc.addEventListener("connectionstatechange", () => onState(mine));
  try {
    await pc.setLocalDescription(await pc.createOffer());
    const answer = await fetch(`/whip/${stream}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${key}` },
      body: pc.localDescription.sdp,
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (answer.status !== 201) {
      await end(mine, await describeRefusal(answer));
      return;
    }
    mine.location = answer.headers.get("Location");
    if (session !== mine) {
      hangUp(mine);
      return;
    }
    await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    const secured = pc.getSenders()[0].transport;
    secured.addEventListener("statechange", () => {
      if (secured.state === "closed") end(mine, ended);
    });
    if (!mine.since) mine.grace = setTimeout(() => end(mine, noPath), ICE_GRACE_MS);
  } catch (error) {
    await end(mine, error.name === "TimeoutError"
      ? "The server did not answer in time. Go live again in a moment."
      : "The server cannot be reached. Check the network, then go live again.");
  }
}

async function describeRefusal(answer) {
  let detail = "";
  try {
    detail = (await answer.json()).detail || "";
  } catch { /* the error page of a proxy: only the status is known */ }
  const general = refusals[answer.status];
  if (general && answer.status !== 403) return general;
  return detail ? `The stream refuses this broadcast: ${detail}.` : general || `The server refused the broadcast (status ${answer.status}).`;
}

function onState(mine) {
  if (session !== mine) return;
  const state = mine.pc.connectionState;
  if (state === "connected") {
    clearTimeout(mine.grace);
    if (!mine.since) {
      mine.since = Date.now();
      mine.timers.push(setInterval(() => tick(mine), 1000));
    }
    show("live", "Live");
  } else if (state === "disconnected") {
    show("trouble", "Connection interrupted…");
  } else if (state === "failed" || state === "closed") {
    end(mine, "The connection was lost. Check the network, then go live again.");
  }
}

async function tick(mine) {
  const seconds = Math.floor((Date.now() - mine.since) / 1000);
  const two = (n) => String(n).padStart(2, "0");
  $("clock").textContent = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  for (const report of (await mine.pc.getStats()).values()) {
    if (report.type !== "outbound-rtp" || report.kind !== "video") continue;
    const kbps = mine.bytes === undefined ? 0 : Math.round((report.bytesSent - mine.bytes) * 8 / 1000);
    mine.bytes = report.bytesSent;
    if (report.frameWidth) {
      const limit = { cpu: ", limited by this computer", bandwidth: ", limited by the network" }[report.qualityLimitationReason] || "";
      $("figures").textContent = `Sending ${report.frameWidth} × ${report.frameHeight}, ${Math.round(report.framesPerSecond || 0)} frames per second, ${kbps} kbit/s${limit}`;
    }
  }
}

function hangUp(mine) {
  mine.pc.close();
  mine.timers.forEach(clearInterval);
  clearTimeout(mine.grace);
  if (!mine.location) return Promise.resolve();
  const headers = { Authorization: `Bearer ${mine.key}` };
  return fetch(mine.location, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

async function end(mine, why) {
  if (session !== mine) return;
  session = null;
  $("clock").textContent = "";
  $("figures").textContent = "";
  fail(why);
  show("idle", "Not live");
  await hangUp(mine);
}

$("stream").value = fixedStream;
$("stream-hint").hidden = fixedStream !== "";
$("stream").readOnly = fixedStream !== "";
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!session && media) start();
});
$("stop").addEventListener("click", () => session && end(session, ""));
$("camera").addEventListener("change", openMedia);
$("microphone").addEventListener("change", openMedia);
window.addEventListener("pagehide", () => session && hangUp(session));
if (navigator.mediaDevices) navigator.mediaDevices.addEventListener("devicechange", listDevices);
openMedia();
